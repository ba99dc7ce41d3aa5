"""What the doctor makes of a run of arithmetic, whose answer is known; hostile names are harmless."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console
from synthetic import Histogram, beats, load_record, scenario, turn, write_run, write_trial

from bench.analysis.run_reader import read_run
from bench.doctor.findings import DoctorReport, doctor_report
from bench.doctor.findings_page import draw_doctor_run
from bench.doctor.findings_text import cost, headline, next_step, note, skipped_groups, state
from bench.doctor.remedies import Cause, async_replacement, remedies
from bench.results import files

WARM_S, BEGIN_S, END_S = 100.0, 101.0, 104.0
PROBER = "GET prober"
USERS = 32


@dataclass(frozen=True)
class Held:
    """A line that is charged with a share of the time."""

    share: float
    line: int = 7
    file: str = "shop/main.py"
    function: str = "report"
    callee: str = "time.sleep"
    kind: str = "loop"


@dataclass(frozen=True)
class Endpoint:
    name: str
    held: tuple[Held, ...] = ()
    cores: float = 0.1
    rps: float = 20.0
    status: str = "ok"
    latency_us: int = 1_600_000
    prober_us: int = 1_000


def report_of(run: Path, endpoints: Sequence[Endpoint], **declared: Any) -> DoctorReport:
    return doctor_report(read_run(written(run, endpoints, **declared)))


def written(run: Path, endpoints: Sequence[Endpoint], **declared: Any) -> Path:
    """The doctor's run on disk."""
    variant = {"name": "app", "role": "baseline", "summary": "shop.main:app", "bound": None, "workers": 1}
    names = {f"{number:02d}-x": each for number, each in enumerate(endpoints, start=1)}
    alone = load_record("users-1")
    made = {"alone": scenario((), rounds=1, endpoint=PROBER, variants=[variant], load=alone)}
    made |= {name: scenario((), rounds=1, endpoint=each.name, variants=[variant]) for name, each in names.items()}
    doctor = {
        "app": "shop.main:app",
        "python": "3.11.7",
        "uvicorn": "0.54.0",
        "watched": True,
        "users": USERS,
        "health_probe": "GET /ping",
        "endpoints": [
            {"scenario": name, "endpoint": each.name, "path": "/x", "alone_s": 0.05} for name, each in names.items()
        ],
        "skipped": [],
        "functions": [],
        "start_up": {"ready_s": 1.0, "stalls": []},
        "excerpts": [],
    }
    write_run(run, made, doctor=doctor | declared)
    _trial(run, "alone", Endpoint(PROBER, rps=1000, latency_us=600), "users-1")
    for name, each in names.items():
        _trial(run, name, each)
    return run


def _trial(run: Path, name: str, endpoint: Endpoint, load: str = f"users-{USERS}") -> None:
    length_s = END_S - BEGIN_S
    finished = round(endpoint.rps * length_s)
    histograms = [Histogram(endpoint.name, "service", BEGIN_S, length_s, {endpoint.latency_us: finished})]
    if endpoint.name != PROBER:
        histograms.append(Histogram(PROBER, "response", BEGIN_S, length_s, {endpoint.prober_us: 120}))
    row = {"start_s": BEGIN_S, "end_s": END_S, "measured": 1}
    write_trial(
        run,
        name,
        "app",
        1,
        load=load,
        histograms=histograms,
        counts=[{**row, "endpoint": endpoint.name, "started": finished, "finished": finished}],
        turns=[turn(WARM_S, BEGIN_S, END_S)],
        status=endpoint.status,
        reasons=[] if endpoint.status == "ok" else ["the generator waited for a core"],
        server={9: [beat | {"loop_cpu_s": beat["cpu_s"]} for beat in beats(99.5, 104.5, cores=endpoint.cores)]},
        stalls={9: [piece for held in endpoint.held for piece in _pieces(held)]},
    )


def _pieces(held: Held) -> list[dict[str, Any]]:
    place = {"file": held.file, "line": held.line, "function": held.function, "callee": held.callee}
    return [
        {"at_s": BEGIN_S + i / 10, "stall": 1, "kind": held.kind, "stalled_ms": 100 * held.share, "samples": 9, **place}
        for i in range(30)
    ]


