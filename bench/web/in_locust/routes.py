"""Our routes of the web UI: start and stop, the state for the page, the reports, and the login."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Any

import gevent
from flask import Blueprint, Response, abort, jsonify, redirect, request, send_from_directory, session, url_for
from flask_login import UserMixin, login_user
from gevent.lock import BoundedSemaphore

from bench.results.control_messages import Configure
from bench.web.in_locust import access, form
from bench.web.in_locust.controller import MeasurementController, NotEnded

HERE = Path(__file__).parent
TABS = ({"key": "event-loop", "title": "Event loop"}, {"key": "runs", "title": "Runs"})
SCRIPT = b'<script type="module" src="./bench/ui.js"></script>'
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
    app.wsgi_app = access.without_cors(app.wsgi_app)
    if configuration.login_name:
        _add_login(web_ui, configuration)


def _start(controller: MeasurementController, configuration: Configure) -> Response:
    try:
        measurement = form.read(request.form, configuration.choices, configuration.max_users)
    except form.BadForm as error:
        return jsonify({"success": False, "message": str(error), "host": ""})
    try:
        controller.start(measurement)
    except NotEnded as error:
        return jsonify({"success": False, "message": str(error), "host": ""})
    return jsonify({"success": True, "message": f"starting {measurement.choice}", "host": measurement.choice})


def _stop(controller: MeasurementController) -> Response:
    try:
        controller.stop()
    except NotEnded as error:
        return jsonify({"success": False, "message": str(error)})
    return jsonify({"success": True, "message": "Test stopped"})


def _report(controller: MeasurementController, results: str, run: str) -> Response:
    if run not in controller.pages:
        abort(404)
    return send_from_directory(Path(results) / run, "index.html", max_age=0)


def _refused(configuration: Configure) -> Response | None:
    reason = access.refusal(request, configuration)
    return Response(reason, 403) if reason else None


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
