"""The OpenAPI page (3.1), generated from the table of routes when it is first requested."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, get_type_hints

import msgspec

from rhetor import errors as e
from rhetor.auth.policy import Policy
from rhetor.dialects import vendor_errors
from rhetor.transports.server import problems, vendor
from rhetor.transports.server.call import MOST_KEY
from rhetor.transports.server.router import Route, Row, Streams

from .bodies.common import After
from .responses import AnthropicError, Frame, Html, OpenAIError, Problem

Schema = dict[str, Any]
JSON, SSE, TEXT, ANY = "application/json", "text/event-stream", "text/plain", "*/*"
CSV = "text/csv"
MEDIA_TYPES: dict[Any, str] = {str: TEXT, Html: "text/html"}
AFTER = msgspec.json.schema(After)
REF = "#/components/schemas/{name}"
RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
EVERYWHERE: tuple[type[e.RhetorError], ...] = (
    e.Malformed,
    e.Unauthenticated,
    e.Forbidden,
    e.RequestTimeout,
    e.TooLarge,
    e.Misdirected,
    e.HeadTooLarge,
    e.TooManyAttempts,
    e.RateExceeded,
)


@cache
def page(table: Sequence[Row], version: str) -> Schema:
    """Return the OpenAPI page of the routes in `table`. WebSockets are left out."""
    rows = [row for row in table if isinstance(row, Route)]
    schemas = _Schemas(rows)
    paths: dict[str, Schema] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "rhetor", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """The schemas of all types that the rows name."""

    def __init__(self, rows: Iterable[Route]) -> None:
        named = [kind for r in rows for kind in (r.body, r.query, r.answer, r.later) if kind is not None]
        kinds = list(dict.fromkeys([Problem, OpenAIError, AnthropicError, Frame, *named]))
        found, self.components = msgspec.json.schema_components(kinds, ref_template=REF)
        self._of = dict(zip(kinds, found, strict=True))
        for body in {r.body for r in rows if r.body is not None}:
            self.components[body.__name__] |= getattr(body, "constraints", {})
        queries = {r.query.__name__ for r in rows if r.query is not None}
        self._queries = {name: self.components.pop(name) for name in queries}

    def of(self, kind: Any) -> Schema:
        schema: Schema = self._of[kind]
        return schema

    def query(self, kind: type[msgspec.Struct]) -> Schema:
        """Return the schema of a query. It is not among the components, because its members become
        parameters."""
        schema: Schema = self._queries[kind.__name__]
        return schema


def _operation(row: Route, schemas: _Schemas) -> Schema:
    name = row.handler.__name__
    operation: Schema = {
        "tags": [row.handler.__module__.rpartition(".")[2]],
        "summary": name.replace("_", " ").title(),
        "operationId": re.sub(r"\W", "_", f"{name}{row.path}_{row.method.lower()}"),
        "x-policy": row.policy.value,
        "security": [] if row.policy is Policy.PUBLIC else [{"token": []}],
        "parameters": list(_parameters(row, schemas)),
        "responses": {**_answers(row, schemas), **_errors(row, schemas)},
    }
    if row.handler.__doc__:
        operation["description"] = re.sub(r"\n +", "\n", row.handler.__doc__)
    if row.body is not None:
        content = {JSON: {"schema": schemas.of(row.body)}}
        required = row.needs_body or bool(getattr(row.body, "constraints", None))
        operation["requestBody"] = {"content": content, "required": required}
    if row.takes_bytes:
        content = {ANY: {"schema": {"type": "string", "format": "binary", "minLength": 1}}}
        operation["requestBody"] = {"content": content, "required": True}
    return operation


def _parameters(row: Route, schemas: _Schemas) -> Iterable[Schema]:
    hints = get_type_hints(row.handler, include_extras=True)
    for name in re.findall(r"{(\w+)}", row.path):
        yield {"in": "path", "name": name, "required": True, "schema": msgspec.json.schema(hints[name])}
    if row.query is not None:
        query = schemas.query(row.query)
        for name, schema in query["properties"].items():
            required = name in query.get("required", ())
            yield {"in": "query", "name": name, "required": required, "schema": _without_null(schema)}
    if row.takes_json:
        yield {"in": "header", "name": "x-session-id", "required": False, "schema": {"type": "string"}}
    if row.body is not None and (row.takes_json or "command_id" in row.body.__struct_fields__):
        key = {"type": "string", "minLength": 1, "maxLength": MOST_KEY}
        yield {"in": "header", "name": "Idempotency-Key", "required": False, "schema": key}
    if row.method == "GET" and row.streams not in (Streams.NEVER, Streams.BODY):
        yield {"in": "header", "name": "last-event-id", "required": False, "schema": AFTER}


def _without_null(schema: Schema) -> Schema:
    """Return the schema without null, because a parameter of a query is left out instead."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    return choices[0] if len(choices) == 1 else schema


