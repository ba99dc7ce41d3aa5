"""Variants of the scenario ``upstream``; scenario.py declares them."""
