"""Checks whether a coding agent is logged in, from its environment and the files in its home folder. Uses no
network and starts no process.

It checks that a credential exists, not its value. Only a turn shows whether the provider accepts it.
Observed: claude 2.1.330, codex 0.169, gemini 0.61, opencode 1.18.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

Known = Literal["yes", "no", "unknown"]
Environment = Mapping[str, str]


# how to log in to an agent, by a part of its name
HOW = {
    "claude": "log in with: claude auth login",
    "codex": "log in with: codex login",
    "gemini": "log in by starting gemini once, or set GEMINI_API_KEY",
    "opencode": "log in with: opencode auth login",
    "cursor": "log in with: cursor-agent login",
    "continue": "log in with: cn login",
    "goose": "choose a provider with: goose configure",
}


class Login(msgspec.Struct, frozen=True):
    """Whether an agent is logged in. `how`: what shows it, or how to log in or find out."""

    known: Known
    how: str


def login_of(executable: str, environment: Environment) -> Login:
    """Return the login of the program with this name or path, which is started with this environment."""
    name = Path(executable).name
    variables, look = _AGENTS.get(name, ((), _unknown))
    for variable in variables:
        if environment.get(variable):
            return Login("yes", f"{variable} is set")
    return look(environment)


def how_to_log_in(agent: str) -> str:
    """Return how to log in to the agent with this name; empty if that is not known."""
    return next((how for name, how in HOW.items() if name in agent.lower()), "")


def _claude(environment: Environment) -> Login:
    folder = _place(environment, "CLAUDE_CONFIG_DIR", ".claude")
    file = folder / ".credentials.json"
    if "claudeAiOauth" in _json(file):
        return Login("yes", f"logged in ({file})")
    if "apiKeyHelper" in _json(folder / "settings.json"):
        return Login("yes", f"{folder / 'settings.json'} sets apiKeyHelper")
    if sys.platform == "darwin":
        return Login("unknown", "the login may be in the keychain; check with: claude auth status")
    return Login("no", HOW["claude"])


def _codex(environment: Environment) -> Login:
    folder = _place(environment, "CODEX_HOME", ".codex")
    file = folder / "auth.json"
    if any(_json(file).values()):
        return Login("yes", f"logged in ({file})")
    config = _toml(folder / "config.toml")
    if config.get("model_provider", "openai") != "openai" or "cli_auth_credentials_store" in config:
        how = f"{folder / 'config.toml'} configures its own login; check with: codex login status"
        return Login("unknown", how)
    return Login("no", HOW["codex"])


def _gemini(environment: Environment) -> Login:
    folder = _home(environment) / ".gemini"
    file = folder / "oauth_creds.json"
    if _json(file):
        return Login("yes", f"logged in ({file})")
    if _json(folder / "settings.json").get("security"):
        return Login("unknown", f"{folder / 'settings.json'} configures its own login")
    return Login("no", HOW["gemini"])


def _opencode(environment: Environment) -> Login:
    file = _place(environment, "XDG_DATA_HOME", ".local/share") / "opencode" / "auth.json"
    if _json(file):
        return Login("yes", f"logged in ({file})")
    return Login("unknown", "its provider may need no login; check with: opencode auth list")


def _unknown(environment: Environment) -> Login:
    return Login("unknown", "check in the program itself")


_GOOGLE = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
# the program's name → the variables that count as a login, and the check of its files
_AGENTS: dict[str, tuple[tuple[str, ...], Callable[[Environment], Login]]] = {
    "claude": (("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"), _claude),
    "codex": ((), _codex),  # it uses no key from its environment; `codex login` stores one
    "gemini": (_GOOGLE, _gemini),
    "opencode": (("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", *_GOOGLE), _opencode),
    "cursor-agent": (("CURSOR_API_KEY",), _unknown),
}


def _home(environment: Environment) -> Path:
    return Path(environment.get("HOME") or "/")


def _place(environment: Environment, variable: str, usual: str) -> Path:
    named = environment.get(variable)
    return Path(named) if named else _home(environment) / usual


def _json(file: Path) -> dict[str, Any]:
    """Return the file's JSON object; empty if it cannot be read."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
