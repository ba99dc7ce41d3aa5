"""Variants of the scenario ``jobs``; scenario.py declares them."""
