"""Variants of the scenario ``stack``; scenario.py declares them."""
