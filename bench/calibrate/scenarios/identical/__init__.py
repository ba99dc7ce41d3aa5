"""Variants of the scenario ``identical``; scenario.py declares them."""
