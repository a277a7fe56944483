"""What a client is told of each setting, so that it can check values before it sends them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rhetor.errors import InvalidSettings
from rhetor.settings import Settings
from rhetor.settings.described import described
from rhetor.settings.meanings import MEANINGS
from rhetor.settings.reading import read_settings
from rhetor.settings.validation import InvalidValue, convert
from tests.meanings import COPY, meanings, written

# as a client gets them
ROWS: dict[str, dict[str, Any]] = {
    row["key"]: row for row in msgspec.json.decode(msgspec.json.encode(described({"hub.port"})))
}
FILE = Path("config.yaml")


def test_the_meanings_are_those_of_the_page() -> None:
    assert COPY.exists()
    assert meanings() == MEANINGS, "run: python -m tests.meanings"
    assert "MEANINGS = {" in written({"a": "b"})


def test_every_setting_is_described_once() -> None:
    assert ROWS.keys() == MEANINGS.keys()
    assert len(described(())) == len(ROWS)


def test_a_setting_has_its_type_bounds_unit_and_default() -> None:
    port = dict(ROWS["hub.port"])
    assert port.pop("description").startswith("TCP port")
    assert port == {
        "key": "hub.port",
        "type": "integer",
        "minimum": 0,
        "maximum": 65535,
        "default": 8300,
        "required": False,
        "nullable": False,
        "unit": None,
        "needs_restart": True,
        "secret": False,
    }
    ttl = ROWS["session.ttl"]
    assert (ttl["type"], ttl["above"], ttl["unit"], ttl["needs_restart"]) == ("number", 0, "seconds", False)
    kind = ROWS["providers.NAME.kind"]
    assert (kind["choices"], kind["default"]) == (["anthropic", "openai", "openrouter"], "openai")
    assert ROWS["auth.issuers.NAME.issuer"]["required"]
    assert ROWS["retention.max_bytes"]["nullable"]
    assert ROWS["mcp_servers.NAME.approve"]["or_else"] == {"type": "array", "items": {"type": "string"}}
    assert ROWS["notify.N.on"]["items"]["choices"][0] == "budget"
    assert ROWS["teams.NAME"]["items"] == {"type": "string"}
    secret = {key for key, row in ROWS.items() if row["secret"]}
    assert {"tools.NAME.env", "mcp_servers.NAME.url", "notify", "notify.N.command"} <= secret
    assert not secret & {"hub.port", "providers.NAME.base_url", "models.default"}


def test_every_default_is_a_value_that_the_description_allows() -> None:
    for key, row in ROWS.items():
        if row["default"] is not None:
            assert (key, _allows(row, row["default"])) == (key, True)


def _allows(row: dict[str, Any], value: Any) -> bool:
    kinds: dict[str, Any] = {"string": str, "integer": int, "number": int | float, "boolean": bool}
    if row["type"] in kinds and isinstance(value, kinds[row["type"]]):
        is_chosen = "choices" not in row or value in row["choices"]
        fits = "pattern" not in row or re.search(row["pattern"], value) is not None
        return is_chosen and fits and _is_within(row, value)
    if row["type"] == "array" and isinstance(value, list):
        return all(_allows(row["items"], each) for each in value)
    if row["type"] == "object" and isinstance(value, dict):
        return True
    return "or_else" in row and _allows(row["or_else"], value)


def _is_within(row: dict[str, Any], value: Any) -> bool:
    return (
        ("minimum" not in row or value >= row["minimum"])
        and ("above" not in row or value > row["above"])
        and ("maximum" not in row or value <= row["maximum"])
    )


@pytest.mark.parametrize("key", [key for key, row in ROWS.items() if "maximum" in row or "above" in row])
def test_a_value_outside_the_bounds_is_rejected_by_the_hub_too(key: str) -> None:
    row = ROWS[key]
    wrong = row["maximum"] + 1 if "maximum" in row else row["above"]
    if "NAME" in key or ".N." in key:
        return
    values: Any = wrong
    for name in reversed(key.split(".")):
        values = {name: values}
    with pytest.raises(InvalidValue) as rejected:
        convert(values, Settings)
    assert [problem["key"] for problem in rejected.value.data["problems"]] == [key]


def test_an_invalid_configuration_names_every_invalid_value() -> None:
    text = """
hub: {port: 99999, hosst: x}
session: {ttl: 0}
teams: {"a b": [apollo]}
tools: {box: {driver: magic, args: [x, [2]]}}
"""
    with pytest.raises(InvalidSettings) as rejected:
        read_settings(FILE, text=text)
    problems = {each["key"]: each["detail"] for each in rejected.value.data["problems"]}
    assert problems.keys() == {
        *("hub.port", "hub.hosst", "session.ttl", "teams.a b", "tools.box.driver", "tools.box.args.1"),
    }
    assert problems["hub.hosst"] == "there is no such setting; did you mean host?"
    assert rejected.value.detail.startswith("config.yaml: line 2: hub.port: ")


def test_values_that_contradict_each_other_are_named_too() -> None:
    with pytest.raises(InvalidSettings) as rejected:
        read_settings(FILE, text="teams: {pair: [nobody]}")
    assert rejected.value.data["problems"] == [
        {"key": "teams.pair", "detail": "no peer is called 'nobody'"},
    ]
