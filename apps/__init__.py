"""The catalogue: one folder for each scenario, one file for each variant."""
