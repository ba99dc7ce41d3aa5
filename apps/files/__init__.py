"""Variants of the scenario ``files``; scenario.py declares them."""
