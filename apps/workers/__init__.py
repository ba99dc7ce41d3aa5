"""Variants of the scenario ``workers``; scenario.py declares them."""
