"""Exits while it is loaded, as an app does that misses a setting."""

import sys

print("a setting is missing")
sys.exit(3)
