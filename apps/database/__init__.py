"""Variants of the scenario ``database``; scenario.py declares them."""
