"""Connects the harness to Locust: importing this module registers the listeners and the option ``--control-fd``.

A locustfile gets it by importing ``bench.load``. Any other is measured too when ``locustfiles/recorder.py`` is given to
Locust beside it. (This file itself must not be given: Locust would load it a second time, under another name.)

Without ``--control-fd`` (somebody runs a locustfile by hand) the users request from ``--host`` until Locust stops.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import gevent
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from bench.load.agent import Agent
from bench.load.coordinator import Coordinator
from bench.load.harness_channel import HarnessChannel
from bench.load.messages import INSTRUCTION, REPORT, listen
from bench.load.ordinary_requests import OrdinaryRequests
from bench.load.request import Target
from bench.load.session import LoadSession
from bench.results.control_messages import LoadFailed, RunTurns, TurnsDone

logger = logging.getLogger(__name__)

MAX_JOIN_S = 30.0
"""How long users may take to start, and worker processes to connect."""
FAILED_STATUS = 3

ordinary_requests = OrdinaryRequests()
ordinary_requests.install()


@events.init_command_line_parser.add_listener
def _options(parser: Any, **_: Any) -> None:
    parser.add_argument(
        "--control-fd",
        metavar="NUMBER",
        type=int,
        default=None,
        include_in_web_ui=False,
        help="inherited socket over which the harness sends the turns to take; Locust ends with the last turn",
    )


@events.init.add_listener
def _init(environment: Any, runner: Any, **_: Any) -> None:
    environment.load_session = None
    environment.load_agent = None
    environment.harness = None
    if not isinstance(runner, WorkerRunner):
        environment.load_coordinator = Coordinator(runner)
        listen(runner, REPORT, lambda agent, report: environment.load_coordinator.on_report(agent, report))
    if not isinstance(runner, MasterRunner):
        listen(runner, INSTRUCTION, lambda _, instruction: environment.load_agent.carry_out(instruction))
    if (fd := _control_fd(environment)) is not None:
        channel = HarnessChannel(fd)
        if isinstance(runner, WorkerRunner):
            channel.close()  # the master speaks for all
        else:
            environment.harness = channel
    events.request.add_listener(lambda **request: _record_ordinary_request(environment, **request))


@events.test_start.add_listener
def _test_start(environment: Any, **_: Any) -> None:
    runner = environment.runner
    controlled = _control_fd(environment) is not None
    if not isinstance(runner, MasterRunner):
        session = environment.load_session = LoadSession(environment, ordinary_requests)
        agent = environment.load_agent = Agent(runner, session)
        if isinstance(runner, WorkerRunner) and not controlled:
            session.on_schedules = lambda: agent.report_users(without_turns=True)
        if controlled:
            agent.report_all()
            gevent.spawn(_report_users, environment).link_exception(lambda done: _fail(environment, done))
        elif host := _host(environment):
            session.begin(0, Target.parse(host))
    if environment.harness is not None:
        gevent.spawn(_run_turns, environment).link_exception(lambda done: _fail(environment, done))


@events.test_stop.add_listener
def _test_stop(environment: Any, **_: Any) -> None:
    session, environment.load_session = environment.load_session, None
    if session is not None:
        session.finish()


def _control_fd(environment: Any) -> int | None:
    fd: int | None = environment.parsed_options.control_fd if environment.parsed_options else None
    return fd


def _host(environment: Any) -> str | None:
    return environment.host or next((cls.host for cls in environment.user_classes if cls.host), None)


def _report_users(environment: Any) -> None:
    """Report the users to the coordinator, once all users of this process have started."""
    from bench.load.users import HubHttpUser

    runner, session = environment.runner, environment.load_session
    ours = [cls.__name__ for cls in runner.user_classes if issubclass(cls, HubHttpUser)]
    with gevent.Timeout(MAX_JOIN_S, TimeoutError(f"not all users have started within {MAX_JOIN_S:g} s")):
        while runner.state != "running" or not all(_has_joined(runner, session, name) for name in ours):
            gevent.sleep(0.01)
    environment.load_agent.report_users()


def _has_joined(runner: Any, session: LoadSession, user_class: str) -> bool:
    users = runner.user_classes_count.get(user_class)
    return not users or session.has_all(user_class, users)


def _run_turns(environment: Any) -> None:
    runner, coordinator, harness = environment.runner, environment.load_coordinator, environment.harness
    agents = runner.worker_count if isinstance(runner, MasterRunner) else 1
    with gevent.Timeout(MAX_JOIN_S, TimeoutError(f"not all processes have started within {MAX_JOIN_S:g} s")):
        while coordinator.agents < agents:
            gevent.sleep(0.01)
    message = harness.next()
    if not isinstance(message, RunTurns):
        raise ValueError(f"the harness sent {message.kind} before the turns")
    harness.send(TurnsDone(coordinator.run_turns(message)))
    environment.process_exit_code = 0  # failed requests are facts of the trial, not errors of the generator
    runner.quit()


def _fail(environment: Any, failed: Any) -> None:
    """End this process at once: anything gentler would go on loading the servers."""
    logger.critical("The load failed", exc_info=failed.exc_info)
    if environment.harness is not None:
        environment.harness.send(LoadFailed(f"{type(failed.exception).__name__}: {failed.exception}"))
    os._exit(FAILED_STATUS)


def _record_ordinary_request(environment: Any, **request: Any) -> None:
    session: LoadSession | None = getattr(environment, "load_session", None)
    if session is None or request.get("response_time") is None:
        return
    error = request.get("exception")
    status = getattr(request.get("response"), "status_code", 0) or 0
    cause = _cause(error, status) if error else ""
    endpoint = f"{request['request_type']} {request['name']}"
    detail = str(error or "")
    session.record(endpoint, request["response_time"] / 1000, cause, detail, status if cause == "status" else 0)


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
