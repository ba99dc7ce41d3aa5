"""Hangs while it is imported, so that it never answers."""

import time

print("waiting for something that never comes", flush=True)
time.sleep(3600)
