"""Whether a coding agent is logged in, by its variables and what is in its home: no network, no process.

It looks whether a credential is there, never at its value; whether a provider takes it shows the first turn.
Seen: claude 2.1.330, codex 0.169, gemini 0.61, opencode 1.18.
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


class Login(msgspec.Struct, frozen=True):
    """`how`: what it is known by, or how to log in."""

    known: Known
    how: str


def login_of(executable: str, environment: Environment) -> Login:
    """Of the program with that name or path, in the environment that it is started with."""
    name = Path(executable).name
    variables, look = _AGENTS.get(name, ((), _unknown))
    for variable in variables:
        if environment.get(variable):
            return Login("yes", f"{variable} is set")
    return look(environment)


def _claude(environment: Environment) -> Login:
    folder = _place(environment, "CLAUDE_CONFIG_DIR", ".claude")
    file = folder / ".credentials.json"
    if "claudeAiOauth" in _json(file):
        return Login("yes", f"{file} has a login")
    if "apiKeyHelper" in _json(folder / "settings.json"):
        return Login("yes", f"{folder / 'settings.json'} names a helper for its key")
    if sys.platform == "darwin":
        return Login("unknown", "its login may be in the keychain: claude auth status tells")
    return Login("no", "log in with: claude auth login")


def _codex(environment: Environment) -> Login:
    folder = _place(environment, "CODEX_HOME", ".codex")
    file = folder / "auth.json"
    if any(_json(file).values()):
        return Login("yes", f"{file} has a login")
    config = _toml(folder / "config.toml")
    if config.get("model_provider", "openai") != "openai" or "cli_auth_credentials_store" in config:
        return Login("unknown", f"{folder / 'config.toml'} has a way of its own: codex login status tells")
    return Login("no", "log in with: codex login")


def _gemini(environment: Environment) -> Login:
    folder = _home(environment) / ".gemini"
    file = folder / "oauth_creds.json"
    if _json(file):
        return Login("yes", f"{file} has a login")
    if _json(folder / "settings.json").get("security"):
        return Login("unknown", f"{folder / 'settings.json'} has a way of its own")
    return Login("no", "log in by starting gemini once, or set GEMINI_API_KEY")


def _opencode(environment: Environment) -> Login:
    file = _place(environment, "XDG_DATA_HOME", ".local/share") / "opencode" / "auth.json"
    if _json(file):
        return Login("yes", f"{file} has a login")
    return Login("unknown", "it may have a provider that needs none: opencode auth list tells")


def _unknown(environment: Environment) -> Login:
    return Login("unknown", "only the program itself can tell")


_GOOGLE = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
# the program's name → the variables that are a login, and where else to look
_AGENTS: dict[str, tuple[tuple[str, ...], Callable[[Environment], Login]]] = {
    "claude": (("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"), _claude),
    "codex": ((), _codex),  # it takes no key from its environment until `codex login` was given one
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
    """The file's object; empty where there is none that can be read."""
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
