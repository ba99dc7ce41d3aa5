"""Variants of the scenario ``cache``; scenario.py declares them."""
