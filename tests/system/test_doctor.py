"""The doctor on real apps: every line that blocks is named, no other endpoint is blamed, and nothing is done unasked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from xml.etree import ElementTree

import pytest
from doctoring import APPS, SHORT, DoctorRun, blocking_lines, doctor_run
from harness import Bench, bench
from measuring import is_disturbance

from bench.model import READY_PATH
from bench.running.services import Services

# Six faults


@pytest.fixture(scope="module")
def six_faults(tmp_path_factory: pytest.TempPathFactory) -> DoctorRun:
    """The app with six faults and three harmless endpoints; its database and its upstream are real."""
    folder = tmp_path_factory.mktemp("six-faults")
    with Services(("postgres", "upstream"), folder) as services:
        services.reset()
        assert services.failure() is None
        variables = folder / "variables"
        variables.write_text("".join(f"{key}={value}\n" for key, value in services.environment.items()))
        target = ("six_faults.few:app", "--app-dir", APPS, "--env-file", variables)
        return doctor_run(folder, *target, *SHORT, "--fail-on", "loop-blocked")


def test_every_fault_is_named_to_the_line_and_no_other_endpoint_is_blamed(six_faults: DoctorRun) -> None:
    expected = blocking_lines("six_faults/blocking.py", "six_faults/audit.py")
    assert len(expected) == 6
    assert six_faults.lines == {
        expected["dependency"]: ["GET /blocking/profile"],
        expected["middleware"]: ["GET /blocking/audited"],
        expected["background"]: ["GET /blocking/welcome"],
        expected["http"]: ["GET /blocking/rates"],
        expected["database"]: ["GET /blocking/orders"],
        expected["cpu"]: ["GET /blocking/score"],
    }
    assert six_faults.blamed_endpoints == {name for names in six_faults.lines.values() for name in names}
    assert six_faults.problems == []


def test_a_finding_says_whose_line_it_is_and_what_helps(six_faults: DoctorRun) -> None:
    found = {finding["endpoints"][0]: finding for finding in six_faults.content["findings"]}
    roles = {name: finding["location"]["role"] for name, finding in found.items()}
    assert roles == {
        "GET /blocking/profile": "dependency",
        "GET /blocking/audited": "middleware",
        "GET /blocking/welcome": "",
        "GET /blocking/rates": "endpoint",
        "GET /blocking/orders": "endpoint",
        "GET /blocking/score": "",
    }
    first = {name: finding["remedies"][0] for name, finding in found.items()}
    assert "asyncio.sleep" in first["GET /blocking/profile"]
    assert "httpx.AsyncClient" in first["GET /blocking/rates"]
    assert "psycopg.AsyncConnection" in first["GET /blocking/orders"]
    assert "process pool" in first["GET /blocking/score"]
    assert found["GET /blocking/profile"]["gain"]["formula"] == "min(N, 40)/S"
    assert all(finding["category"] == "loop-blocked" for finding in found.values())


def test_others_wait_beside_blocking_endpoints_and_not_beside_harmless_ones(six_faults: DoctorRun) -> None:
    prober_ms = {each["endpoint"]: each["health_p50_ms"] for each in six_faults.content["endpoints"]}
    harmless = [prober_ms[name] for name in ("GET /awaited", "GET /threaded") if prober_ms[name] is not None]
    blocking = [prober_ms[name] for name in six_faults.blamed_endpoints]
    assert harmless
    assert min(blocking) > 3 * max(harmless)


def test_it_fails_on_what_it_was_asked_to(six_faults: DoctorRun) -> None:
    assert six_faults.done.returncode == 1
    for line in blocking_lines("six_faults/blocking.py", "six_faults/audit.py").values():
        assert f"fails: loop blocked: {line}" in six_faults.done.stdout
    again = bench("report", six_faults.run, "--fail-on", "gil-bound,threadpool-exhausted")
    assert (again.returncode, again.stderr) == (0, "")


def test_junit_xml_has_a_case_for_every_endpoint(six_faults: DoctorRun) -> None:
    bench("report", six_faults.run, "--fail-on", "loop-blocked")
    suite = ElementTree.parse(six_faults.run / "junit.xml").getroot()
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert set(cases) == {each["endpoint"] for each in six_faults.content["endpoints"]}
    assert {name for name, case in cases.items() if case.find("failure") is not None} == six_faults.blamed_endpoints
    assert suite.get("failures") == str(len(six_faults.blamed_endpoints))


def test_page_and_markdown_show_the_lines(six_faults: DoctorRun) -> None:
    page, summary = ((six_faults.run / name).read_text() for name in ("index.html", "summary.md"))
    for line in blocking_lines("six_faults/blocking.py", "six_faults/audit.py").values():
        assert line in page
        assert line.replace("_", "\\_") in summary
    assert "total += number * number % 7" in page
    assert "total += number * number % 7" in summary
    assert re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page) is None


# An app that writes down what it is asked, in an interpreter of its own


def own_interpreter(folder: Path) -> Path:
    """A virtual environment that finds the packages of ours, as if they had been installed there."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, capture_output=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


