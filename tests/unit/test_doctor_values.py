"""Values from an app's answers, requests from recordings, and what a login's answer gives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.doctor.answer_values import Answers
from bench.doctor.login import credentials
from bench.doctor.traffic import RecordedRequest, by_operation, read_access_log, read_har, read_recording


def answers(**given: Any) -> Answers:
    made = Answers()
    for path, content in given.items():
        made.add(f"GET /{path}", json.dumps(content).encode())
    return made


@pytest.mark.parametrize(
    ("path", "key", "kind", "content", "value"),
    [
        ("/articles/{slug}", "slug", "string", [{"slug": "a-b"}], "a-b"),
        ("/articles/{slug}", "slug", "string", {"articles": [{"slug": "a-b"}], "count": 1}, "a-b"),
        ("/articles/{id}", "id", "integer", [{"id": 7}], 7),
        ("/articles/{article_id}", "article_id", "integer", [{"id": 7}], 7),
        ("/articles/{article_id}", "article_id", "integer", [{"id": 7, "article_id": 8}], 8),
        ("/articles/{article}", "article", "string", [{"id": 7}], 7),
        ("/articles/{id}/comments", "id", "integer", [{"id": 7}], 7),
        ("/articles/{id}", "id", "integer", [{"id": "seven"}, {"id": 8}], 8),
        ("/articles/{id}", "id", "integer", [{"id": "9"}], "9"),
        ("/articles/{slug}", "slug", "string", [{"url": "http://127.0.0.1:1/articles/x%20y", "slug": "z"}], "x y"),
        ("/profiles/{username}", "username", "string", [{"author": {"username": "ada"}}], "ada"),
        ("/profiles/{user_name}", "user_name", "string", [{"author": {"userName": "ada"}}], "ada"),
        ("/articles/{id}", "id", "integer", [{"author": {"id": 1}, "id": 7}], 7),
    ],
)
def test_a_value_is_found_in_an_answer(path: str, key: str, kind: str, content: Any, value: object) -> None:
    found = answers(articles=content).value(path, key, kind)
    assert found is not None
    assert found.value == value
    assert found.source.endswith("GET /articles")


@pytest.mark.parametrize(
    ("path", "key", "kind", "content"),
    [
        ("/orders/{id}", "id", "integer", [{"id": 7}]),  # an id of something else
        ("/articles/{id}", "id", "integer", []),
        ("/articles/{id}", "id", "integer", [{"id": None}]),
        ("/articles/{id}", "id", "integer", [{"id": "a"}]),
        ("/articles/{slug}", "slug", "string", [{"slug": ""}]),
        ("/articles/{slug}", "slug", "string", [{"slug": "x" * 5000}]),
    ],
)
def test_a_value_that_does_not_fit_is_none(path: str, key: str, kind: str, content: Any) -> None:
    assert answers(articles=content).value(path, key, kind) is None


def test_an_answer_that_is_no_json_or_is_huge_holds_no_value() -> None:
    made = Answers()
    made.add("GET /articles", b"<html>")
    made.add("GET /articles", b"[" * 100_000)
    made.add("GET /articles", json.dumps([{"name": "x"}] * 100_000).encode())
    assert made.value("/articles/{id}", "id", "integer") is None


# Recordings


def har(*entries: dict[str, Any]) -> str:
    return json.dumps({"log": {"version": "1.2", "entries": list(entries)}})


def entry(url: str, method: str = "GET", status: int = 200, **more: Any) -> dict[str, Any]:
    return {"request": {"method": method, "url": url, "headers": [], **more}, "response": {"status": status}}


def test_a_har_file_gives_the_first_good_request_of_each_operation() -> None:
    text = har(
        entry("http://127.0.0.1:8000/items/1", status=404),
        entry("http://127.0.0.1:8000/items/5?full=1"),
        entry("http://127.0.0.1:8000/items/6"),
        entry("http://127.0.0.1:8000/items/mine"),
        entry("http://127.0.0.1:8000/logo.png"),
        entry("data:text/plain,x"),
        {"request": {}},
    )
    found = by_operation(read_har(text), ("GET /items/{item_id}", "GET /items/mine", "POST /items"), "a HAR file")
    assert {name: each.path for name, each in found.items()} == {
        "GET /items/{item_id}": "/items/5?full=1",
        "GET /items/mine": "/items/mine",
    }


def test_headers_of_the_connection_and_of_the_browsers_cache_are_left_out() -> None:
    names = [
        "Host",
        "Connection",
        "Cookie",
        "Authorization",
        "If-None-Match",
        ":path",
        "Sec-Fetch-Mode",
        "X-Key",
        "B d",
    ]
    headers = [{"name": name, "value": "v"} for name in names]
    (request,) = read_har(har(entry("http://a/x", headers=headers, postData={"text": "{}"}, method="POST")))
    assert [name for name, _ in request.headers] == ["Cookie", "Authorization", "X-Key"]
    assert (request.method, request.path, request.body) == ("POST", "/x", "{}")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"log": 1}', '{"log": {}}'])
def test_what_is_no_har_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no HAR file"):
        read_har(text)


@pytest.mark.parametrize(
    "line",
    [
        '127.0.0.1 - - [28/Nov/2026:10:00:00 +0000] "GET /items/5?a=b HTTP/1.1" 200 17',
        '127.0.0.1 - ada [28/Nov/2026:10:00:00 +0000] "GET /items/5?a=b HTTP/2.0" 200 17 "http://x/" "Mozilla/5.0"',
        'INFO:     127.0.0.1:54321 - "GET /items/5?a=b HTTP/1.1" 200 OK',
    ],
    ids=["common", "combined", "uvicorn"],
)
def test_the_gets_of_an_access_log_are_read(line: str) -> None:
    others = '1 - - [x] "POST /items HTTP/1.1" 201 1\n1 - - [x] "GET /items/6 HTTP/1.1" 500 1\nnonsense\n'
    requests = read_access_log(f"{others}{line}\n")
    assert {each.method for each in requests} == {"GET"}
    found = by_operation(requests, ("GET /items/{item_id}", "POST /items"), "an access log")
    assert {name: each.path for name, each in found.items()} == {"GET /items/{item_id}": "/items/5?a=b"}


def test_what_is_no_access_log_is_refused() -> None:
    with pytest.raises(ValueError, match="access log"):
        read_access_log("something\nelse\n")


def test_the_probes_recording_is_read_up_to_a_line_that_was_cut() -> None:
    row = {"method": "GET", "path": "/x?a=1", "headers": [["host", "h"], ["x-a", "b"]], "body": "", "status": 200}
    text = json.dumps(row) + "\n" + json.dumps(row)[:20]
    assert read_recording(text) == [RecordedRequest("GET", "/x?a=1", 200, (("x-a", "b"),), "")]


# Logging in


@pytest.mark.parametrize(
    ("content", "headers", "first"),
    [
        ({"access_token": "t1", "token_type": "bearer"}, [], ("Authorization", "Bearer t1")),
        ({"user": {"token": "t2", "email": "a@b"}}, [], ("Authorization", "Bearer t2")),
        ({"ok": True}, [("set-cookie", "session=abc; HttpOnly; Path=/")], ("Cookie", "session=abc")),
    ],
)
def test_what_a_login_gives_is_sent_from_then_on(content: Any, headers: Any, first: tuple[str, str]) -> None:
    assert credentials(json.dumps(content).encode(), headers)[0][0] == first


def test_a_token_may_take_several_forms_and_cookies_go_with_it() -> None:
    cookies = [("set-cookie", "a=1"), ("Set-Cookie", "b=2; Secure")]
    forms = credentials(b'{"token": "t"}', cookies)
    assert [dict(form)["Authorization"] for form in forms] == ["Bearer t", "Token t", "t"]
    assert {dict(form)["Cookie"] for form in forms} == {"a=1; b=2"}


@pytest.mark.parametrize("content", [b"", b"[]", b"<html>", b'{"token": ""}', b'{"token": "a\\nb"}', b'{"token": 5}'])
def test_an_answer_without_a_token_or_a_cookie_gives_nothing(content: bytes) -> None:
    assert credentials(content, []) == ()
