"""Variants of the scenario ``dataset``; scenario.py declares them."""
