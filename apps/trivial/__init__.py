"""Variants of the scenario ``trivial``; scenario.py declares them."""
