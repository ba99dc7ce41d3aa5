"""Users of Locust itself, for the comparison of generators: ``locust -f bench/calibrate/locust_users.py FastUser``."""

from __future__ import annotations

from locust import FastHttpUser, HttpUser, task


class PlainUser(HttpUser):
    """Locust's default: the requests library."""

    @task
    def get(self) -> None:
        """Request /."""
        self.client.get("/")


class FastUser(FastHttpUser):
    """Locust's fast one: geventhttpclient."""

    @task
    def get(self) -> None:
        """Request /."""
        self.client.get("/")
