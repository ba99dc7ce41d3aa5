"""What calibration measures: one module for each part, with one function that yields rows.

Variants that are compared take turns, or are measured in a random order in every round.
"""
