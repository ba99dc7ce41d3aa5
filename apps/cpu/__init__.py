"""Variants of the scenario ``cpu``; scenario.py declares them."""
