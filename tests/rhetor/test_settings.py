"""What the settings make of peers: their rules for permissions, and their models."""

from __future__ import annotations

from pathlib import Path

import pytest

from rhetor.domain.peer import Peer
from rhetor.domain.permission import Rules
from rhetor.errors import InvalidSettings
from rhetor.settings import peers_of, read_settings


def peers(folder: Path, text: str) -> dict[str, Peer]:
    file = folder / "config.yaml"
    file.write_text(text)
    return {peer.name: peer for peer in peers_of(read_settings(file))}


def test_nothing_is_allowed_where_nothing_is_said(tmp_path: Path) -> None:
    assert {peer.permissions for peer in peers(tmp_path, "").values()} == {Rules()}


def test_a_peers_rules_are_its_own_and_those_for_all(tmp_path: Path) -> None:
    found = peers(
        tmp_path,
        "permissions: {deny: [WebFetch], allow: [Read]}\n"
        "tools:\n  claude-code: {args: [--verbose], permissions: {allow: [Edit], ask: ['mcp__*']}}\n"
        "specialists:\n  apollo: {permissions: {allow: [files__read]}}\n",
    )
    assert found["claude-code"].permissions == Rules(("Edit", "Read"), ("mcp__*",), ("WebFetch",))
    assert found["apollo"].permissions == Rules(("files__read", "Read"), (), ("WebFetch",))
    assert found["codex"].permissions == Rules(("Read",), (), ("WebFetch",))


@pytest.mark.parametrize(
    "rule", ["Bash(git status)", "Bash(*)", "*Bash", "a*b", "", "two words", "**", "x" * 201]
)
def test_a_rule_about_arguments_or_with_another_pattern_is_refused(tmp_path: Path, rule: str) -> None:
    with pytest.raises(InvalidSettings, match=r"line 1: permissions\.allow.*a rule is a tool's name"):
        peers(tmp_path, f"permissions: {{allow: ['{rule}']}}\n")


def test_an_agent_can_be_a_model_wherever_one_is_named(tmp_path: Path) -> None:
    text = "models: {default: 'cli:codex', fallbacks: ['cli:claude', 'cli:claude/opus']}"
    found = peers(tmp_path, f"{text}\nspecialists: {{athena: {{model: 'cli:gemini'}}}}\n")
    assert (found["apollo"].model, found["athena"].model) == ("cli:codex", "cli:gemini")
    with pytest.raises(InvalidSettings, match=r"models\.fallbacks\.0"):
        peers(tmp_path, "models: {fallbacks: [claude]}\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hub: {port: 1}\nsession: {ttl: 5}\nhub: {port: 2}\n", "line 3: hub is in line 1 already"),
        ("hub:\n  port: 1\n  port: 2\n", "line 3: port is in line 2 already"),
        ("teams:\n  a: [apollo]\n  b:\n  - {x: 1,\n     x: 2}\n", "line 5: x is in line 4 already"),
    ],
)
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        peers(tmp_path, text)
    assert refused.value.detail == f"{tmp_path / 'config.yaml'}: {why}"


@pytest.mark.parametrize("text", ["hub: {port: 1, port: 2}", "hub: &a {b: *a}"])
def test_a_file_that_repeats_itself_in_one_line_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSettings):
        peers(tmp_path, text)
