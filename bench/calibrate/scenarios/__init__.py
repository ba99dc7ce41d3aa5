"""Scenarios that only calibration uses."""
