"""Secret values in text, in every encoding in which programs print them."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model import AppSource, Scenario, Variant
from bench.running import redaction
from bench.running.redaction import MAX_LOG_BYTES, Redactor, of_environment, secret_values

SECRET = "pä$$ <w'\"rd>/+&x\n2nd"
PRINTED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a URL": lambda text: quote(text, safe=""),
    "in a path": quote,
    "in a query": quote_plus,
    "in a form": lambda text: urlencode({"a": text}),
    "in lower case percent": lambda text: quote(text, safe="").lower().replace("%c3%a4", "%c3%a4"),
    "in JSON": json.dumps,
    "in JSON as UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "in repr": repr,
    "in HTML": html.escape,
    "in HTML text": lambda text: html.escape(text, quote=False),
    "in hex": lambda text: text.encode().hex(),
    "in HEX": lambda text: text.encode().hex().upper(),
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in base64 after a name": lambda text: base64.b64encode(f"me:{text}".encode()).decode(),
    "in base64 after a longer name": lambda text: base64.b64encode(f"you:{text}!".encode()).decode(),
    "in base64 for URLs": lambda text: base64.urlsafe_b64encode(f"x{text}".encode()).decode(),
}


@pytest.mark.parametrize("printed", PRINTED.values(), ids=PRINTED)
def test_a_value_is_found_however_it_is_printed(printed: Callable[[str], str]) -> None:
    text = f"before {printed(SECRET)} after"
    redacted = Redactor([SECRET])(text)
    assert "[redacted]" in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    for part in ("rd>", "rd&gt;", "7264", "cmQ", "%3E"):
        assert part not in redacted


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40), st.binary(max_size=3))
def test_no_base64_of_a_value_survives(secret: str, before: bytes) -> None:
    encoded = base64.b64encode(before + secret.encode() + b"tail").decode()
    assert Redactor([secret])(encoded) != encoded


def test_parts_of_a_header_are_values_too() -> None:
    assert Redactor(["Bearer abcdef-123"])("token=abcdef-123; Bearer") == "token=[redacted]; Bearer"


def test_short_values_and_other_text_stay() -> None:
    redact = Redactor(["5", "true", "debug", ""])
    assert redact("5 true debug") == "5 true debug"
    assert Redactor([])("anything") == "anything"


def test_the_longest_value_goes_first() -> None:
    assert Redactor(["secret", "secret-and-more"])("x secret-and-more x") == "x [redacted] x"


def test_a_published_log_has_no_value_and_no_more_than_its_end(tmp_path: Path) -> None:
    log, place = tmp_path / "log", tmp_path / "deep" / "published"
    log.write_bytes(b"secret-word first\n" + b"\xff line\n" * (MAX_LOG_BYTES // 4) + b"last secret-word\n")
    Redactor(["secret-word"]).publish(log, place)
    text = place.read_text()
    lines = text.splitlines()
    assert lines[0].endswith(" bytes left out]")
    assert lines[1] == "\ufffd line"
    assert lines[-1] == "last [redacted]"
    assert len(text) <= MAX_LOG_BYTES + 100
    left_out = int(lines[0].strip("[]").split()[0])
    assert left_out + len("\n".join(lines[1:]).encode(errors="replace").replace("\ufffd".encode(), b"\xff")) < (
        log.stat().st_size + 10
    )


def test_a_log_that_is_not_there_is_not_published(tmp_path: Path) -> None:
    Redactor([]).publish(tmp_path / "log", tmp_path / "published")
    assert list(tmp_path.iterdir()) == []


def test_of_the_environment_ordinary_variables_and_paths_stay(tmp_path: Path) -> None:
    environment = {
        "PATH": "/usr/bin:/nowhere",
        "LC_ALL": "C.UTF-8",
        "APP_FOLDER": str(tmp_path),
        "FOLDERS": f"{tmp_path}:/",
        "API_KEY": "abcdef-123",
        "BROKEN": "/\0",
    }
    assert set(of_environment(environment)) == {"abcdef-123", "/\0"}


def test_values_are_those_of_the_users_own_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction.os, "environ", {"API_KEY": "of the environment"})
    of_catalogue = Variant("a", "baseline", "", environment=(("OMP_NUM_THREADS", "1"),))
    assert list(secret_values(Scenario("s", "", (of_catalogue,), "/", secrets=("given",)))) == ["given"]
    own = Variant("b", "baseline", "", environment=(("KEY", "of the file"),), app=AppSource("shop:app", "/"))
    found = set(secret_values(Scenario("s", "", (own,), "/", secrets=("given",))))
    assert found == {"given", "of the file", "of the environment"}
