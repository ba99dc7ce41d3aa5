"""No secret value reaches a file: planted in each source, printed by the app in many encodings, searched in every byte."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from harness import Bench

MARKS = {
    "param": "mark/par&m <4711>",
    "body": "mark-body-\u00e4\u00f6-4712",
    "header": "mark-header-4713",
    "env_file": 'mark"env\'file"-4714',
    "environment": "mark-environment-4715",
}
"""A value of each source. Some have characters that are written differently in URLs, JSON, HTML and Python's repr."""

APP = """import base64, html, json, os, sys, time
from urllib.parse import quote, quote_plus

from fastapi import Body, FastAPI, Header, Request

if os.environ.get("FAILS") == "1":
    raise RuntimeError("cannot log in with " + os.environ["FROM_FILE"] + " and " + os.environ["MARK_ENVIRONMENT"])
app = FastAPI()


def say(*values: str) -> None:
    for value in (*values, os.environ["FROM_FILE"], os.environ["MARK_ENVIRONMENT"]):
        for shown in (value, repr(value), json.dumps(value), quote(value), quote_plus(value), html.escape(value)):
            print("seen", shown, flush=True)
        for prefix in ("", "a", "ab"):
            print("encoded", base64.b64encode((prefix + value).encode()).decode(), value.encode().hex(), flush=True)


@app.get("/items/{item_id:path}")
async def item(item_id: str, request: Request, x_key: str = Header(...)) -> str:
    say(item_id, x_key, str(request.url))
    time.sleep(0.02)
    return "done"


@app.post("/notes")
def note(text: str = Body(..., embed=True)) -> str:
    say(text)
    raise RuntimeError(f"cannot store {text!r}")


@app.get("/health")
async def health() -> str:
    return "ok"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with the app, its environment file and its parameters."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "leaky.py").write_text(APP)
    (folder / "variables").write_text(f"FROM_FILE={json.dumps(MARKS['env_file'])}\n")
    params = {"item_id": MARKS["param"], "POST /notes": {"body": {"text": MARKS["body"]}}}
    (folder / "params.json").write_text(json.dumps(params))
    return folder


def run(results: Path, shop: Path, *arguments: object, **env: str) -> tuple[int, str]:
    """Run the command with the mark in its environment; exit status and everything that it printed."""
    where = ("--app-dir", shop, "--env-file", shop / "variables", "--results", results, "--run", "r")
    with Bench(*arguments, *where, env={"MARK_ENVIRONMENT": MARKS["environment"], **env}) as harness:
        out, err = harness.popen.communicate(timeout=180)
    return harness.popen.returncode, out + err


def leaks(text: bytes) -> Iterator[str]:
    """Names of the marks whose digits can be read in the bytes: as they are, or after decoding."""
    readable = [text.decode("utf-8", errors="replace")]
    for word in set(re.findall(rb"[A-Za-z0-9+/_-]{12,}={0,2}", text)):
        for start in range(4):
            part = word[start:].replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
            whole = part[:-1] if len(part) % 4 == 1 else part  # one character alone is no byte
            readable.append(base64.b64decode(whole + b"=" * (-len(whole) % 4)).decode("latin-1"))
    hexadecimal = set(re.findall(rb"(?:[0-9a-fA-F]{2}){6,}", text))
    readable += [bytes.fromhex(word.decode()).decode("latin-1") for word in hexadecimal]
    for name, mark in MARKS.items():
        digits = mark.strip(">")[-4:]
        if any(digits in each and "mark" in each for each in readable):
            yield name


def check(results: Path, printed: str, names: set[str]) -> None:
    """No file and no line has a mark, and the app did print those called ``names``: their places are visible."""
    files = [path for path in results.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {str(path): found for path in files if (found := list(leaks(path.read_bytes())))} == {}
    assert list(leaks(printed.encode())) == []
    logs = "".join(path.read_text(errors="replace") for path in files if path.suffix == ".log")
    assert logs.count("[redacted]") > 10 * len(names)


def test_the_search_finds_marks_in_every_encoding() -> None:
    """A check that cannot find anything would prove nothing."""
    for name, mark in MARKS.items():
        raw = mark.encode()
        shown = [raw, repr(mark).encode(), json.dumps(mark).encode(), quote(mark).encode(), raw.hex().encode()]
        shown += [base64.b64encode(before + raw) for before in (b"", b"a", b"ab")]
        for each in shown:
            assert name in list(leaks(b"x: " + each + b" y")), (name, each)


def test_nothing_of_the_doctors_run_holds_a_secret(tmp_path: Path, shop: Path) -> None:
    status, printed = run(
        tmp_path / "results",
        shop,
        *("doctor", "leaky:app", "--measure-s", 1, "--include", "POST /notes", "--prober", "/health"),
        *("--params", shop / "params.json", "--header", f"X-Key: {MARKS['header']}", "--fail-on", "loop-blocked"),
    )
    assert status == 1, printed  # it is blocked by time.sleep
    assert (tmp_path / "results" / "r" / "junit.xml").is_file()
    assert "leaky.py" in (tmp_path / "results" / "r" / "index.html").read_text()
    check(tmp_path / "results", printed, {"param", "header", "env_file", "environment"})


def test_nothing_of_a_comparison_holds_a_secret(tmp_path: Path, shop: Path) -> None:
    own = ("bench", "--app", "leaky:app", "--path", "/hello", "--users", 2, "--rounds", 1, "--measure-s", 1)
    hello = '@app.get("/hello")\nasync def hello() -> str:\n    say("hello")\n    return "hello"\n'
    (shop / "leaky.py").write_text(f"{APP}\n\n{hello}")
    status, printed = run(tmp_path / "results", shop, *own)
    assert status in (0, 1), printed  # a busy machine may make it invalid, with the log's end in its record
    check(tmp_path / "results", printed, {"env_file", "environment"})


def test_an_app_that_fails_with_a_secret_says_so_without_it(tmp_path: Path, shop: Path) -> None:
    status, printed = run(tmp_path / "results", shop, "doctor", "leaky:app", FAILS="1")
    assert status == 2
    assert "RuntimeError: cannot log in with [redacted] and [redacted]" in printed
    assert list(leaks(printed.encode())) == []
    assert os.environ.get("MARK_ENVIRONMENT") is None
