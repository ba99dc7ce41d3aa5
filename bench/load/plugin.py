"""Hooks the harness into Locust: importing this module registers the listeners and the ``--lineup`` option.

A locustfile gets it by importing ``bench.load``; any other is measured too when ``locustfiles/recorder.py`` is given to
Locust beside it. (This file itself must not be: Locust would load it a second time, under another name.)
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from bench.load.agent import Agent
from bench.load.coordinator import Coordinator, wait_for_file
from bench.load.messages import LEAD, REPORT, listen
from bench.load.request import Target
from bench.load.session import LoadSession
from bench.results import files

logger = logging.getLogger(__name__)

ALL_JOINED_WITHIN_S = 30.0


@events.init_command_line_parser.add_listener
def _options(parser: Any, **_: Any) -> None:
    parser.add_argument(
        "--lineup",
        metavar="FILE",
        default="",
        include_in_web_ui=False,
        help="take turns on several servers as FILE says (written by the harness); locust ends with the last turn",
    )


@events.init.add_listener
def _init(environment: Any, runner: Any, **_: Any) -> None:
    environment.stage = None
    environment.follower = None
    if not isinstance(runner, WorkerRunner):
        environment.conductor = Coordinator(runner)
        listen(runner, REPORT, lambda sender, content: environment.conductor.hear(sender, content))
    if not isinstance(runner, MasterRunner):
        listen(runner, LEAD, lambda _, message: environment.follower.obey(message))
    events.request.add_listener(lambda **request: _ordinary_request(environment, **request))


@events.test_start.add_listener
def _test_start(environment: Any, **_: Any) -> None:
    runner = environment.runner
    lineup = environment.parsed_options.lineup if environment.parsed_options else ""
    if not isinstance(runner, MasterRunner):
        stage = environment.stage = LoadSession(environment)
        follower = environment.follower = Agent(runner, stage)
        if isinstance(runner, WorkerRunner) and not lineup:
            stage.on_pools = lambda: follower.joined(by_hand=True)
        if lineup:
            follower.report_all()
            gevent.spawn(_announce, environment).link_exception(_lineup_failed)
        elif host := _host(environment):
            stage.begin(0, Target.parse(host))
    if lineup and not isinstance(runner, WorkerRunner):
        gevent.spawn(_run_lineup, environment, Path(lineup)).link_exception(_lineup_failed)


@events.test_stop.add_listener
def _test_stop(environment: Any, **_: Any) -> None:
    stage, environment.stage = environment.stage, None
    if stage is not None:
        stage.finish()


def _host(environment: Any) -> str | None:
    return environment.host or next((cls.host for cls in environment.user_classes if cls.host), None)


def _announce(environment: Any) -> None:
    """Tell the conductor who is here, once all of this process's users are."""
    from bench.load.users import HubHttpUser

    runner, stage = environment.runner, environment.stage
    ours = [cls.__name__ for cls in runner.user_classes if issubclass(cls, HubHttpUser)]
    with gevent.Timeout(ALL_JOINED_WITHIN_S, TimeoutError("not all users have started")):
        while runner.state != "running" or any(_unjoined(runner, stage, name) for name in ours):
            gevent.sleep(0.01)
    environment.follower.joined()


def _unjoined(runner: Any, stage: LoadSession, user_class: str) -> bool:
    # A pool is one player, however many users of its class there are.
    return bool(runner.user_classes_count.get(user_class)) and not stage.complete(
        user_class, runner.user_classes_count[user_class]
    )


def _run_lineup(environment: Any, path: Path) -> None:
    runner, conductor = environment.runner, environment.conductor
    generators = runner.worker_count if isinstance(runner, MasterRunner) else 1
    with gevent.Timeout(ALL_JOINED_WITHIN_S, TimeoutError("not all generators have started")):
        while conductor.generators < generators:
            gevent.sleep(0.01)
    write_facts(path, conductor.conduct(wait_for_file(path)))
    environment.process_exit_code = 0  # failed requests are facts of the trial, not errors of the generator
    runner.quit()


def write_facts(lineup_file: Path, targets: dict[str, Any]) -> None:
    """Put a lineup's {target: facts} beside its file, where the harness looks for them."""
    facts = {"targets": targets, "pid": os.getpid()}
    files.write_text(lineup_file.with_suffix(".facts.json"), json.dumps(facts, allow_nan=False))


def _lineup_failed(greenlet: Any) -> None:
    logger.critical("The lineup failed", exc_info=greenlet.exc_info)
    os._exit(3)  # the harness reads the log; anything gentler would go on loading the servers


def _ordinary_request(environment: Any, **request: Any) -> None:
    stage: LoadSession | None = getattr(environment, "stage", None)
    if stage is None or request.get("response_time") is None:
        return
    error = request.get("exception")
    status = getattr(request.get("response"), "status_code", 0) or 0
    cause = _cause(error, status) if error else ""
    endpoint = f"{request['request_type']} {request['name']}"
    stage.record(endpoint, request["response_time"] / 1000, cause, str(error or ""), status if cause == "status" else 0)


def _cause(error: BaseException, status: int) -> str:
    if status:
        return "status"
    causes = {ConnectionRefusedError: "refused", ConnectionResetError: "reset", BrokenPipeError: "reset"}
    seen: list[BaseException | None] = [error]
    while (current := seen[-1]) is not None and len(seen) < 10:  # libraries wrap: look through the chain
        for kind, cause in causes.items():
            if isinstance(current, kind) or kind.__name__ in str(current):
                return cause
        if isinstance(current, TimeoutError) or "timed out" in str(current).lower():
            return "timeout"
        seen.append(current.__cause__ or current.__context__)
    return "closed" if "closed" in str(error).lower() else "other"
