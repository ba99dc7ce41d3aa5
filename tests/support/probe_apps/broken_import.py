"""Fails while it is imported."""

app = 1 / 0