class _Trap(BaseHTTPRequestHandler):
    """Whoever comes here has sent something to where nobody asked it to."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    do_POST = do_CONNECT = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def trap() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Trap)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class LoggedRun:
    doctor: DoctorRun
    entries: set[tuple[str, str, str]]
    elsewhere: list[str]
    """Requests that were sent elsewhere."""


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, trap: HTTPServer) -> LoggedRun:
    """The doctor's run on the app, with a proxy in the environment that nothing must be sent to."""
    folder = tmp_path_factory.mktemp("logged")
    elsewhere = f"http://127.0.0.1:{trap.server_port}"
    interpreter = own_interpreter(folder / "own")
    (folder / "variables").write_text(f"REQUEST_LOG={folder}/requests.log\nELSEWHERE={elsewhere}\n")
    (folder / "params.json").write_text(json.dumps({"GET /notes/{number}": {"number": 7}}))
    arguments = [
        *("doctor", "logged:app", "--app-dir", APPS, "--env-file", folder / "variables", *SHORT),
        *("--python", interpreter),
        *("--include", "POST /search", "--exclude", "GET /one", "--header", "X-Token: open sesame"),
        *("--params", folder / "params.json", "--results", folder, "--run", "r"),
    ]
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), elsewhere)
    with Bench(*arguments, env=proxies) as started:
        out, err = started.popen.communicate(timeout=240)
        done = subprocess.CompletedProcess(started.popen.args, started.popen.returncode, out, err)
    lines = (folder / "requests.log").read_text().splitlines()
    entries = {tuple(line.split(" ", 2)) for line in lines if READY_PATH not in line}
    return LoggedRun(DoctorRun(done, folder / "r"), entries, trap.asked)  # type: ignore[arg-type, attr-defined]


def test_nothing_unsafe_is_asked_unbidden(logged: LoggedRun) -> None:
    asked = {(method, path) for method, path, _ in logged.entries}
    assert asked == {
        ("GET", "/hidden/api.json"),
        ("GET", "/two"),
        ("GET", "/away"),
        ("GET", "/secret"),
        ("GET", "/notes/7"),
        ("POST", "/search"),
    }


def test_nothing_is_sent_elsewhere(logged: LoggedRun) -> None:
    assert logged.elsewhere == []


def test_the_users_header_goes_with_every_request_and_into_no_file(logged: LoggedRun) -> None:
    asked = {(method, path) for method, path, _ in logged.entries if not path.startswith("/hidden")}
    assert {(method, path) for method, path, token in logged.entries if token == "open sesame"} == asked
    # Whether the server is up is asked without it: any answer will do.
    assert {method for method, _, token in logged.entries if token != "open sesame"} <= {"GET"}
    files = [path for path in logged.doctor.run.rglob("*") if path.is_file()]
    assert [path for path in files if b"open sesame" in path.read_bytes()] == []


def test_the_app_runs_in_its_own_interpreter(logged: LoggedRun) -> None:
    interpreters = (logged.doctor.run.parent / "interpreters").read_text().splitlines()
    assert set(interpreters) == {str(logged.doctor.run.parent / "own" / "bin" / "python")}


def test_what_was_skipped_is_said_with_the_reason(logged: LoggedRun) -> None:
    skipped = {each["name"]: each["reason"] for each in logged.doctor.content["skipped"]}
    assert skipped.keys() == {
        *("GET /one", "POST /notes", "PUT /notes/{number}", "DELETE /notes/{number}", "GET /secret")
    }
    assert skipped["GET /secret"].startswith("answered with status 403: ")
    assert '--include "POST /notes"' in skipped["POST /notes"]


def test_a_line_that_holds_up_every_endpoint_is_blamed_once_and_they_are_not(logged: LoggedRun) -> None:
    (finding,) = logged.doctor.content["findings"]
    assert f"{finding['location']['file']}:{finding['location']['line']}" == blocking_lines("logged.py")["middleware"]
    assert finding["everywhere"]
    assert finding["location"]["role"] == "middleware"
    assert set(finding["endpoints"]) == {"GET /two", "GET /away", "GET /notes/{number}", "POST /search"}
    assert logged.doctor.blamed_endpoints == set()
    assert [reason for reason in logged.doctor.problems if not is_disturbance(reason)] == []


def test_who_holds_up_the_start_is_named(logged: LoggedRun) -> None:
    (held,) = logged.doctor.content["start_up"]
    location = held["location"]
    assert f"{location['file']}:{location['line']}" == blocking_lines("logged.py")["start-up"]
    assert location["callee"] == "time.sleep"
    assert 0.8 <= held["stalled_s"] <= 3
