"""Hooks the harness into Locust: importing this module registers the listeners and the ``--lineup`` option.

A locustfile gets it by importing ``bench.load``; any other is measured too with ``locust -f bench/load/plugin.py,FILE``.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.runners import MasterRunner

from bench.load.conductor import conduct, wait_for_file
from bench.load.ledger import Ledger
from bench.load.request import Target
from bench.load.stage import Stage

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
def _init(environment: Any, **_: Any) -> None:
    environment.stage = None
    events.request.add_listener(lambda **request: _ordinary_request(environment, **request))


@events.test_start.add_listener
def _test_start(environment: Any, **_: Any) -> None:
    if isinstance(environment.runner, MasterRunner):
        return
    stage = environment.stage = Stage(environment)
    if lineup := environment.parsed_options.lineup if environment.parsed_options else "":
        gevent.spawn(_run_lineup, environment, Path(lineup)).link_exception(_lineup_failed)
        return
    if environment.host:
        stage.begin(0, Target.parse(environment.host))


@events.test_stop.add_listener
def _test_stop(environment: Any, **_: Any) -> None:
    stage, environment.stage = getattr(environment, "stage", None), None
    if stage is not None:
        stage.finish()


def _run_lineup(environment: Any, path: Path) -> None:
    stage: Stage = environment.stage
    _wait_for_users(environment, stage)
    lineup = wait_for_file(path)
    ledger = Ledger(lineup.folders)
    stage.on_interval = ledger.interval
    stage.on_load = ledger.load
    conduct(stage, ledger, lineup)
    stage.finish()
    environment.stage = None
    facts = json.dumps({"targets": ledger.finish(), "pid": os.getpid()}, allow_nan=False)
    partial = path.with_suffix(".facts.partial")
    partial.write_text(facts, encoding="utf-8")
    partial.replace(path.with_suffix(".facts.json"))
    environment.process_exit_code = 0  # failed requests are facts of the trial, not errors of the generator
    environment.runner.quit()


def _lineup_failed(greenlet: Any) -> None:
    logger.critical("The lineup failed", exc_info=greenlet.exc_info)
    os._exit(3)  # the harness reads the log; anything gentler would go on loading the servers


def _wait_for_users(environment: Any, stage: Stage) -> None:
    from bench.load.users import HubHttpUser

    runner = environment.runner
    with gevent.Timeout(ALL_JOINED_WITHIN_S, TimeoutError("not all users have started")):
        while runner.state != "running" and runner.user_count < runner.target_user_count:
            gevent.sleep(0.01)
        ours = {cls.__name__: cls for cls in runner.user_classes if issubclass(cls, HubHttpUser)}
        while stage.players < sum(count for name, count in runner.user_classes_count.items() if name in ours):
            gevent.sleep(0.01)


def _ordinary_request(environment: Any, **request: Any) -> None:
    stage: Stage | None = getattr(environment, "stage", None)
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
