"""Comparing a user's own apps: several apps, or several git revisions of one app, as the variants of a scenario."""
