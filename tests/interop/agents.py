"""The real coding agents, each with a scratch home in which its model is the scripted provider."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.provider.script import ToolCall

CACHE = Path(os.environ.get("AISH_INTEROP") or Path.home() / ".cache" / "aish-interop")
# nothing but loopback: whatever else an agent would like to reach ends at a closed port
_NO_NETWORK = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
_LOOPBACK = "127.0.0.1,localhost"
_CODEX = """\
model = "stub"
model_provider = "stub"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.stub]
name = "stub"
base_url = "{url}/v1"
env_key = "STUB_KEY"
wire_api = "responses"
"""
_GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
}


@dataclass(frozen=True)
class Agent:
    """`name`: the peer; `path`: where its requests to the provider go; `said`: what a request holds of the
    conversation; `command`: a call of its shell tool. `settings`: its entry under `tools:`.
    `goes_on_after_denial`: whether it tells its model that a call was denied, or ends the turn.
    `streams`: whether what it says comes while its model says it; `thinks`: whether it passes thoughts on;
    `asks_first`: whether it can ask for a permission in this way of running it; `reports`: whether it tells
    its model.
    `kept`: where in the home it keeps conversations, if it says that one is lost. `age`: makes them older,
    where it cannot go on with new ones."""

    name: str
    package: str
    executable: str
    path: str
    prepare: Callable[[Path, str], None]
    command: Callable[[str, str], ToolCall]
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    goes_on_after_denial: bool = True
    streams: bool = True
    thinks: bool = True
    asks_first: bool = True
    reports: bool = True
    kept: str = ""
    age: Callable[[Path], None] = lambda home: None

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return CACHE / self.package.replace("/", "_").replace("@", "_")

    @property
    def bin(self) -> Path:
        return self.folder / "node_modules" / ".bin"

    def asks(self, call: Mapping[str, Any]) -> bool:
        """Whether a call to the provider is one for an answer."""
        return self.path in str(call["path"]) and call["body"] is not None


def _nothing(home: Path, url: str) -> None:
    """Its environment says all."""


def _codex(home: Path, url: str) -> None:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(_CODEX.format(url=url))


def _opencode(home: Path, url: str) -> None:
    model = {"name": "Stub", "limit": {"context": 100_000, "output": 8000}}
    options = {"baseURL": f"{url}/v1", "apiKey": "dummy"}
    stub = {"npm": "@ai-sdk/openai-compatible", "name": "Stub", "options": options, "models": {"stub": model}}
    config = {
        "autoupdate": False,
        "share": "disabled",
        "model": "stub/stub",
        "small_model": "stub/stub",
        "enabled_providers": ["stub"],
        "permission": {"bash": "ask", "edit": "ask"},
        "agent": {"title": {"disable": True}},
        "provider": {"stub": stub},
    }
    _write(home / ".config" / "opencode" / "opencode.json", config)


def _gemini(home: Path, url: str) -> None:
    _write(home / ".gemini" / "settings.json", _GEMINI)


def _continue(home: Path, url: str) -> None:
    """JSON is YAML as well."""
    what = {"name": "stub", "roles": ["chat"], "capabilities": ["tool_use"]}
    where = {"provider": "openai", "model": "stub", "apiBase": f"{url}/v1", "apiKey": "dummy"}
    config = {"name": "Stub", "version": "1.0.0", "schema": "v1", "models": [what | where]}
    _write(home / ".continue" / "config.yaml", config)


def _age_gemini(home: Path) -> None:
    """0.61 loads a conversation into the file that is named for this minute; one that began in it is written
    over, and then not found."""
    for file in (home / ".gemini" / "tmp").glob("*/chats/session-*.jsonl"):
        file.rename(file.with_name(f"session-2026-01-01T00-00-{file.name[-14:]}"))


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value))


def _claude_command(command: str, id: str) -> ToolCall:
    return ToolCall("Bash", json.dumps({"command": command, "description": "a command"}), id=f"toolu_{id}")


def _codex_command(command: str, id: str) -> ToolCall:
    arguments = {"cmd": command, "sandbox_permissions": "require_escalated", "justification": "a test"}
    return ToolCall("exec_command", json.dumps(arguments), id=f"call_{id}")


def _opencode_command(command: str, id: str) -> ToolCall:
    return ToolCall("bash", json.dumps({"command": command, "description": "a command"}), id=f"call_{id}")


def _continue_command(command: str, id: str) -> ToolCall:
    return ToolCall("Bash", json.dumps({"command": command}), id=f"call_{id}")


def _gemini_command(command: str, id: str) -> ToolCall:
    arguments = {"command": command, "description": "a command"}
    return ToolCall("run_shell_command", json.dumps(arguments), id=f"call_{id}")


AGENTS = (
    Agent(
        "claude-code",
        "@anthropic-ai/claude-code",
        "claude",
        "/v1/messages",
        _nothing,
        _claude_command,
        {
            "ANTHROPIC_BASE_URL": "{url}",
            "ANTHROPIC_API_KEY": "dummy",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
        kept=".claude/projects",
    ),
    Agent(
        "codex",
        "@openai/codex",
        "codex",
        "/v1/responses",
        _codex,
        _codex_command,
        {"STUB_KEY": "dummy"},
        {"pass_env": ["STUB_KEY", *_NO_NETWORK, "NO_PROXY"]},
        kept=".codex/sessions",
    ),
    Agent(
        "opencode",
        "opencode-ai",
        "opencode",
        "/v1/chat/completions",
        _opencode,
        _opencode_command,
        goes_on_after_denial=False,
    ),
    Agent(
        "gemini",
        "@google/gemini-cli",
        "gemini",
        "/v1beta/models/",
        _gemini,
        _gemini_command,
        {"GEMINI_API_KEY": "dummy", "GOOGLE_GEMINI_BASE_URL": "{url}"},
        {"args": ["--acp", "-m", "gemini-2.5-flash"]},
        kept=".gemini/tmp",
        age=_age_gemini,
    ),
    Agent(
        "continue",
        "@continuedev/cli",
        "cn",
        "/v1/chat/completions",
        _continue,
        _continue_command,
        goes_on_after_denial=False,
        streams=False,
        thinks=False,
        asks_first=False,
        reports=False,
        kept=".continue/sessions",
    ),
)


def named(name: str) -> Agent:
    return next(agent for agent in AGENTS if agent.name == name)


def environment(home: Path, url: str, folders: tuple[Path, ...]) -> dict[str, str]:
    """What the shell of a user has who has all of them. `folders`: of executables, before the usual ones."""
    path = os.pathsep.join([*map(str, folders), "/usr/local/bin", "/usr/bin", "/bin"])
    found = {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "RHETOR_MODELS__DEFAULT": "offline"}
    for agent in AGENTS:
        found |= {name: value.format(url=url) for name, value in agent.environment.items()}
    return {**found, **_NO_NETWORK, "NO_PROXY": _LOOPBACK, "RHETOR_HOME": str(home / "state")}