def fine(number: int = 1) -> Endpoint:
    return Endpoint(f"GET /fine/{number}", rps=600.0, latency_us=52_000)


# Whose line


def test_one_line_is_one_finding_however_many_endpoints_it_holds_up(tmp_path: Path) -> None:
    found = report_of(tmp_path, [Endpoint("GET /a", (Held(0.5),)), Endpoint("GET /b", (Held(0.9),)), fine(1), fine(2)])
    (finding,) = found.findings
    assert finding.location is not None
    assert (finding.location.where, finding.endpoints) == ("shop/main.py:7", ("GET /b", "GET /a"))
    assert finding.share == pytest.approx(0.9, abs=0.02)
    assert not finding.everywhere


def test_a_line_in_every_endpoint_accuses_none_of_them(tmp_path: Path) -> None:
    shared = Held(0.6, line=3, function="audit")
    own = Held(0.35, line=20)
    endpoints = [Endpoint("GET /a", (shared, own)), *(Endpoint(f"GET /{i}", (shared,)) for i in range(3))]
    drawn = draw_doctor_run(written(tmp_path, endpoints))
    first, second = drawn.report.findings
    assert (first.everywhere, len(first.endpoints)) == (True, 4)
    assert (second.everywhere, second.endpoints) == (False, ("GET /a",))
    content = json.loads((tmp_path / "doctor.json").read_text())
    assert [each["endpoint"] for each in content["endpoints"] if each["blamed"]] == ["GET /a"]


def test_lines_of_one_function_add_up_and_the_worst_stands_for_it(tmp_path: Path) -> None:
    shares = {11: 0.07, 12: 0.07, 13: 0.09}
    lines = tuple(Held(share, line=number, function="score", callee="") for number, share in shares.items())
    (finding,) = report_of(tmp_path, [Endpoint("GET /a", lines), fine()]).findings
    assert finding.location is not None
    assert (finding.location.line, finding.share) == (13, pytest.approx(0.23, abs=0.02))


def test_a_line_that_is_held_now_and_then_is_not_accused(tmp_path: Path) -> None:
    assert report_of(tmp_path, [Endpoint("GET /a", (Held(0.04),)), fine()]).findings == ()


def test_many_small_computations_are_a_busy_server_and_long_ones_a_blocked_loop(tmp_path: Path) -> None:
    held = (Held(0.4, callee="json.dumps"),)
    busy = Endpoint("GET /busy", held, cores=0.95, rps=500.0)
    threads = Endpoint("GET /threads", (Held(0.5, kind="gil", callee="x.y"),), cores=0.95, rps=500.0)
    long = Endpoint("GET /long", (Held(0.9, line=9, function="score", callee=""),), cores=0.95, rps=20.0)
    found = report_of(tmp_path, [busy, threads, long, fine()])
    categories = [verdict.category for verdict in found.verdicts]
    assert categories == ["CPU-bound", "CPU-bound", "loop blocked", "waiting on others"]
    (finding,) = found.findings
    assert finding.endpoints == ("GET /long",)
    assert "process pool" in finding.remedies[0]
    assert finding.gain is None or finding.gain.formula.startswith("min(N, ")


def test_nobodys_line_is_a_finding_of_its_endpoint(tmp_path: Path) -> None:
    stranger = Held(0.9, line=0, file="", function="", callee="fastapi.encoders.jsonable_encoder")
    (finding,) = report_of(tmp_path, [Endpoint("GET /a", (stranger,), cores=0.9, rps=10.0), fine()]).findings
    assert (finding.location, finding.endpoints) == (None, ("GET /a",))
    assert finding.worst.top_callee == "fastapi.encoders.jsonable_encoder"


def test_the_gain_is_the_laws_but_no_more_than_any_endpoint_here_reached(tmp_path: Path) -> None:
    blocked = Endpoint("GET /a", (Held(0.97),))
    (finding,) = report_of(tmp_path / "law", [blocked, Endpoint("GET /b", rps=5000.0)]).findings
    assert finding.gain is not None
    assert (finding.gain.formula, finding.gain.max_rps) == ("min(N, 40)/S", pytest.approx(32 / 0.05))
    (finding,) = report_of(tmp_path / "cap", [blocked, Endpoint("GET /b", rps=100.0)]).findings
    assert finding.gain is not None
    assert (finding.gain.capped, finding.gain.max_rps) == (True, pytest.approx(100.0))


