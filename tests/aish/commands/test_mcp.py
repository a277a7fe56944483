"""`aish mcp` and `aish project`: against a hub that is scripted, and on the files of agents."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from aish.commands import mcp_install
from tests.aish.scripted import ScriptedHub, Shell, answer

SERVER: dict[str, Any] = {
    "name": "files",
    "transport": "stdio",
    "command": ["uvx", "files"],
    "url": None,
    "env": {"KEY": "(masked)"},
    "allow_private": False,
    "approve": ["write"],
    "source": "api",
}
SETTINGS: dict[str, Any] = {
    "default_peer": "athena",
    "model": None,
    "permissions": {"allow": [], "ask": [], "deny": ["Bash"]},
    "mcp_servers": [],
}
USAGE = {"turns": 2, "input_tokens": 30, "output_tokens": 4, "cost": "0.01", "unpriced_turns": 0}
PROJECT: dict[str, Any] = {
    "id": "site",
    "name": "site",
    "path": "/src/site",
    "settings": SETTINGS,
    "sessions": [{"id": "s_1", "name": None, "state": "active", "started": True, "specialist_id": "athena"}],
    "created_at": "2026-11-29T00:00:00.000Z",
}


def test_servers_are_listed_added_removed_and_tested(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/mcp-servers", answer({"mcp_servers": [SERVER]}))
    hub.on("POST /api/mcp-servers", answer(SERVER))
    hub.on("DELETE /api/mcp-servers/files", answer({"name": "files", "status": "removed"}))
    hub.on("POST /api/mcp-servers/files/test", answer({"ok": True, "tools": ["read"], "seconds": 0.25}))
    assert aish("mcp", "list").out == (
        "NAME   TRANSPORT  COMMAND OR URL  APPROVE  SOURCE\nfiles  stdio      uvx files       write    api\n"
    )
    assert json.loads(aish("mcp", "list", "json").out) == [SERVER]
    added = aish("mcp", "add", "files", "--env", "KEY=v", "--approve", "write", "--", "uvx", "files")
    assert added.out == "✓ Added the MCP server files; test it with: aish mcp test files\n"
    assert aish("mcp", "add", "web", "https://mcp.example/mcp", "--private", "--approve", "all").code == 0
    assert hub.bodies("POST /api/mcp-servers") == [
        {"env": {"KEY": "v"}, "name": "files", "approve": ["write"], "command": ["uvx", "files"]},
        {
            "env": {},
            "name": "web",
            "url": "https://mcp.example/mcp",
            "allow_private": True,
            "approve": "all",
        },
    ]
    assert aish("mcp", "test", "files").out == "✓ files has 1 tool (0.2 s)\n  read\n"
    assert aish("mcp", "remove", "files").out == "✓ Removed the MCP server files\n"


def test_a_server_that_cannot_be_used_fails_with_the_reason(aish: Shell, hub: ScriptedHub) -> None:
    broken = {
        "ok": False,
        "tools": [],
        "seconds": 0.1,
        "error": "no program 'x' on the PATH",
        "hint": "add it",
    }
    hub.on("POST /api/mcp-servers/files/test", answer(broken))
    ran = aish("mcp", "test", "files")
    assert (ran.code, ran.err) == (1, "aish: no program 'x' on the PATH\nadd it\n")


@pytest.mark.parametrize(
    "words",
    [
        ("mcp", "what"),
        ("mcp", "add", "files"),
        ("mcp", "add", "files", "https://x", "--", "y"),
        ("mcp", "add", "files", "--env", "=x", "--", "y"),
        ("mcp", "install"),
        ("project", "what"),
        ("project", "create"),
        ("project", "forward"),
        ("project", "forward", "site", "jill", "numa"),
        ("project", "unforward"),
        ("project", "settings", "site", "--colour", "red"),
    ],
)
def test_invalid_words_show_the_usage(aish: Shell, hub: ScriptedHub, words: tuple[str, ...]) -> None:
    hub.on("GET /api/projects/site", answer({**PROJECT, "usage": USAGE}))
    ran = aish(*words)
    assert (ran.code, ran.err.startswith("aish: usage: aish ")) == (2, True)


def test_projects_are_created_shown_and_changed(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/projects", answer({"projects": [PROJECT]}))
    hub.on("POST /api/projects", answer(PROJECT))
    hub.on("GET /api/projects/site", answer({**PROJECT, "usage": USAGE}))
    hub.on("PUT /api/projects/site/settings", answer(PROJECT))
    assert aish("project", "list").out == ("NAME  FOLDER     PEER    SESSIONS\nsite  /src/site  athena  1\n")
    assert aish("project", "create", "site", "/src/site").out == "✓ Created the project site in /src/site\n"
    assert hub.bodies("POST /api/projects") == [{"name": "site", "path": "/src/site"}]
    assert aish("project", "show", "site").out == (
        "site: /src/site\n  peer: athena\n  deny: Bash\n  2 turns, 34 tokens, $0.01\n  s_1  athena, active\n"
    )
    changed = aish("project", "settings", "site", "--peer", "apollo", "--allow", "Read,Glob")
    assert changed.out.startswith("✓ Settings of site:\n")
    assert hub.bodies("PUT /api/projects/site/settings") == [
        {
            **SETTINGS,
            "default_peer": "apollo",
            "permissions": {"allow": ["Read", "Glob"], "ask": [], "deny": ["Bash"]},
        }
    ]


def test_a_project_without_known_prices_has_an_unknown_cost(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/projects/site", answer({**PROJECT, "usage": {**USAGE, "cost": None}}))
    assert "tokens, cost unknown\n" in aish("project", "show", "site").out


def test_the_answers_of_a_project_are_forwarded_to_this_terminal_or_another_place(
    aish: Shell, hub: ScriptedHub
) -> None:
    made = {"from": "project:site", "from_kind": "project", "to": "jill", "kind": "terminal"}
    hub.on("PUT /api/v2/forwards/project%3Asite", answer(made))
    hub.on("DELETE /api/v2/forwards/project%3Asite", answer(made))
    forwarded = aish("project", "forward", "site", "json", env={"AISH_NAME": "jill"})
    assert forwarded.out == "✓ Forwarding site messages to jill (JSON mode)\n"
    assert aish("project", "forward", "site", "numa", "-x").code == 0
    assert hub.bodies("PUT /api/v2/forwards/project%3Asite") == [
        {"to": "jill", "json": True, "execute": False},
        {"to": "numa", "json": False, "execute": True},
    ]
    unnamed = aish("project", "forward", "site")
    assert (unnamed.code, unnamed.err[:32]) == (2, "aish: this terminal has no name;")
    assert aish("project", "unforward", "site").out == "✓ Stopped forwarding site (was going to jill)\n"


FILES: dict[str, tuple[str, str, Any]] = {
    "claude-code": (".claude.json", '{\n  "theme": "dark"\n}\n', json.loads),
    "codex": (".codex/config.toml", 'model = "o"\n\n[tui]\nx = 1\n', tomllib.loads),
    "gemini": (".gemini/settings.json", '{\n  "mcpServers": {\n    "a": {}\n  }\n}\n', json.loads),
    "opencode": (".config/opencode/opencode.json", "", json.loads),
    "continue": (
        ".continue/config.yaml",
        "name: mine\nmcpServers:\n  - name: a\n    command: a\n",
        yaml.safe_load,
    ),
    "copilot": (".copilot/mcp-config.json", '{\n  "mcpServers": {\n    "a": {}\n  }\n}\n', json.loads),
    "cursor": (".cursor/mcp.json", "", json.loads),
}


@pytest.mark.parametrize("agent", FILES)
def test_an_agent_gets_an_entry_and_loses_it_again(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "COPILOT_HOME", "XDG_CONFIG_HOME", "RHETOR_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    place, before, read = FILES[agent]
    path = tmp_path / place
    if before:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(before)
        path.chmod(0o640)
    assert mcp_install.install(agent) == 0
    shown = capfd.readouterr().out
    assert str(path) in shown and "mcp" in shown
    entry = _entry(agent, read(path.read_text()))
    assert entry[0].endswith("rhetor") and entry[1:] == ["mcp"]
    assert path.stat().st_mode & 0o777 == (0o640 if before else 0o600)
    once = path.read_text()
    mcp_install.install(agent)
    assert path.read_text() == once
    mcp_install.uninstall(agent)
    after = read(path.read_text())
    assert "rhetor" not in path.read_text()
    if before:
        assert {k: v for k, v in after.items() if v} == {k: v for k, v in read(before).items() if v}


def _entry(agent: str, found: Any) -> list[str]:
    if agent == "opencode":
        return list(found["mcp"]["rhetor"]["command"])
    if agent == "codex":
        entry = found["mcp_servers"]["rhetor"]
    elif agent == "continue":
        (entry,) = (each for each in found["mcpServers"] if each["name"] == "rhetor")
    else:
        entry = found["mcpServers"]["rhetor"]
    return [entry["command"], *entry["args"]]


def test_a_configuration_that_cannot_be_read_is_not_changed(aish: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "user"
    (folder / ".cursor").mkdir(parents=True)
    path = folder / ".cursor" / "mcp.json"
    path.write_text('{"mcpServers": {}, // mine\n}')
    ran = aish("mcp", "install", "cursor", env={"HOME": str(folder)})
    assert (ran.code, "not plain JSON" in ran.err) == (1, True)
    assert path.read_text() == '{"mcpServers": {}, // mine\n}'
