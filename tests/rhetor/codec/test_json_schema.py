"""JSON Schemas of users: what is accepted, and which answers match."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from rhetor.codec import json_schema
from rhetor.codec.json_schema import NotMatching, check_schema, matched
from rhetor.errors import Unprocessable

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "next": {"$ref": "#"}},
    "required": ["name"],
}
MANY = json.dumps([each for n in range(5000) for each in ([n], {"a": n})])
DEEP: dict[str, Any] = {}
for _ in range(40):
    DEEP = {"not": DEEP}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "nothing"}, "not a JSON Schema"),
        ({"$ref": "http://127.0.0.1:1/schema"}, "must lead into the schema itself"),
        ({"patternProperties": {"(a+)+$": {}}}, "patternProperties, which is not supported"),
        ({"pattern": "(?=a)"}, "cannot be used"),
        ({"enum": ["x" * 70_000]}, "larger than 65536 bytes"),
        (DEEP, "nested more than 32 levels"),
        ({"anyOf": [{}] * 3001}, "more than 3,000 parts"),
        ({"not": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "must be at the top"),
    ],
)
def test_a_schema_that_cannot_be_used_is_rejected(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(Unprocessable, match=why):
        check_schema(schema)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ('{"name": "Ada", "next": {"name": "Bob"}}', ""),
        ('  {"name": "Ada"}\n', ""),
        ('{"name": "ada"}', r"\$.name: 'ada' does not match"),
        ('{"name": "Ada", "next": {}}', r"\$.next: 'name' is a required property"),
        ('```json\n{"name": "Ada"}\n```', "it is not JSON"),
        ("", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
    ],
)
def test_an_answer_is_compared_with_its_schema(answer: str, why: str) -> None:
    check_schema(PERSON)
    if not why:
        matched(answer, PERSON)
        return
    with pytest.raises(NotMatching, match=why):
        matched(answer, PERSON)


def test_a_property_may_be_called_as_a_keyword_is() -> None:
    check_schema(
        {"type": "object", "properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}}}
    )


@pytest.mark.parametrize("dialect", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}])
def test_a_pattern_needs_no_exponential_time(dialect: dict[str, str]) -> None:
    schema = {**dialect, "pattern": "^(a+)+$", "properties": {"next": {"$ref": "#"}}}
    check_schema(schema)
    began = time.perf_counter()
    with pytest.raises(NotMatching):
        matched(f'{{"next": "{"a" * 5000}!"}}', schema)
    assert time.perf_counter() - began < 5


def test_references_need_no_exponential_time(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)}
    schema = {"$defs": {**twice, "a40": {"type": "string"}}, "$ref": "#/$defs/a0"}
    check_schema(schema)
    monkeypatch.setattr(json_schema, "SECONDS", 0.05)
    with pytest.raises(NotMatching, match=r"takes more than 0\.05 s"):
        matched('"x"', schema)


@pytest.mark.parametrize(
    ("items", "are_unique"),
    [
        ("[1, true, 0, false, null, [1], [true]]", True),
        ('[{"a": 1, "b": [2]}, {"b": [2], "a": 1.0}]', False),
        (MANY, True),
    ],
)
def test_unique_items_are_found_without_comparing_each_with_each(items: str, are_unique: bool) -> None:
    schema = {"type": "array", "uniqueItems": True}
    if are_unique:
        matched(items, schema)
        return
    with pytest.raises(NotMatching, match="items that are equal"):
        matched(items, schema)


def test_nothing_is_fetched_for_a_reference_that_leads_nowhere() -> None:
    with pytest.raises(NotMatching, match="cannot be compared"):
        matched("{}", {"$ref": "#/$defs/missing"})
