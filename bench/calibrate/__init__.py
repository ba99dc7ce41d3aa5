"""The harness measures itself on this machine: how much its figures can be trusted here, and where they end.

Each part writes one tidy CSV into ``results/calibration/``; the page is drawn from those files alone.
"""
