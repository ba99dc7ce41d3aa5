"""Our routes of the web UI: start and stop, the state for the page, the reports, and the login."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
from flask import Blueprint, Response, abort, jsonify, redirect, request, send_from_directory, session, url_for
from flask_login import UserMixin, login_user
from gevent.lock import BoundedSemaphore

from bench.results.control_messages import Configure
from bench.web.in_locust import form
from bench.web.in_locust.controller import MeasurementController

HERE = Path(__file__).parent
TABS = ({"key": "event-loop", "title": "Event loop"}, {"key": "runs", "title": "Runs"})
SCRIPT = b'<script type="module" src="./bench/ui.js"></script>'
LOCAL = ("localhost", "127.0.0.1", "::1")
WRONG_LOGIN_S = 1.0
"""How long a wrong password takes. Only one is checked at a time, so guessing is no faster than that."""


def add(web_ui: Any, controller: MeasurementController, configuration: Configure) -> None:
    """Extend Locust's web UI."""
    app, guarded = web_ui.app, web_ui.auth_required_if_enabled
    # React uses the name of an element as a component; ui.js defines these two elements.
    web_ui.template_args["extended_tabs"] = [{**tab, "component": f"bench-{tab['key']}"} for tab in TABS]
    ours = Blueprint("bench", __name__, url_prefix="/bench")
    ours.add_url_rule("/state", "state", guarded(lambda: jsonify(controller.state)))
    ours.add_url_rule("/ui.js", "script", lambda: send_from_directory(HERE, "ui.js", max_age=0))
    results = configuration.results
    ours.add_url_rule("/report/<run>/", "report", guarded(lambda run: _report(controller, results, run)))
    app.register_blueprint(ours)
    app.view_functions["locust.swarm"] = guarded(lambda: _start(controller, configuration))
    app.view_functions["locust.stop"] = guarded(lambda: _stop(controller))
    app.before_request(lambda: _refused(configuration))
    app.after_request(lambda response: _extended(response, controller))
    if configuration.login_name:
        _add_login(web_ui, configuration)


def _start(controller: MeasurementController, configuration: Configure) -> Response:
    try:
        measurement = form.read(request.form, configuration.choices, configuration.max_users)
    except form.BadForm as error:
        return jsonify({"success": False, "message": str(error), "host": ""})
    controller.start(measurement)
    return jsonify({"success": True, "message": f"starting {measurement.choice}", "host": measurement.choice})


def _stop(controller: MeasurementController) -> Response:
    controller.stop()
    return jsonify({"success": True, "message": "Test stopped"})


def _report(controller: MeasurementController, results: str, run: str) -> Response:
    if run not in controller.pages:
        abort(404)
    return send_from_directory(Path(results) / run, "index.html", max_age=0)


def _refused(configuration: Configure) -> Response | None:
    """Refuse requests of other sites' pages, since Locust itself accepts every origin.

    Without a login, the Host header must name this machine. With DNS rebinding, another site's name leads here, and its
    page would count as ours.
    """
    if not configuration.login_name and urlsplit(f"//{request.host}").hostname not in {*LOCAL, configuration.host}:
        return Response("open this page by the address that was printed", 403)
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin is not None and origin.partition("//")[2] != request.host:
        return Response("only this page may do that", 403)
    return None


def _extended(response: Response, controller: MeasurementController) -> Response:
    if request.endpoint == "locust.index" and response.status_code == 200:
        response.set_data(response.get_data().replace(b"</body>", SCRIPT + b"</body>"))
    if request.endpoint == "locust.request_stats" and response.is_json and controller.starting:
        # Locust does not know that a server is starting: without this its page would return to the form.
        response.set_data(jsonify({**response.get_json(), "state": "spawning"}).get_data())
    return response


class _User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def _add_login(web_ui: Any, configuration: Configure) -> None:
    app = web_ui.app
    app.secret_key = secrets.token_bytes(32)
    app.config["SESSION_COOKIE_SAMESITE"] = "Strict"
    web_ui.login_manager.user_loader(lambda name: _User(name) if name == configuration.login_name else None)
    web_ui.auth_args = {"username_password_callback": "/bench/login", "title": "async-bench"}

    one_at_a_time = BoundedSemaphore()

    def check() -> Any:
        with one_at_a_time:
            if _matches("username", configuration.login_name) & _matches("password", configuration.login_password):
                login_user(_User(configuration.login_name))
                return redirect(url_for("locust.index"))
            gevent.sleep(WRONG_LOGIN_S)
        session["auth_error"] = "Wrong name or password"
        return redirect(url_for("locust.login"))

    app.add_url_rule("/bench/login", "bench_login", check, methods=["POST"])


def _matches(field: str, correct: str) -> bool:
    """Compare in a time that does not depend on how much is right."""
    return hmac.compare_digest(request.form.get(field, "").encode(), correct.encode())