def test_roles_come_from_the_inspection_and_excerpts_with_the_run(tmp_path: Path) -> None:
    known = {"role": "dependency", "name": "user", "file": "shop/main.py", "first": 5, "last": 9, "awaits": True}
    excerpt = {"file": "shop/main.py", "line": 7, "first": 6, "text": ["async def user():", "    time.sleep(1)"]}
    found = report_of(tmp_path, [Endpoint("GET /a", (Held(0.9),)), fine()], functions=[known], excerpts=[excerpt])
    location = found.findings[0].location
    assert location is not None
    assert (location.role, location.awaits, location.excerpt[1]) == ("dependency", True, "    time.sleep(1)")


def test_an_invalid_trial_is_told_and_accuses_nobody(tmp_path: Path) -> None:
    found = report_of(tmp_path, [Endpoint("GET /a", (Held(0.9),), status="invalid"), fine()])
    assert found.findings == ()
    assert found.verdicts[0].problems == ("the generator waited for a core",)
    assert not found.verdicts[0].measured


def test_failing_names_findings_and_endpoints_without_one(tmp_path: Path) -> None:
    busy = Endpoint("GET /busy", cores=0.95, rps=500.0)
    found = report_of(tmp_path, [Endpoint("GET /a", (Held(0.9),)), busy])
    assert found.failing(["loop-blocked"]) == ("loop blocked: shop/main.py:7",)
    assert found.failing(["cpu-bound"]) == ("CPU-bound: GET /busy",)
    assert found.failing(["gil-bound"]) == ()


def test_a_run_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, {})
    with pytest.raises(files.BrokenFile, match="not a run of the doctor"):
        doctor_report(read_run(tmp_path))


# What was asked, and what was not


def skipped(*groups: str) -> list[dict[str, str]]:
    return [{"name": f"GET /s{number}", "reason": "why", "group": group} for number, group in enumerate(groups)]


def test_low_coverage_is_said_first_with_the_step_that_raises_it_most(tmp_path: Path) -> None:
    left_out = skipped("value", "login", "login", "login", "excluded", "excluded", "excluded", "excluded")
    found = report_of(tmp_path, [fine(1), fine(2)], skipped=left_out)
    assert (found.asked, found.operations) == (2, 6)
    assert headline(found).startswith("Only 2 of 6 operations were asked. ")
    assert headline(found).endswith("no blocking found in them, with 32 users at each.")
    assert next_step(found).startswith("3 of the others want a login. Give `--login")
    assert [(len(each.operations), each.title) for each in skipped_groups(found)] == [
        (3, "want a login"),
        (1, "needs a value that is not known"),
        (4, "were excluded by you"),
    ]


def test_writes_that_look_like_reading_are_proposed(tmp_path: Path) -> None:
    names = ("POST /flows/filter", "POST /runs/filter", "POST /runs/count", "POST /runs", "DELETE /runs/search")
    left_out = [{"name": name, "reason": "why", "group": "write"} for name in names]
    (group,) = skipped_groups(report_of(tmp_path, [fine()], skipped=left_out))
    assert group.remedy.startswith(
        'Some look as if they only read: `--include "POST */filter"` `--include "POST */count"`. '
    )


def test_a_rate_limiter_for_the_whole_app_comes_first(tmp_path: Path) -> None:
    left_out = skipped(*["rate limit"] * 3, *["write"] * 9)
    assert next_step(report_of(tmp_path, [fine()], skipped=left_out)).startswith(
        "3 of the others were refused by a rate"
    )


def test_coverage_that_is_not_full_is_said_with_what_was_found(tmp_path: Path) -> None:
    found = report_of(tmp_path, [fine(1), fine(2)], skipped=skipped("login"))
    assert "no blocking found in the 2 of 3 operations that were asked" in headline(found)
    assert next_step(found).startswith("2 of 3 operations were asked. 1 of the others wants a login.")


def test_full_coverage_is_said_in_passing(tmp_path: Path) -> None:
    found = report_of(tmp_path, [fine(1), fine(2)], skipped=skipped("excluded"))
    assert found.coverage == 1.0
    assert "no blocking found in all 2 operations" in headline(found)
    assert next_step(found) == ""


