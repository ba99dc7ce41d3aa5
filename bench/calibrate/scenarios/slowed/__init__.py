"""Variants of the scenario ``slowed``; scenario.py declares them."""
