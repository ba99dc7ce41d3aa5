"""Variants of the scenario ``threadpool``; scenario.py declares them."""
