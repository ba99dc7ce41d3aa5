"""The routes of the web UI that are ours: start and stop, the page's state, the drawn reports, and the login."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
from flask import Blueprint, Response, abort, jsonify, redirect, request, send_from_directory, session, url_for
from flask_login import UserMixin, login_user
from gevent.lock import BoundedSemaphore

from bench.web.in_locust import form
from bench.web.in_locust.controller import MeasurementController

HERE = Path(__file__).parent
TABS = ({"key": "event-loop", "title": "Event loop"}, {"key": "runs", "title": "Runs"})
SCRIPT = b'<script type="module" src="./bench/ui.js"></script>'
LOCAL = ("localhost", "127.0.0.1", "::1")
WRONG_LOGIN_S = 1.0
"""How long a wrong password takes, one after the other: guessing is no faster than that."""


def add(web_ui: Any, desk: MeasurementController, greeting: Mapping[str, Any]) -> None:
    """Extend Locust's web UI; ``greeting`` is what the harness has said first."""
    app, guarded = web_ui.app, web_ui.auth_required_if_enabled
    # React takes a tag's name for a component; ui.js defines these two elements.
    web_ui.template_args["extended_tabs"] = [{**tab, "component": f"bench-{tab['key']}"} for tab in TABS]
    ours = Blueprint("bench", __name__, url_prefix="/bench")
    ours.add_url_rule("/state", "state", guarded(lambda: jsonify(desk.state)))
    ours.add_url_rule("/ui.js", "script", lambda: send_from_directory(HERE, "ui.js", max_age=0))
    results = greeting["results"]
    ours.add_url_rule("/report/<run>/", "report", guarded(lambda run: _report(desk, results, run)))
    app.register_blueprint(ours)
    app.view_functions["locust.swarm"] = guarded(lambda: _start(desk, greeting))
    app.view_functions["locust.stop"] = guarded(lambda: _stop(desk))
    app.before_request(lambda: _refused(greeting))
    app.after_request(lambda response: _extended(response, desk))
    if greeting["login"] is not None:
        _add_login(web_ui, greeting["login"])


def _start(desk: MeasurementController, greeting: Mapping[str, Any]) -> Response:
    try:
        order = form.read(request.form, greeting["choices"], greeting["users_most"])
    except form.BadForm as error:
        return jsonify({"success": False, "message": str(error), "host": ""})
    desk.start(order)
    return jsonify({"success": True, "message": f"starting {order.choice}", "host": order.choice})


def _stop(desk: MeasurementController) -> Response:
    desk.stop()
    return jsonify({"success": True, "message": "Test stopped"})


def _report(desk: MeasurementController, results: str, run: str) -> Response:
    if run not in desk.pages:
        abort(404)
    return send_from_directory(Path(results) / run, "index.html", max_age=0)


def _refused(greeting: Mapping[str, Any]) -> Response | None:
    """Refuse what a page of somebody else's sends: Locust itself lets every origin in.

    Without a login, the name that was asked for must be this machine's own: a foreign name that leads here (DNS
    rebinding) would make the foreign page one of ours.
    """
    if greeting["login"] is None and urlsplit(f"//{request.host}").hostname not in {*LOCAL, greeting["host"]}:
        return Response("ask for this page by the address that was printed", 403)
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin is not None and origin.partition("//")[2] != request.host:
        return Response("only this page may do that", 403)
    return None


def _extended(response: Response, desk: MeasurementController) -> Response:
    if request.endpoint == "locust.index" and response.status_code == 200:
        response.set_data(response.get_data().replace(b"</body>", SCRIPT + b"</body>"))
    if request.endpoint == "locust.request_stats" and response.is_json and desk.starting:
        # Locust knows nothing of a server that is coming up: without this its page would go back to the form.
        response.set_data(jsonify({**response.get_json(), "state": "spawning"}).get_data())
    return response


class _User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def _add_login(web_ui: Any, login: Mapping[str, str]) -> None:
    app = web_ui.app
    app.secret_key = secrets.token_bytes(32)
    app.config["SESSION_COOKIE_SAMESITE"] = "Strict"
    web_ui.login_manager.user_loader(lambda name: _User(name) if name == login["name"] else None)
    web_ui.auth_args = {"username_password_callback": "/bench/login", "title": "async-bench"}

    one_at_a_time = BoundedSemaphore()

    def check() -> Any:
        with one_at_a_time:
            if _matches("username", login["name"]) & _matches("password", login["password"]):
                login_user(_User(login["name"]))
                return redirect(url_for("locust.index"))
            gevent.sleep(WRONG_LOGIN_S)
        session["auth_error"] = "Wrong name or password"
        return redirect(url_for("locust.login"))

    app.add_url_rule("/bench/login", "bench_login", check, methods=["POST"])


def _matches(field: str, right: str) -> bool:
    """In a time that tells nothing of how much of it was right."""
    return hmac.compare_digest(request.form.get(field, "").encode(), right.encode())
