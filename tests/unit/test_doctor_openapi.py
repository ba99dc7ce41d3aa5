"""Which operations of an OpenAPI document are asked, with which values, and what is found of the others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from bench.doctor.openapi import Operations, SampleRequest, Selection, operations

OPENAPI_31 = "3.1.0"


def document(paths: dict[str, Any], **components: Any) -> dict[str, Any]:
    return {"openapi": OPENAPI_31, "paths": paths, "components": components}


def parameter(name: str = "q", where: str = "query", **more: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "required": True, **more}


def found(operation: dict[str, Any], path: str = "/x", method: str = "get", **selection: Any) -> Operations:
    return operations(document({path: {method: operation}}), Selection(**selection))


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
    (check,) = operations(document({"/items/{id}": item}), Selection()).requests
    assert (check.name, check.path) == ("GET /items/{id}", "/items/4")


def test_references_are_followed_and_loops_end() -> None:
    content = document(
        {"/x": {"get": {"parameters": [{"$ref": "#/components/parameters/Q"}]}}},
        parameters={"Q": parameter(schema={"$ref": "#/components/schemas/a~1b"})},
        schemas={"a/b": {"default": 9}, "Loop": {"$ref": "#/components/schemas/Loop"}},
    )
    (check,) = operations(content, Selection()).requests
    assert check.path == "/x?q=9"
    content["components"]["schemas"]["a/b"] = {"$ref": "#/components/schemas/Loop"}
    (skipped,) = operations(content, Selection()).skipped
    assert "needs a value for q" in skipped.reason
    content["components"]["schemas"]["a/b"] = {"anyOf": [{"$ref": "#/components/schemas/a~1b"}]}
    assert operations(content, Selection()).skipped


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

    (check,) = operations(app.openapi(), Selection(include=("POST /orders",))).requests
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
        operations(content, Selection())


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
