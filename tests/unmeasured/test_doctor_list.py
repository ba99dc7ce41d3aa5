"""What the doctor asks, without a measurement: values from answers, files of parameters, commands of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import Bench, bench
from shop import asked, write_shop


def listed(folder: Path, *arguments: object, status: int = 0) -> str:
    words = ["doctor", *arguments, "--invoked-from", folder, "--results", folder / "results"]
    done = bench(*words, timeout_s=120)
    assert done.returncode == status, done.stderr
    assert not (folder / "results").exists()
    return done.stdout if status == 0 else done.stderr


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_shop(tmp_path)


def test_a_list_shows_what_would_be_asked_and_writes_nothing(shop: Path) -> None:
    shown = listed(shop, "shop:app", "--list", "--include-writes")
    assert "item_id from GET /items" in shown or "id from GET /items" in shown
    assert "needs a value for name" in " ".join(shown.split())
    assert asked(shop) == {"GET /openapi.json", "GET /items", "GET /items/4"}


def test_the_file_of_parameters_is_complete_and_can_be_given_back(shop: Path) -> None:
    listed(shop, "shop:app", "--write-params", "params.json")
    content = json.loads((shop / "params.json").read_text())
    assert content["GET /items/{item_id}"] == {"item_id": 4}
    assert content["GET /users/{name}"] == {"name": "<fill in: string>"}
    assert "exists already" in listed(shop, "shop:app", "--write-params", "params.json", status=2)
    content["GET /users/{name}"]["name"] = "ada"
    (shop / "params.json").write_text(json.dumps(content))
    assert "needs a value" not in listed(shop, "shop:app", "--list", "--params", "params.json")
    assert "GET /users/ada" in asked(shop)


def test_requests_of_a_command_of_ones_own_are_asked(shop: Path) -> None:
    (shop / "drive.py").write_text(
        "import os, sys, urllib.request as u\n"
        "assert sys.argv[1] == os.environ['ASYNC_BENCH_URL']\n"
        "u.urlopen(sys.argv[1] + '/users/grace').read()\n"
    )
    shown = listed(shop, "shop:app", "--list", "--drive", "python3 drive.py {url}")
    assert "needs a value for name" not in " ".join(shown.split())
    assert "GET /users/grace" in asked(shop)
    assert "no request" in listed(shop, "shop:app", "--list", "--drive", "true", status=2)


def test_what_a_locustfile_requests_is_asked(shop: Path) -> None:
    (shop / "users.py").write_text(
        "from locust import HttpUser, task\n\n\nclass Reader(HttpUser):\n    @task\n    def read(self):\n"
        "        self.client.get('/users/hopper')\n"
    )
    shown = listed(shop, "shop:app", "--list", "--locustfile", "users.py")
    assert "GET /users/{name} a request of your command" in " ".join(shown.split())
    assert "exclude each other" in listed(shop, "shop:app", "--locustfile", "users.py", "--drive", "true", status=2)


def test_the_data_is_put_back_before_each_operation(shop: Path) -> None:
    listed(shop, "shop:app", "--list", "--reset-command", "sh -c 'echo reset >> resets'")
    assert len((shop / "resets").read_text().splitlines()) == 2
    failed = listed(shop, "shop:app", "--list", "--reset-command", "sh -c 'echo no; exit 3'", status=2)
    assert "--reset-command ended with status 3: no" in failed


def test_a_file_that_cannot_be_read_or_a_half_login_is_refused(shop: Path) -> None:
    (shop / "text").write_text("nothing")
    for arguments, says in (
        (("--har", "text"), "no HAR file"),
        (("--access-log", "text"), "access log"),
        (("--login", "POST /token"), "--login-data"),
        (("--login", "token", "--login-data", "text"), "POST /token"),
        (("--min-coverage", "120%"), "60%"),
        (("--drive", "'"), "--drive"),
    ):
        assert says in listed(shop, "shop:app", *arguments, status=2), arguments
    assert not (shop / "asked").exists()


DEADLY = """
import os, threading
from fastapi import FastAPI
app = FastAPI()

@app.get("/dies")
async def dies():
    os._exit(3)

@app.get("/deadlock")
async def deadlock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

@app.get("/fine")
async def fine():
    return 1
"""


def test_after_an_operation_that_ends_or_freezes_the_server_the_next_gets_another(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    shown = " ".join(listed(tmp_path, "deadly:app", "--list").split())
    assert "the server ended while it answered" in shown
    assert "one request kept the server from answering anybody" in shown
    assert "deadly.py:14" in shown
    assert "GET /fine /fine" in shown


COPIED = """
from fastapi import FastAPI
inner, app = FastAPI(), FastAPI()

@inner.get("/items")
async def items():
    return []

@inner.post("/items")
async def add():
    return 1

app.mount("/api", inner)
app.openapi = inner.openapi
"""


def test_a_document_that_copies_those_of_mounted_apps_counts_once(tmp_path: Path) -> None:
    (tmp_path / "copied.py").write_text(COPIED)
    shown = listed(tmp_path, "copied:app", "--list", "--include-writes")
    assert "GET /api/items" in shown
    assert "POST /api/items" in shown
    assert " /items" not in shown


def test_nothing_of_the_doctor_is_left_running(shop: Path) -> None:
    with Bench("doctor", "shop:app", "--list", "--invoked-from", shop, "--results", shop / "r") as started:
        started.popen.communicate(timeout=60)
        started.descendants()
        assert started.left() == []
