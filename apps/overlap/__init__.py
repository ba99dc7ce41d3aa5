"""Variants of the scenario ``overlap``; scenario.py declares them."""
