"""The web UI: driven over HTTP and in a real browser, with real servers and real Locust."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from harness import PATIENCE_S, UGLY, Bench, lives, until
from measuring import undisturbed

from bench.results import files

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
UNBUFFERED = {**os.environ, "PYTHONUNBUFFERED": "1"}
LOGIN = {"BENCH_WEB_USER": "ada", "BENCH_WEB_PASSWORD": "notes on the engine"}


class WebUi:
    """``python -m bench web ...`` with what a browser would ask it."""

    def __init__(self, harness: Bench, url: str) -> None:
        self.harness = harness
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=PATIENCE_S)

    @property
    def state(self) -> dict[str, Any]:
        self.harness.descendants()
        state: dict[str, Any] = self.http.get("/bench/state").json()
        return state

    def start(self, variant: str, **form: object) -> dict[str, Any]:
        fields = {"variant": variant, "user_count": 4, "spawn_rate": 100, "run_time": "1", "arrival_rate": "", **form}
        answer: dict[str, Any] = self.http.post("/swarm", data=fields).json()
        return answer

    def stop(self) -> None:
        assert self.http.post("/stop").json()["success"]

    def wait(self, *phases: str) -> dict[str, Any]:
        """Wait for one of the phases; an empty one is rest."""
        self.harness.wait_for(lambda: self.state["phase"] in phases, f"a phase of {phases}")
        return self.state

    def measure(self, variant: str, **form: object) -> dict[str, Any]:
        """Measure until other programs do not disturb it, and return its row. It ends by its run time."""

        def measure() -> dict[str, Any]:
            assert self.start(variant, **form)["success"]
            row: dict[str, Any] = self.wait("")["runs"][-1]
            return row

        return undisturbed(measure, lambda row: row["reasons"], "test_web")

    def page(self) -> str:
        """The page of the last measurement's run; empty while there is none."""
        answer = self.http.get(f"/bench/report/{self.state['runs'][-1]['run']}/")
        return answer.text if answer.status_code == 200 else ""

    def servers(self) -> list[psutil.Process]:
        """The uvicorn processes that live."""
        return [each for each in self.harness.descendants() if lives(each) and _words(each)[1:3] == ["-m", "uvicorn"]]

    def end(self) -> None:
        """Ctrl-C: it ends at once, well, and leaves nobody."""
        self.http.close()
        self.harness.signal_group(signal.SIGINT)
        assert self.harness.popen.wait(PATIENCE_S) == 0
        until(lambda: not self.harness.left(), "nobody is left")


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def web_ui(results: Path, *arguments: object, env: dict[str, str] | None = None) -> Iterator[WebUi]:
    with Bench("web", *arguments, "--results", results, env=env) as harness:
        assert harness.popen.stdout is not None
        said = harness.popen.stdout.readline()
        found = re.match(r"(http://\S+)  \(Ctrl-C ends it\)", said)
        assert found, said + str(harness.popen.communicate())
        yield WebUi(harness, found[1])


@pytest.fixture(scope="module")
def ugly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUi]:
    with web_ui(tmp_path_factory.mktemp("ugly"), "--apps", UGLY) as ui:
        yield ui
        ui.end()


def test_a_measurement_is_recorded_like_any_other(ugly: WebUi) -> None:
    row = ugly.measure("ugly_run/fine")
    assert (row["status"], row["reasons"]) == ("ok", [])
    ugly.harness.wait_for(lambda: bool(ugly.state["pages"]), "the page is drawn")
    row = ugly.state["runs"][-1]
    assert 20 <= row["latency_p50_ms"]["value"] <= 1000
    page = ugly.http.get(f"/bench/report/{row['run']}/")
    assert page.status_code == 200
    assert "ugly_run" in page.text