def test_the_page_shows_what_was_not_asked_before_the_endpoints(tmp_path: Path) -> None:
    page = draw_doctor_run(written(tmp_path, [fine()], skipped=skipped("value", "write"))).page.read_text()
    assert page.index('id="not-asked"') < page.index('id="endpoints"')
    assert page.index("--write-params") < page.index('id="endpoints"')


# Frozen, slow, long, cold


BLOCKED: dict[str, Any] = {
    "endpoint": "GET /frozen",
    "path": "/frozen",
    "blocked_s": 11.0,
    "at_least": True,
    "by": {"file": "shop/jobs.py", "line": 8, "function": "rebuild", "callee": "time.sleep", "stalled_s": 11.0},
}


def test_one_request_that_freezes_the_server_is_the_worst_finding(tmp_path: Path) -> None:
    endpoints = [Endpoint("GET /a", (Held(0.97),), prober_us=800_000), fine()]
    found = report_of(tmp_path, endpoints, blocked=[BLOCKED])
    first, second = found.findings
    assert first.location is not None
    assert (first.location.where, first.endpoints, first.gain) == ("shop/jobs.py:8", ("GET /frozen",), None)
    assert second.endpoints == ("GET /a",)
    assert "keeps the server from answering anybody for at least 11 s" in cost(found, first)
    assert found.failing(["loop-blocked"]) == ("loop blocked: shop/jobs.py:8", "loop blocked: shop/main.py:7")
    assert (found.asked, found.operations) == (3, 3)


def test_a_server_that_answers_nobody_under_load_is_a_finding_and_no_gap(tmp_path: Path) -> None:
    endpoints = [Endpoint("GET /frozen", (Held(0.97),), status="invalid"), fine()]
    found = report_of(tmp_path, endpoints, blocked=[BLOCKED | {"under_load": True, "blocked_s": 6.0}])
    (finding,) = found.findings
    assert finding.location is not None
    assert finding.location.where == "shop/jobs.py:8"
    assert "While GET /frozen is under load, the server answers nobody, for at least 6 s" in cost(found, finding)
    assert [verdict.endpoint for verdict in found.verdicts] == ["GET /frozen", "GET /fine/1"]


def test_a_frozen_server_without_a_line_is_a_finding_of_its_endpoint(tmp_path: Path) -> None:
    (finding,) = report_of(tmp_path, [fine()], blocked=[BLOCKED | {"by": None}]).findings
    assert (finding.location, finding.endpoints) == (None, ("GET /frozen",))


def test_an_endpoint_beside_which_others_wait_is_never_healthy(tmp_path: Path) -> None:
    slow = Endpoint("GET /slow", cores=0.95, rps=500.0, prober_us=1_200_000)
    found = report_of(tmp_path, [slow, fine()])
    assert [state(found, verdict) for verdict in found.verdicts] == [
        "slow: 1.2 s for others",
        "healthy, waits on others",
    ]
    assert "but beside GET /slow other requests take 1.2 s" in headline(found)


def test_a_healthy_endpoint_that_uses_its_core_is_healthy(tmp_path: Path) -> None:
    found = report_of(tmp_path, [Endpoint("GET /busy", cores=0.95, rps=500.0)])
    assert state(found, found.verdicts[0]) == "healthy, limited by CPU"
    assert note(found.verdicts[0]) == "healthy, limited by CPU at 500 requests/s"


def test_a_cold_start_and_the_source_of_a_value_are_told(tmp_path: Path) -> None:
    run = written(tmp_path, [fine(1), fine(2)])
    content = json.loads((run / "run.json").read_text())
    content["doctor"]["endpoints"][0] |= {"first_s": 3.2, "source": "slug from GET /articles"}
    (run / "run.json").write_text(json.dumps(content))
    first, second = doctor_report(read_run(run)).verdicts
    assert "its first request took 3.2 s: a cold start" in note(first)
    assert "asked with slug from GET /articles" in note(first)
    assert "cold" not in note(second)


def test_lines_that_only_a_static_check_suspects_stand_apart(tmp_path: Path) -> None:
    lines = [
        {"file": "shop/main.py", "line": line, "rule": "ASYNC251", "message": "Async functions should not call"}
        for line in (7, 90)
    ]
    found = report_of(tmp_path, [Endpoint("GET /a", (Held(0.9),))], suspected=lines)
    assert [each.line for each in found.suspected] == [90]