def _answers(row: Route, schemas: _Schemas) -> Schema:
    answers = {str(row.status): _answer(row, row.status, _content(row, schemas))}
    if row.later is not None:
        accepted = HTTPStatus.ACCEPTED
        content = {JSON: {"schema": schemas.of(row.later)}}
        answers[str(accepted.value)] = _answer(row, accepted, content)
    return answers


def _answer(row: Route, status: int, content: Mapping[str, Any]) -> Schema:
    answer: Schema = {"description": HTTPStatus(status).phrase}
    if content:
        answer["content"] = content
    if row.headers:
        answer["headers"] = {name: {"schema": {"type": "string"}} for name in row.headers}
    return answer


def _content(row: Route, schemas: _Schemas) -> Schema:
    content: Schema = {}
    if row.answer is bytes:
        content[ANY] = {"schema": {"type": "string", "format": "binary"}}
    elif row.answer is not None:
        content[MEDIA_TYPES.get(row.answer, JSON)] = {"schema": schemas.of(row.answer)}
    if row.csv:
        content[CSV] = {"schema": {"type": "string"}}
    if row.streams is not Streams.NEVER:
        content[SSE] = {"schema": schemas.of(Frame)}
    return content


def _errors(row: Route, schemas: _Schemas) -> Schema:
    """Return the error responses by status, each with its codes."""
    errors = [*EVERYWHERE, *row.errors]
    if row.body is not None or row.query is not None or "{" in row.path:
        errors.append(e.Unprocessable)
    if row.body is not None:
        errors += [e.UnsupportedMedia, e.TooManyValues, e.TooManyBytes, e.BytesExceeded]
    if row.takes_bytes:
        errors += [e.TooManyBytes, e.BytesExceeded]
    if row.streams is not Streams.NEVER:
        errors.append(e.TooManyConnections)
    content, status_of = _problem(row, schemas)
    codes: dict[int, list[str]] = {}
    for error in dict.fromkeys(errors):
        codes.setdefault(status_of(error), []).append(error.code)
    found: Schema = {}
    for status, names in sorted(codes.items()):
        found[str(status)] = {"description": ", ".join(names), "content": content}
        if status in problems.MAY_RETRY:
            found[str(status)]["headers"] = RETRY_AFTER
    return found


def _problem(row: Route, schemas: _Schemas) -> tuple[Schema, Callable[[type[e.RhetorError]], int]]:
    """Return the content of an error response of the route, and the function that returns its status."""
    if not row.path.startswith(vendor.PREFIX):
        return {problems.MEDIA_TYPE: {"schema": schemas.of(Problem)}}, lambda error: error.status
    if row.path.startswith(vendor.MESSAGES):
        shape: Schema = schemas.of(AnthropicError)
    elif row.path.startswith(vendor.MODELS):
        shape = {"anyOf": [schemas.of(OpenAIError), schemas.of(AnthropicError)]}
    else:
        shape = schemas.of(OpenAIError)
    return {JSON: {"schema": shape}}, vendor_errors.status_of
