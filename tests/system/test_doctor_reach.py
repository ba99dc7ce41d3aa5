"""The doctor asks what is hard to ask, and says what came of it: frozen servers, endless answers, logins, mounted apps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from doctoring import APPS, SHORT, DoctorRun, blocking_lines, doctor_run
from harness import bench

PASSWORD = "open-sesame-and-more"
DATA = {"username": "ada", "password": PASSWORD}


@pytest.fixture(scope="module")
def reach(tmp_path_factory: pytest.TempPathFactory) -> DoctorRun:
    folder = tmp_path_factory.mktemp("reach")
    (folder / "variables").write_text(f"REACH_PASSWORD={PASSWORD}\n")
    (folder / "login.json").write_text(json.dumps(DATA))
    (folder / "params.json").write_text(json.dumps({"number": 6}))
    return doctor_run(
        folder,
        *("reach.main:app", "--app-dir", APPS, "--env-file", folder / "variables", *SHORT, "--users", 8),
        *("--login", "POST /token", "--login-data", folder / "login.json", "--params", folder / "params.json"),
    )


def endpoint(run: DoctorRun, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = (each for each in run.content["endpoints"] if each["endpoint"] == name)
    return found


def test_a_background_task_that_freezes_the_server_is_named_and_its_neighbour_is_innocent(reach: DoctorRun) -> None:
    frozen = endpoint(reach, "GET /report")
    assert 9 <= frozen["blocked_s"] <= 14
    assert frozen["blamed"]
    assert reach.lines[blocking_lines("reach/main.py")["background"]] == ["GET /report"]
    assert endpoint(reach, "GET /articles")["category"] in ("cpu-bound", "waiting-on-others", "idle")
    assert reach.lines.keys() == set(blocking_lines("reach/main.py").values())
    # What costs the others most comes first.
    assert reach.content["findings"][0]["endpoints"] == ["GET /report"]
    assert "keeps the server from answering anybody" in reach.content["headline"]


def test_a_server_that_freezes_under_load_is_a_finding_and_no_gap(reach: DoctorRun) -> None:
    frozen = endpoint(reach, "GET /counted")
    assert frozen["blocked_s"] >= 1
    assert frozen["problems"] == []
    assert reach.lines[blocking_lines("reach/main.py")["lock"]] == ["GET /counted"]


def test_a_login_is_made_on_every_server_and_measured_itself(reach: DoctorRun) -> None:
    assert endpoint(reach, "GET /me")["throughput_rps"] > 0
    assert endpoint(reach, "GET /me")["problems"] == []
    assert reach.lines[blocking_lines("reach/main.py")["login"]] == ["POST /token"]


def test_no_password_and_no_token_is_in_any_file(reach: DoctorRun) -> None:
    secret = PASSWORD.encode()
    files = [path for path in reach.run.rglob("*") if path.is_file()]
    assert [path for path in files if re.search(rb"Bearer [0-9a-f]{64}|" + secret, path.read_bytes())] == []


def test_long_answers_are_measured_for_what_they_are(reach: DoctorRun) -> None:
    for name in ("GET /events", "GET /poll"):
        found = endpoint(reach, name)
        assert found["is_long"], name
        assert found["problems"] == [], name
        assert found["health_p50_ms"] < 100, name
        assert not found["blamed"], name
    page = (reach.run / "index.html").read_text()
    assert "a long answer: it began after" in page
    assert "a long answer: it did not begin" in page


def test_mounted_apps_below_a_root_path_are_asked(reach: DoctorRun) -> None:
    names = {each["endpoint"] for each in reach.content["endpoints"]}
    assert {"GET /api/v1/admin/jobs", "GET /hidden/sums/{number}", "GET /ready"} <= {
        name.replace("/api/v1/hidden", "/hidden") for name in names
    }


def test_a_value_from_another_answer_has_its_source(reach: DoctorRun) -> None:
    assert endpoint(reach, "GET /articles/{slug}")["source"] == "slug from GET /articles"
    assert endpoint(reach, "GET /articles/{slug}")["throughput_rps"] > 0


def test_a_rate_limiter_is_called_one(reach: DoctorRun) -> None:
    (found,) = reach.content["skipped"]
    assert (found["name"], found["group"]) == ("GET /limited", "rate limit")
    asked = len(reach.content["endpoints"])
    assert (reach.content["operations_asked"], reach.content["operations"]) == (asked, asked + 1)
    assert "switch it off for the measurement" in reach.done.stdout.lower().replace("\n", " ")


def test_an_app_of_one_healthy_endpoint_is_healthy(tmp_path: Path) -> None:
    run = doctor_run(tmp_path, "single:app", "--app-dir", APPS, *SHORT)
    assert run.done.returncode == 0, run.done.stdout
    assert run.content["findings"] == []
    assert "no blocking found in the only operation" in run.content["headline"]
    assert "healthy, limited by CPU" in run.done.stdout
    few = bench("report", run.run, "--min-coverage", "60%")
    assert few.returncode == 0
