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
# only loopback works: any other address that an agent wants to reach ends at a closed port
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
    """`name`: the peer; `path`: the path of its requests to the provider; `command`: returns a call of its
    shell tool; `settings`: its entry under `tools:`.
    `continues_after_denial`: it reports a denied call to its model, instead of ending the turn, for which
    `denied` is its answer.
    `streams`: it passes text on while its model sends it; `thinks`: it passes reasoning on; `asks_first`: it
    can request permission in this mode; `allows_always`: it offers that; `reports`: it reports its model.
    `kept`: the folder of its conversations in the home, if it reports a lost one; `age`: makes conversations
    older, if it cannot resume new ones."""

    name: str
    package: str
    executable: str
    path: str
    prepare: Callable[[Path, str], None]
    command: Callable[[str, str], ToolCall]
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    continues_after_denial: bool = True
    denied: str = ""
    streams: bool = True
    thinks: bool = True
    asks_first: bool = True
    allows_always: bool = True
    reports: bool = True
    kept: str = ""
    age: Callable[[Path], None] = lambda home: None

    @property
    def folder(self) -> Path:
        """The folder in which it is installed."""
        return CACHE / self.package.replace("/", "_").replace("@", "_")

    @property
    def bin(self) -> Path:
        return self.folder / "node_modules" / ".bin"

    def asks(self, call: Mapping[str, Any]) -> bool:
        """Return whether a call to the provider requests an answer."""
        return self.path in str(call["path"]) and call["body"] is not None


def _nothing(home: Path, url: str) -> None:
    """Prepare nothing: environment variables are enough."""


def _codex(home: Path, url: str) -> None:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(_CODEX.format(url=url))


def _opencode(home: Path, url: str) -> None:
    _write(home / ".config" / "opencode" / "opencode.json", opencode_config(f"{url}/v1", "stub", "dummy"))


def opencode_config(base_url: str, model: str, key: str) -> dict[str, Any]:
    """Return the configuration with which OpenCode has one model, of an OpenAI-compatible provider."""
    options = {"baseURL": base_url, "apiKey": key}
    known = {"name": "Stub", "limit": {"context": 100_000, "output": 8000}}
    stub = {"npm": "@ai-sdk/openai-compatible", "name": "Stub", "options": options, "models": {model: known}}
    return {
        "autoupdate": False,
        "share": "disabled",
        "model": f"stub/{model}",
        "small_model": f"stub/{model}",
        "enabled_providers": ["stub"],
        "permission": {"bash": "ask", "edit": "ask"},
        "agent": {"title": {"disable": True}},
        "provider": {"stub": stub},
    }


def _gemini(home: Path, url: str) -> None:
    _write(home / ".gemini" / "settings.json", _GEMINI)


def _continue(home: Path, url: str) -> None:
    """Write its configuration; JSON is valid YAML."""
    what = {"name": "stub", "roles": ["chat"], "capabilities": ["tool_use"]}
    where = {"provider": "openai", "model": "stub", "apiBase": f"{url}/v1", "apiKey": "dummy"}
    config = {"name": "Stub", "version": "1.0.0", "schema": "v1", "models": [what | where]}
    _write(home / ".continue" / "config.yaml", config)


def _age_gemini(home: Path) -> None:
    """Make conversations older: 0.61 saves a loaded conversation under the current minute, which overwrites
    one that was started in the same minute."""
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


def _copilot_command(command: str, id: str) -> ToolCall:
    return ToolCall("bash", json.dumps({"command": command, "description": "a command"}), id=f"call_{id}")


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
        continues_after_denial=False,
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
        "copilot",
        "@github/copilot",
        "copilot",
        "/v1/chat/completions",
        _nothing,
        _copilot_command,
        {
            "COPILOT_PROVIDER_BASE_URL": "{url}/v1",
            "COPILOT_PROVIDER_API_KEY": "dummy",
            "COPILOT_MODEL": "stub",
            "COPILOT_OFFLINE": "true",
            # its first start unpacks 235 MB there
            "COPILOT_CACHE_HOME": str(CACHE / "_github_copilot" / "cache"),
        },
        continues_after_denial=False,
        denied="Info: Operation cancelled by user",
        reports=False,
        kept=".copilot/session-state",
    ),
    Agent(
        "continue",
        "@continuedev/cli",
        "cn",
        "/v1/chat/completions",
        _continue,
        _continue_command,
        continues_after_denial=False,
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
    """Return the environment of a user with all agents. `folders`: put at the front of PATH."""
    path = os.pathsep.join([*map(str, folders), "/usr/local/bin", "/usr/bin", "/bin"])
    found = {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "RHETOR_MODELS__DEFAULT": "offline"}
    for agent in AGENTS:
        found |= {name: value.format(url=url) for name, value in agent.environment.items()}
    return {**found, **_NO_NETWORK, "NO_PROXY": _LOOPBACK, "RHETOR_HOME": str(home / "state")}
