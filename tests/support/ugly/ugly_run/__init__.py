"""Variants of the scenario ``ugly_run``; scenario.py declares them."""
