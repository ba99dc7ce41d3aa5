"""Which operations of an OpenAPI document are asked, with which values, and what is found of the others."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from bench.doctor.answer_values import Answers
from bench.doctor.openapi import Document, Operations, SampleRequest, operations, parameters_to_fill
from bench.doctor.selection import Recorded, Selection

OPENAPI_31 = "3.1.0"


def document(paths: dict[str, Any], **components: Any) -> dict[str, Any]:
    return {"openapi": OPENAPI_31, "paths": paths, "components": components}


def read(content: dict[str, Any], selection: Selection, prefix: str = "") -> Operations:
    return operations([Document(prefix, content)], selection)


def parameter(name: str = "q", where: str = "query", **more: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "required": True, **more}


def found(operation: dict[str, Any], path: str = "/x", method: str = "get", **selection: Any) -> Operations:
    return read(document({path: {method: operation}}), Selection(**selection))


def asked(operation: dict[str, Any], path: str = "/x", method: str = "get", **selection: Any) -> SampleRequest:
    (check,) = found(operation, path, method, **selection).requests
    return check


def reason(operation: dict[str, Any], path: str = "/x", method: str = "get", **selection: Any) -> str:
    (left_out,) = found(operation, path, method, **selection).skipped
    return left_out.reason


@pytest.mark.parametrize(
    ("offered", "value"),
    [
        ({"example": 5}, "5"),
        ({"examples": {"first": {"value": 6}, "second": {"value": 7}}}, "6"),
        ({"schema": {"example": "a"}}, "a"),
        ({"schema": {"examples": ["b", "c"]}}, "b"),
        ({"schema": {"default": True}}, "true"),
        ({"schema": {"const": "only"}}, "only"),
        ({"schema": {"enum": ["red", "blue"]}}, "red"),
        ({"schema": {"anyOf": [{"type": "null"}, {"type": "string", "default": "d"}]}}, "d"),
        ({"schema": {"allOf": [{"enum": ["red"]}]}}, "red"),
        ({"schema": {"default": 1, "enum": [2]}, "example": 3}, "3"),
    ],
)
def test_a_parameter_is_filled_with_what_the_document_offers(offered: dict[str, Any], value: str) -> None:
    assert asked({"parameters": [parameter(**offered)]}).path == f"/x?q={value}"


def test_values_are_quoted_and_lists_repeated() -> None:
    several = [parameter("a", example="blue whale/é"), parameter("b", example=[1, 2])]
    assert asked({"parameters": several}).path == "/x?a=blue+whale%2F%C3%A9&b=1&b=2"
    in_path = parameter("id", "path", example="a/b c")
    assert asked({"parameters": [in_path]}, "/items/{id}/é").path == "/items/a%2Fb%20c/%C3%A9"


def test_headers_and_cookies_are_sent() -> None:
    check = asked({"parameters": [parameter("X-Key", "header", example="k"), parameter("c", "cookie", example=1)]})
    assert check.headers == (("X-Key", "k"), ("Cookie", "c=1"))


def test_a_header_of_the_users_own_needs_no_example() -> None:
    check = asked({"parameters": [parameter("authorization", "header")]}, headers=(("Authorization", "Bearer t"),))
    assert check.headers == (("Authorization", "Bearer t"),)


def test_an_optional_parameter_is_left_to_the_app() -> None:
    assert asked({"parameters": [parameter(required=False, example=5)]}).path == "/x"


def test_what_the_user_gives_comes_first_and_by_operation_before_by_name() -> None:
    operation = {"parameters": [parameter(example=1)]}
    assert asked(operation, params={"q": 2}).path == "/x?q=2"
    assert asked(operation, params={"q": 2, "GET /x": {"q": 3}}).path == "/x?q=3"


def test_a_path_own_parameters_hold_for_its_operations() -> None:
    item = {"parameters": [parameter("id", "path", example=4)], "get": {}}
    (check,) = read(document({"/items/{id}": item}), Selection()).requests
    assert (check.name, check.path) == ("GET /items/{id}", "/items/4")


def test_references_are_followed_and_loops_end() -> None:
    content = document(
        {"/x": {"get": {"parameters": [{"$ref": "#/components/parameters/Q"}]}}},
        parameters={"Q": parameter(schema={"$ref": "#/components/schemas/a~1b"})},
        schemas={"a/b": {"default": 9}, "Loop": {"$ref": "#/components/schemas/Loop"}},
    )
    (check,) = read(content, Selection()).requests
    assert check.path == "/x?q=9"
    content["components"]["schemas"]["a/b"] = {"$ref": "#/components/schemas/Loop"}
    (skipped,) = read(content, Selection()).skipped
    assert "needs a value for q" in skipped.reason
    content["components"]["schemas"]["a/b"] = {"anyOf": [{"$ref": "#/components/schemas/a~1b"}]}
    assert read(content, Selection()).skipped


@pytest.mark.parametrize(
    ("operation", "path", "says"),
    [
        (
            {"parameters": [parameter("id", "path", schema={"type": "integer"})]},
            "/x/{id}",
            "needs a value for id (path, integer",
        ),
        ({"parameters": [parameter(schema={})]}, "/x", "needs a value for q (query, any type"),
        ({}, "/x/{id}", "needs a value for id (path"),
    ],
)
def test_what_lacks_a_value_is_skipped_with_a_reason(operation: dict[str, Any], path: str, says: str) -> None:
    found = reason(operation, path)
    assert says in found
    assert "--params" in found


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_only_safe_operations_are_asked_unbidden(method: str) -> None:
    assert f'--include "{method.upper()} /x"' in reason({}, method=method)
    assert asked({}, method=method, include=(f"{method.upper()} /x",)).method == method.upper()


def test_a_path_that_leads_elsewhere_is_left_out() -> None:
    assert "another server" in reason({}, "http://127.0.0.1:1/x")
    assert "another server" in reason({}, "evil.example/x")


@pytest.mark.parametrize("text", ["€", "a\nb: c"])
def test_a_header_that_cannot_be_sent_is_left_out(text: str) -> None:
    assert "X-Key" in reason({"parameters": [parameter("X-Key", "header", example=text)]})


def test_head_is_skipped_and_what_the_user_excludes() -> None:
    assert "HEAD" in reason({}, method="head")
    assert reason({}, exclude=("GET /x",)) == "excluded with --exclude"


class Address(BaseModel):
    street: str = Field(examples=["Main Street"])


class Order(BaseModel):
    number: int = Field(examples=[7])
    address: Address
    note: str | None = None


def test_fastapis_own_document_fills_a_body_from_examples() -> None:
    app = FastAPI()

    @app.post("/orders")
    async def add(order: Order, dry: bool = Query(examples=[True])) -> None:
        pass

    (check,) = read(app.openapi(), Selection(include=("POST /orders",))).requests
    assert json.loads(check.body) == {"number": 7, "address": {"street": "Main Street"}}
    assert check.path == "/orders?dry=true"
    assert ("Content-Type", "application/json") in check.headers


def test_a_body_without_examples_must_be_given() -> None:
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    selection: dict[str, Any] = {"include": ("POST /x",)}
    assert "body" in reason({"requestBody": body}, method="post", **selection)
    given = {"POST /x": {"body": {"a": 1}}}
    assert asked({"requestBody": body}, method="post", params=given, **selection).body == '{"a": 1}'
    other = {"required": True, "content": {"multipart/form-data": {}}}
    assert "multipart/form-data" in reason({"requestBody": other}, method="post", **selection)


@pytest.mark.parametrize("content", [{}, {"swagger": "2.0"}, {"openapi": 3}, {"openapi": "3.1.0", "paths": []}])
def test_what_is_no_openapi_document_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not an OpenAPI 3 document"):
        read(content, Selection())


@pytest.mark.parametrize("selection", [{"include": ("POST /y",)}, {"exclude": ("GET /y",)}, {"params": {"GET /y": {}}}])
def test_a_wish_for_an_operation_that_is_not_there_is_refused(selection: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="it has: GET /x"):
        found({}, **selection)


def test_a_body_of_several_schemas_fits_all_of_them() -> None:
    named = {"properties": {"name": {"default": "Ada"}}, "required": ["name"]}
    aged = {"allOf": [{"properties": {"age": {"example": 36}}, "required": ["age"]}, named]}
    body = {"required": True, "content": {"application/json": {"schema": {"allOf": [named, aged]}}}}
    request = asked({"requestBody": body}, method="post", include=("POST /x",))
    assert json.loads(request.body) == {"name": "Ada", "age": 36}


def test_parameters_that_are_null_are_none() -> None:
    assert asked({"parameters": None}).path == "/x"


# What is included


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("POST /search*", {"POST /search", "POST /search/{kind}"}),
        ("POST /search/{kind}", {"POST /search/{kind}"}),
        ("* /search", {"POST /search"}),
        ("POST /s?arch", {"POST /search"}),
    ],
)
def test_a_pattern_includes_all_that_it_fits(pattern: str, names: set[str]) -> None:
    kind = {"parameters": [parameter("kind", "path", example="a")], "post": {}}
    content = document({"/search": {"post": {}}, "/search/{kind}": kind, "/orders": {"post": {}}})
    assert {each.name for each in read(content, Selection(include=(pattern,))).requests} == names


def test_square_brackets_in_a_pattern_are_square_brackets() -> None:
    content = document({"/a[b]": {"post": {}}, "/ab": {"post": {}}})
    assert [each.name for each in read(content, Selection(include=("POST /a[b]*",))).requests] == ["POST /a[b]"]


def test_writes_are_included_all_at_once_but_for_those_excluded() -> None:
    content = document({"/x": {"post": {}, "put": {}, "get": {}}})
    found = read(content, Selection(include_writes=True, exclude=("PUT *",)))
    assert [each.name for each in found.requests] == ["GET /x", "POST /x"]
    assert [(each.name, each.group) for each in found.skipped] == [("PUT /x", "excluded")]


def test_a_deletion_is_sent_only_where_it_is_named() -> None:
    content = document({"/x": {"delete": {}}})
    assert [each.group for each in read(content, Selection(include_writes=True)).skipped] == ["once"]
    for pattern in ("DELETE /x", "DELETE *"):
        assert read(content, Selection(include_writes=True, include=(pattern,))).requests


def test_each_reason_has_its_group() -> None:
    content = document(
        {"/x/{id}": {"get": {"parameters": [parameter("id", "path")]}, "post": {}, "head": {}}, "/y": {"get": {}}}
    )
    groups = {each.name: each.group for each in read(content, Selection(exclude=("GET /y",))).skipped}
    assert groups == {
        "GET /x/{id}": "value",
        "POST /x/{id}": "write",
        "HEAD /x/{id}": "unsupported",
        "GET /y": "excluded",
    }


def test_the_operations_of_a_mounted_app_have_its_prefix() -> None:
    outer = document({"/x": {"get": {}}})
    inner = document({"/x": {"get": {}}, "/items/{id}": {"get": {"parameters": [parameter("id", "path", example=4)]}}})
    found = operations([Document("", outer), Document("/v1/admin", inner), Document("/v1/admin", inner)], Selection())
    assert [(each.name, each.path) for each in found.requests] == [
        ("GET /x", "/x"),
        ("GET /v1/admin/x", "/v1/admin/x"),
        ("GET /v1/admin/items/{id}", "/v1/admin/items/4"),
    ]


# Bodies


def form(kind: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


FORM = "application/x-www-form-urlencoded"


def test_a_form_is_sent_as_a_form() -> None:
    operation = form(FORM, name={"default": "Ada L"}, tag={"default": ["a", "b"]})
    request = asked(operation, method="post", include=("POST /x",))
    assert request.body == "name=Ada+L&tag=a&tag=b"
    assert ("Content-Type", FORM) in request.headers


def test_a_body_that_the_user_gives_is_encoded_as_the_operation_takes_it() -> None:
    operation = form(FORM, username={"type": "string"}, password={"type": "string"})
    assert "body" in reason(operation, method="post", include=("POST /x",))
    given = {"POST /x": {"body": {"username": "ada", "password": "a&b"}}}
    request = asked(operation, method="post", include=("POST /x",), params=given)
    assert request.body == "username=ada&password=a%26b"


def test_a_form_with_a_file_gets_a_small_file() -> None:
    operation = form("multipart/form-data", file={"type": "string", "format": "binary"}, note={"default": "n"})
    request = asked(operation, method="post", include=("POST /x",))
    kind = dict(request.headers)["Content-Type"]
    boundary = kind.partition("boundary=")[2]
    parts = request.body.split(f"--{boundary}")
    assert kind.startswith("multipart/form-data; boundary=")
    assert parts[1].startswith('\r\nContent-Disposition: form-data; name="file"; filename="sample.txt"\r\n')
    assert parts[2] == '\r\nContent-Disposition: form-data; name="note"\r\n\r\nn\r\n'
    assert parts[3] == "--\r\n"
    assert "file" in request.source


def test_json_is_preferred_to_a_form() -> None:
    body = {"required": True, "content": {FORM: {"example": {"a": 1}}, "application/json": {"example": {"b": 2}}}}
    assert asked({"requestBody": body}, method="post", include=("POST /x",)).body == '{"b": 2}'


# Values from answers, recorded, and made up


def test_an_answer_fills_what_the_document_leaves_open() -> None:
    answers = Answers()
    answers.add("GET /articles", b'{"articles": [{"id": 3, "slug": "first"}]}')
    content = document(
        {"/articles/{slug}": {"get": {"parameters": [parameter("slug", "path", schema={"type": "string"})]}}}
    )
    (request,) = operations([Document("", content)], Selection(), answers).requests
    assert (request.path, request.source) == ("/articles/first", "slug from GET /articles")


def test_the_documents_own_value_comes_before_an_answers() -> None:
    answers = Answers()
    answers.add("GET /x", b'[{"id": 3}]')
    content = document({"/x/{id}": {"get": {"parameters": [parameter("id", "path", example=8)]}}})
    (request,) = operations([Document("", content)], Selection(), answers).requests
    assert (request.path, request.source) == ("/x/8", "")


def test_a_recorded_request_is_sent_as_it_was() -> None:
    recorded = {"GET /x/{id}": Recorded("/x/7?full=1", (("Accept", "text/html"),), "", "a HAR file")}
    request = asked({"parameters": [parameter("id", "path")]}, "/x/{id}", recorded=recorded, headers=(("A", "b"),))
    assert (request.path, request.headers) == ("/x/7?full=1", (("Accept", "text/html"), ("A", "b")))
    assert request.source == "a HAR file"


def test_what_a_recorded_request_holds_is_secret_but_for_ordinary_headers() -> None:
    headers = (("Cookie", "session=abc"), ("Accept", "application/json"))
    recorded = {"POST /x": Recorded("/x?token=t0ken", headers, '{"pin": 1234}', "a HAR file")}
    assert set(Selection(recorded=recorded).secret_values()) == {"session=abc", "t0ken", '{"pin": 1234}'}


def test_a_recorded_write_is_not_sent_unasked() -> None:
    recorded = {"POST /x": Recorded("/x", (), "{}", "a HAR file")}
    assert "may change data" in reason({}, method="post", recorded=recorded)


class Kind(BaseModel):
    name: str = Field(min_length=3)
    number: int
    price: float | None
    when: datetime
    tags: list[str]


def test_values_are_made_up_only_where_that_is_asked_for() -> None:
    app = FastAPI()

    @app.post("/kinds/{number}")
    async def add(number: int, kind: Kind, code: str = Query(pattern="^[a-c]{2}$")) -> None:
        pass

    assert read(app.openapi(), Selection(include_writes=True)).requests == ()
    first, second = (read(app.openapi(), Selection(include_writes=True, generate=True)).requests for _ in range(2))
    assert first == second
    (request,) = first
    Kind.model_validate_json(request.body)
    assert re.fullmatch(r"/kinds/\d+\?code=[a-c]{2}", request.path)
    assert "number generated" in request.source


def test_a_file_of_parameters_marks_its_gaps_and_gaps_are_no_values() -> None:
    operation = {"parameters": [parameter("id", "path", schema={"type": "integer"}), parameter(example=1)]}
    content = document({"/x/{id}": {"get": operation}})
    filled = parameters_to_fill([Document("", content)], Selection(), Answers())
    assert filled == {"GET /x/{id}": {"id": "<fill in: integer>", "q": 1}}
    assert "needs a value for id" in read(content, Selection(params=filled)).skipped[0].reason
    filled["GET /x/{id}"]["id"] = 5
    assert read(content, Selection(params=filled)).requests[0].path == "/x/5?q=1"


def test_a_file_of_parameters_has_the_body_with_its_gaps() -> None:
    app = FastAPI()

    @app.post("/orders")
    async def add(order: Order) -> None:
        pass

    @app.post("/kinds")
    async def kind(kind: Kind) -> None:
        pass

    filled = parameters_to_fill([Document("", app.openapi())], Selection(), Answers())
    assert filled["POST /orders"] == {"body": {"number": 7, "address": {"street": "Main Street"}}}
    assert filled["POST /kinds"]["body"]["name"] == "<fill in: string>"
