"""Variants of the scenario ``ugly_start``; scenario.py declares them."""
