"""Variants of the scenario ``images``; scenario.py declares them."""