# Remedies


@pytest.mark.parametrize(
    ("callee", "instead"),
    [
        ("time.sleep", "asyncio.sleep"),
        ("requests.get", "httpx.AsyncClient"),
        ("psycopg.Connection.execute", "psycopg.AsyncConnection, from an AsyncConnectionPool"),
        ("psycopg2.connect", "psycopg.AsyncConnection or asyncpg"),
        ("redis.client.Redis.get", "redis.asyncio"),
        ("redistribute.now", ""),
        ("httpx.AsyncClient.get", ""),
        ("", ""),
    ],
)
def test_what_is_awaited_in_place_of_a_call(callee: str, instead: str) -> None:
    assert async_replacement(callee) == instead


@pytest.mark.parametrize(
    "callee", ["hashlib.pbkdf2_hmac", "bcrypt.hashpw", "passlib.CryptContext.verify", "zlib.compress"]
)
def test_c_code_that_releases_the_lock_goes_to_a_thread(callee: str) -> None:
    (found,) = remedies(
        Cause("loop blocked", callee=callee, role="dependency", function="user", awaits=True, computes=True)
    )
    assert "drop `async` from the dependency `user`" in found
    assert f"run_in_threadpool({callee}, ...)" in found
    assert "process pool" not in found


@pytest.mark.parametrize(
    ("role", "awaits", "says"),
    [
        ("endpoint", True, "drop `async` from the endpoint `f`"),
        ("dependency", True, "drop `async` from the dependency `f`"),
        ("middleware", True, "Middleware has to stay `async`"),
        ("", None, "as a background task, drop `async`"),
    ],
)
def test_how_a_call_gets_off_the_loop_depends_on_whose_it_is(role: str, awaits: bool | None, says: str) -> None:
    found = remedies(Cause("loop blocked", callee="x.y", role=role, function="f", awaits=awaits))
    assert says in found[-1]
    assert "`await run_in_threadpool(x.y, ...)`" in found[-1]


# Hostile names

HOSTILE = "<script>alert(1)</script> | [x](javascript:1) \u202egnp.\x1b[31m `` **b** @all " + "y" * 5000


def test_hostile_names_stay_harmless_everywhere(tmp_path: Path) -> None:
    held = Held(0.9, file="<img src=x>.py", function="<b>f</b>", callee="a`b|c<d>")
    excerpt = {"file": held.file, "line": 7, "first": 7, "text": ["<script>alert(2)</script>\x00"]}
    declared = {
        "app": HOSTILE,
        "health_probe": HOSTILE,
        "excerpts": [excerpt],
        "skipped": [{"name": HOSTILE, "reason": HOSTILE, "group": HOSTILE}],
        "blocked": [BLOCKED | {"endpoint": HOSTILE, "by": BLOCKED["by"] | {"file": "<img src=y>.py"}}],
        "suspected": [{"file": HOSTILE, "line": 1, "rule": HOSTILE, "message": HOSTILE}],
        "packages": {"fastapi": HOSTILE},
    }
    drawn = draw_doctor_run(written(tmp_path, [Endpoint("GET /" + HOSTILE, (held,)), fine()], **declared))
    page = drawn.page.read_text()
    for tag in ("<script", "<img", "<b>f", "\u202e", "\x1b", "\x00"):
        assert tag not in page
    assert len(page) < 300_000
    summary = (tmp_path / "summary.md").read_text()
    source, rest = (  # what is indented is code, where nothing is markup
        "\n".join(line for line in summary.splitlines() if line.startswith("    ") == code) for code in (True, False)
    )
    assert re.search(r"(?<!\\)<|(?<!\\)\[x|(?<!\\)\*\*b", rest) is None
    assert "\u202e" not in rest + source
    assert "\x1b" not in rest + source
    rows = [line for line in summary.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {8}
    ElementTree.parse(tmp_path / "junit.xml")
    console = Console(width=100, force_terminal=True, record=True)
    with console.capture() as captured:
        console.print(drawn.table)
    assert "\u202e" not in captured.get()
    assert "\x1b[31mgnp" not in captured.get()
