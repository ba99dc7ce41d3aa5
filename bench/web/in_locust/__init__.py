"""What ``nox -s web`` adds to Locust's own web UI: the variants, two tabs, a login, and measurements as trials."""