def test_pages_of_other_folders_are_not_served(ugly: WebUi) -> None:
    assert ugly.http.get("/bench/report/latest/").status_code == 404
    assert ugly.http.get("/bench/report/%2e%2e/").status_code == 404


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"variant": "ugly_run/none"}, "there is no variant 'ugly_run/none'"),
        ({"user_count": "0"}, "from 1 to 1000, not '0'"),
        ({"user_count": "many"}, "from 1 to 1000, not 'many'"),
        ({"spawn_rate": "nan"}, "the spawn rate is a number above 0"),
        ({"arrival_rate": "-3"}, "the arrival rate is a number above 0"),
        ({"run_time": "soon"}, "the run time is a duration such as 10, 20s or 1m30s"),
        ({"run_time": "2h"}, "up to 10 minutes"),
    ],
)
def test_what_is_not_allowed_is_refused_in_the_form(ugly: WebUi, form: dict[str, str], said: str) -> None:
    answer = ugly.start(**{"variant": "ugly_run/fine", **form})
    assert not answer["success"]
    assert said in answer["message"]
    assert ugly.state["phase"] == ""
    assert not ugly.servers()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path", ["/", "/swarm", "/stop", "/stats/requests", "/bench/state", "/bench/ui.js", "/nowhere"]
)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Host": "rebound.example.org"},
    ],
    ids=["origin", "no origin", "cross-site", "same-site", "rebound"],
)
def test_a_page_of_another_site_gets_nothing(ugly: WebUi, method: str, path: str, headers: dict[str, str]) -> None:
    form = {"variant": "ugly_run/fine"} if method == "POST" else None
    answer = ugly.http.request(method, path, data=form, headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert ugly.state["phase"] == ""


def test_no_answer_opens_the_ui_to_other_sites(ugly: WebUi) -> None:
    for path in ("/", "/stats/requests", "/bench/state", "/nowhere"):
        answer = ugly.http.get(path)
        assert answer.status_code in (200, 404)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


ATTACK = """<body><script>
const target = "%s";
const form = new URLSearchParams({variant: "ugly_run/fine", user_count: 4, spawn_rate: 100, run_time: "5"});
const tried = [
  fetch(target + "/swarm", {method: "POST", body: form, mode: "no-cors"}).then(() => "sent", () => "refused"),
  fetch(target + "/swarm", {method: "POST", body: form}).then(() => "read", () => "refused"),
  fetch(target + "/bench/state").then(() => "read", () => "refused"),
  new Promise(done => { const i = new Image(); i.onload = i.onerror = () => done("asked"); i.src = target + "/stop"; }),
];
Promise.all(tried).then(said => { document.title = said.join(" "); });
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)")
def test_another_sites_page_in_a_browser_can_neither_start_nor_read(ugly: WebUi, tmp_path: Path) -> None:
    """A page of another origin, and one whose name leads here only since its DNS entry has changed (rebinding)."""
    before = ugly.state["runs"]
    port = ugly.url.rpartition(":")[2]
    (tmp_path / "index.html").write_text(ATTACK % ugly.url)
    serve = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), "0"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=UNBUFFERED) as site:
        try:
            assert site.stdout is not None
            found = re.search(r"port (\d+)", site.stdout.readline())
            assert found
            with _browser("--host-resolver-rules=MAP evil.example 127.0.0.1") as browser:
                page = browser.new_page()
                for name in ("evil.example", "127.0.0.1"):
                    page.goto(f"http://{name}:{found[1]}/")
                    page.wait_for_function("document.title != ''")
                    assert page.title().split()[1:] == ["refused", "refused", "asked"]
                rebound = page.goto(f"http://evil.example:{port}/")
                assert rebound is not None
                assert rebound.status == 403
        finally:
            site.kill()
    assert ugly.state["phase"] == ""
    assert ugly.state["runs"] == before


def test_a_variant_that_does_not_come_up_says_why(ugly: WebUi) -> None:
    ugly.start("ugly_start/import_error")
    state = ugly.wait("")
    assert "import_error failed: exited with status" in state["problem"]
    assert "there_is_no_such_name" in state["runs"][-1]["log_tail"]
    assert not ugly.servers()


def test_stop_while_the_server_comes_up(ugly: WebUi) -> None:
    before = ugly.state["runs"]
    ugly.start("ugly_start/never_ready")
    ugly.harness.wait_for(lambda: bool(ugly.state) and bool(ugly.servers()), "the server has been started")
    assert ugly.http.get("/stats/requests").json()["state"] == "spawning"
    begun_s = time.monotonic()
    ugly.stop()
    assert time.monotonic() - begun_s < 12, "it was waited for in vain until the server's deadline"
    assert not ugly.servers()
    assert ugly.state["runs"] == before
    assert "stopped before anything was measured" in ugly.state["problem"]


def test_start_twice_and_another_start(ugly: WebUi) -> None:
    before = len(ugly.state["runs"])
    for _ in range(2):  # the same: pressed twice
        assert ugly.start("ugly_run/never_answers", run_time="30")["success"]
    ugly.wait("measuring")
    assert ugly.start("ugly_run/fine", user_count=2, run_time="3")["success"]  # another: takes the place of the first
    ugly.wait("measuring")
    assert len(ugly.servers()) == 1
    ugly.wait("")
    added = [row["variant"] for row in ugly.state["runs"][before:]]
    assert added == ["never_answers", "fine"]


def test_a_server_that_dies_under_load(ugly: WebUi) -> None:
    ugly.start("ugly_run/killed", run_time="60")
    state = ugly.wait("")
    assert "was killed by SIGKILL while it was measured" in state["problem"]
    assert not ugly.servers()


def test_stop_ends_the_load_and_keeps_what_was_measured(ugly: WebUi) -> None:
    def measure() -> dict[str, Any]:
        ugly.start("ugly_start/fine", run_time="")
        ugly.wait("measuring")
        time.sleep(1.5)  # what a trial needs at least; it would go on for minutes
        ugly.stop()
        row: dict[str, Any] = ugly.state["runs"][-1]
        return row

    row = undisturbed(measure, lambda row: row["reasons"], "test_web")
    assert not ugly.servers()
    assert (row["scenario"], row["variant"]) == ("ugly_start", "fine")
    assert (row["status"], row["reasons"]) == ("ok", [])


def test_arrivals_by_a_timetable(ugly: WebUi) -> None:
    row = ugly.measure("ugly_run/fine", arrival_rate="50", run_time="2")
    assert row["load"] == "rate-50"
    assert 40 <= row["endpoints"]["GET /report"]["throughput_rps"] <= 55
    assert row["run"].endswith("-3"), "users-4, users-2, rate-50: each load has a run of its own"


def test_ctrl_c_under_load_leaves_nobody_and_no_half_trial(tmp_path: Path) -> None:
    with web_ui(tmp_path, "--apps", UGLY, "--processes", "2") as ui:
        row = ui.measure("ugly_run/fine", run_time="2")
        assert (row["status"], row["reasons"]) == ("ok", [])
        assert row["endpoints"]["GET /report"]["throughput_rps"] > 20
        assert len(ui.http.get("/stats/requests").json()["workers"]) == 2
        _knock_on_masters_port(ui)
        assert len(ui.http.get("/stats/requests").json()["workers"]) == 2
        ui.start("ugly_run/fine", run_time="60")
        ui.wait("measuring")
        ui.end()
    run = tmp_path / row["run"]
    kept = 1 if row["status"] == "ok" else 0  # what is no evidence is replaced by what comes next
    assert len(list((run / "ugly_run/fine/users-4").glob("*/trial.json"))) == kept
    assert list(files.read_json(run / "run.json")["scenarios"]) == ["ugly_run"]


def test_nothing_measured_leaves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with web_ui(tmp_path, "blocking", "--web-port", port) as ui:
            assert ui.url != f"http://127.0.0.1:{port}"
            ui.end()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (("--web-host", "0.0.0.0"), {}, "set BENCH_WEB_USER and BENCH_WEB_PASSWORD"),
        (("--web-host", "0.0.0.0"), {"BENCH_WEB_USER": "ada"}, "go together"),
        (("--web-host", "0.0.0.0"), {**LOGIN, "BENCH_WEB_PASSWORD": "short"}, "at least 8"),
        (("--web-host", "192.0.2.1"), LOGIN, "192.0.2.1"),
        (("nonsense",), {}, "unknown scenario 'nonsense'"),
    ],
)
def test_what_is_not_allowed_starts_nothing(
    tmp_path: Path, arguments: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    with Bench("web", *arguments, "--results", tmp_path, env=env) as harness:
        _, complaint = harness.popen.communicate(timeout=PATIENCE_S)
    assert harness.popen.returncode == 2
    assert said in complaint
    assert len(complaint.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_beyond_loopback_a_name_and_a_password_are_needed(tmp_path: Path) -> None:
    with web_ui(tmp_path, "blocking", "--web-host", "0.0.0.0", env=LOGIN) as ui:
        ui.http.base_url = httpx.URL(ui.url.replace("0.0.0.0", "127.0.0.1"))
        for path in ("/", "/bench/state", "/stats/requests"):
            assert ui.http.get(path).is_redirect
        assert ui.http.post("/swarm", data={"variant": "blocking/awaited"}).is_redirect
        for name, password in (("ada", "guessed"), ("eve", "notes on the engine")):
            ui.http.post("/bench/login", data={"username": name, "password": password})
            assert ui.http.get("/bench/state").is_redirect
        ui.http.post("/bench/login", data={"username": "ada", "password": "notes on the engine"})
        assert ui.http.get("/bench/state").json()["phase"] == ""
        assert "notes on the engine" not in subprocess.check_output(["ps", "-eo", "args"], text=True)
        ui.end()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)")
def test_in_a_browser(tmp_path: Path) -> None:
    with web_ui(tmp_path, "blocking") as ui, _browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(ui.url)
        _fill(page, "blocking/blocking_call", "60")
        page.locator("button[type=submit]").dblclick()
        ui.wait("measuring")
        page.get_by_role("tab", name="Event loop").click()
        ui.harness.wait_for(lambda: _lag_ms(page) > 40, "a loop lag above 40 ms is shown")
        assert "blocking_call.py" in page.locator("bench-event-loop table").inner_text()
        ui.harness.wait_for(lambda: 10 < ui.http.get("/stats/requests").json()["current_rps"] < 35, "about 20 req/s")
        page.screenshot(path=tmp_path / "event-loop.png")
        page.get_by_role("button", name="Stop").click()
        ui.wait("")
        assert not ui.servers()

        page.get_by_role("button", name="New").click()
        _fill(page, "blocking/awaited")
        page.locator("button[type=submit]").click()
        ui.wait("measuring")
        ui.wait("")
        assert not ui.servers()
        ui.harness.wait_for(lambda: "latency_p50_ms" in ui.state["runs"][-1], "the percentiles are known")
        ui.harness.wait_for(lambda: "awaited" in ui.page(), "the page is drawn")
        page.get_by_role("tab", name="Runs").click()
        runs = page.locator("bench-runs")
        runs.get_by_text("blocking/awaited").wait_for()
        page.screenshot(path=tmp_path / "runs.png")
        listed = runs.locator("table").inner_text()
        assert "blocking/blocking_call" in listed
        assert "blocking/awaited" in listed
        slow, quick = (row["endpoints"]["GET /report"]["throughput_rps"] for row in ui.state["runs"])
        assert 10 <= slow <= 21
        assert 100 <= quick <= 672
        with page.expect_popup() as opened:
            runs.get_by_role("link").click()
        assert "awaited" in opened.value.locator("body").inner_text()

        page.get_by_role("button", name="New").click()
        _fill(page, "blocking/plain_def")
        page.locator("button[type=submit]").click()
        ui.wait("measuring")
        browser.close()  # whoever looked has gone: the load ends by itself
        ui.wait("")
        assert ui.state["runs"][-1]["variant"] == "plain_def"
        assert not ui.servers()
        assert errors == []
        ui.end()


def _knock_on_masters_port(ui: WebUi) -> None:
    """Another process of this machine tries to become a worker of Locust's master, and to end it."""
    (port,) = {
        words[words.index("--master-bind-port") + 1]
        for words in map(_words, ui.harness.descendants())
        if "--master-bind-port" in words
    }
    knock = [sys.executable, "-c", KNOCK, port]
    done = subprocess.run(knock, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["not", "connected"]), done.stderr


KNOCK = """
import sys, zmq
from locust.rpc.protocol import Message
socket = zmq.Context().socket(zmq.DEALER)
socket.setsockopt(zmq.IDENTITY, b"stranger")
socket.setsockopt(zmq.LINGER, 0)
monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
socket.connect(f"tcp://127.0.0.1:{sys.argv[1]}")
for kind in ("client_ready", "quit", "client_stopped"):
    socket.send(Message(kind, {"version": "2", "state": "ready"}, "stranger").serialize(), zmq.NOBLOCK)
print("connected" if monitor.poll(3000) else "not connected")
"""
"""It sends what a worker sends. Without the master's key the handshake never succeeds, so nothing arrives."""


@contextmanager
def _browser(*arguments: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *arguments])
        yield browser
        browser.close()


def _fill(page: Any, variant: str, run_time: str = "5") -> None:
    page.locator("select[name=variant]").select_option(variant)
    page.locator("input[name=runTime]").fill(run_time)


def _lag_ms(page: Any) -> float:
    shown = page.locator("bench-event-loop .card b").first
    if not shown.count():
        return 0.0
    found = re.match(r"([\d.]+) ms", shown.inner_text())
    return float(found[1]) if found else 0.0
