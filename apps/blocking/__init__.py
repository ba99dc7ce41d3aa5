"""Variants of the scenario ``blocking``; scenario.py declares them."""
