"""The form of an MCP server that Codex passes on: its required fields as questions, and its content.

Its schema is an object of plain values
(https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation).
"""

from __future__ import annotations

from typing import Any

from rhetor.domain.questions import Answers, Choice, Question
from rhetor.drivers.agents.records import rows, table, text

_YES, _NO = "Yes", "No"


def questions_of(schema: dict[str, Any]) -> tuple[Question, ...]:
    """Return the required fields as questions. A field that is not required is left out of the form."""
    names, fields = schema.get("required"), table(schema, "properties")
    known = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return tuple(_question(name, table(fields, name)) for name in dict.fromkeys(known))


def content(schema: dict[str, Any], answers: Answers) -> dict[str, Any]:
    """Return the form's content. A number that cannot be read is kept as text, and the server rejects it."""
    fields = table(schema, "properties")
    return {name: _value(table(fields, name), answer) for name, answer in answers.items()}


def _question(name: str, field: dict[str, Any]) -> Question:
    described = text(field, "description") or text(field, "title") or name
    is_list = field.get("type") == "array"
    options = tuple(map(Choice, _values(table(field, "items") if is_list else field)))
    return Question(name, text(field, "title") or name, described, options, is_list)


def _values(field: dict[str, Any]) -> dict[str, Any]:
    """Return the values that a field allows, by their labels; empty if it allows any."""
    if field.get("type") == "boolean":
        return {_YES: True, _NO: False}
    if titled := rows(field, "oneOf") or rows(field, "anyOf"):
        return {text(one, "title") or text(one, "const"): one.get("const") for one in titled}
    values, names = field.get("enum"), field.get("enumNames")
    if not isinstance(values, list):
        return {}
    labels = names if isinstance(names, list) and len(names) == len(values) else values
    return {str(label): value for label, value in zip(labels, values, strict=True)}


def _value(field: dict[str, Any], answer: list[str] | str) -> Any:
    given = [answer] if isinstance(answer, str) else answer
    if field.get("type") == "array":
        values = _values(table(field, "items"))
        return [values.get(one, one) for one in given]
    if field.get("type") in ("integer", "number"):
        return _number(given[0])
    return _values(field).get(given[0], given[0])


def _number(plain: str) -> Any:
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    return plain
