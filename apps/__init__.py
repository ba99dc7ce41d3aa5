"""The scenarios: one folder each, one file a variant."""
