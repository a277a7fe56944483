"""Checks whether a coding agent is logged in, from its environment, its arguments and the files that it
reads. Uses no network and starts no process.

It checks that a credential exists, not its value. Only a turn shows whether the provider accepts it. The
answer is "no" only if the agent has nowhere else to find a credential: a message to it then fails without
starting it. Observed: claude 2.1.332, codex 0.171, gemini 0.61, opencode 1.18, copilot 1.0.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from .login_files import json_of, text_of, toml_of

Known = Literal["yes", "no", "unknown"]
Environment = Mapping[str, str]


# how to log in to an agent, by a part of its name
HOW = {
    "claude": "log in with: claude auth login",
    "codex": "log in with: codex login",
    "gemini": "log in by starting gemini once, or set GEMINI_API_KEY",
    "opencode": "log in with: opencode auth login",
    "copilot": "log in with: copilot login",
    "cursor": "log in with: cursor-agent login",
    "continue": "log in with: cn login",
    "goose": "choose a provider with: goose configure",
}


class Login(msgspec.Struct, frozen=True):
    """Whether an agent is logged in. `how`: what shows it, or how to log in or find out."""

    known: Known
    how: str


def login_of(
    executable: str, environment: Environment, arguments: Sequence[str] = (), folder: str | None = None
) -> Login:
    """Return the login of a program that is started with this environment and these arguments.

    `executable`: its name or path. `folder`: where it runs, which may have settings of its own.
    """
    name = Path(executable).name
    agent = _AGENTS.get(name)
    if agent is None:
        return _UNKNOWN
    for variable in agent.variables:
        if environment.get(variable):
            return Login("yes", f"{variable} is set")
    login = agent.look(environment, folder)
    if login.known == "no" and (why := _elsewhere(agent, executable, environment, arguments)):
        return Login("unknown", why)
    return login


def how_to_log_in(agent: str) -> str:
    """Return how to log in to the agent with this name; empty if that is not known."""
    return next((how for name, how in HOW.items() if name in agent.lower()), "")


class _Agent(msgspec.Struct, frozen=True):
    """How to find the login of an agent. `variables` count as a login. `look` checks its files. `hints` are
    variables, and `options` are arguments, with which it may find a credential elsewhere."""

    variables: tuple[str, ...]
    look: Callable[[Environment, str | None], Login]
    hints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def _elsewhere(agent: _Agent, executable: str, environment: Environment, arguments: Sequence[str]) -> str:
    """Return why the agent may have a credential that its files do not show; empty if nothing suggests it."""
    for variable in agent.hints:
        if environment.get(variable):
            return f"{variable} is set"
    for word in arguments:
        if word.partition("=")[0] in agent.options:
            return f"it is started with {word.partition('=')[0]}"
    if "/" in executable and _may_log_in(text_of(Path(executable), _SCRIPT_BYTES)):
        return f"{executable} is a script, which may log it in"
    return ""


def _may_log_in(script: str) -> bool:
    """Return whether a script of a shell, which starts an agent, may give it a credential or another home."""
    first, _, rest = script.partition("\n")
    return first.startswith("#!") and "sh" in first and _GIVES.search(rest) is not None


_SCRIPT_BYTES = 1 << 16  # the wrapper of an agent is small
_GIVES = re.compile(
    r"(?:KEY|TOKEN|SECRET|HOME|CONFIG|_USE_)\w*=|--settings|\b(?:source|eval|op)\s|^\s*\.\s", re.MULTILINE
)
_CLAUDE_CLOUDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
_CLAUDE_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_CLAUDE_MANAGED = Path("/etc/claude-code/managed-settings.json")


def _claude(environment: Environment, folder: str | None) -> Login:
    own = environment.get("CLAUDE_CONFIG_DIR")
    config = Path(own) if own else _home(environment) / ".claude"
    file, state = config / ".credentials.json", (config if own else _home(environment)) / ".claude.json"
    if "claudeAiOauth" in json_of(file):
        return Login("yes", f"logged in ({file})")
    if json_of(state).get("primaryApiKey"):
        return Login("yes", f"logged in ({state})")
    project = Path(folder) / ".claude" if folder else config
    for settings in {
        config / "settings.json": None,
        _CLAUDE_MANAGED: None,
        project / "settings.json": None,
        project / "settings.local.json": None,
    }:
        if name := _claude_key(json_of(settings)):
            return Login("yes", f"{settings} sets {name}")
    if sys.platform == "darwin":
        return Login("unknown", "the login may be in the keychain; check with: claude auth status")
    return Login("no", HOW["claude"])


def _claude_key(settings: Mapping[str, Any]) -> str:
    """Return the name of the setting that gives the agent a credential; empty if there is none."""
    given = settings.get("env")
    variables = given if isinstance(given, dict) else {}
    found = (name for name in (*_CLAUDE_KEYS, *_CLAUDE_CLOUDS) if variables.get(name))
    return "apiKeyHelper" if settings.get("apiKeyHelper") else next(found, "")


_CODEX_OWN = (
    "model_provider",
    "model_providers",
    "profile",
    "cli_auth_credentials_store",
    "openai_base_url",
    "oss_provider",
)
_CODEX_SYSTEM = (Path("/etc/codex/config.toml"), Path("/etc/codex/managed_config.toml"))


def _codex(environment: Environment, folder: str | None) -> Login:
    own = environment.get("CODEX_HOME")
    config = Path(own) if own else _home(environment) / ".codex"
    file = config / "auth.json"
    if any(json_of(file).values()):
        return Login("yes", f"logged in ({file})")
    project = (Path(folder) / ".codex" / "config.toml",) if folder else ()
    for settings in (config / "config.toml", *_CODEX_SYSTEM, *project):
        found = toml_of(settings)
        if any(found.get(key, "openai") != "openai" for key in _CODEX_OWN):
            return Login("unknown", f"{settings} configures its own login; check with: codex login status")
    return Login("no", HOW["codex"])


_GEMINI_STORES = ("gemini-credentials.json", "google_accounts.json")
_GEMINI_SYSTEM = Path("/etc/gemini-cli/settings.json")


def _gemini(environment: Environment, folder: str | None) -> Login:
    config = _home(environment) / ".gemini"
    file = config / "oauth_creds.json"
    if json_of(file):
        return Login("yes", f"logged in ({file})")
    project = (Path(folder) / ".gemini" / "settings.json",) if folder else ()
    for settings in (config / "settings.json", _GEMINI_SYSTEM, *project):
        found = json_of(settings)
        if found.get("security") or found.get("selectedAuthType"):
            return Login("unknown", f"{settings} configures its own login")
    for store in (config / name for name in _GEMINI_STORES):
        if json_of(store):
            return Login("unknown", f"its login may be in {store}")
    for variables in _gemini_variables(_home(environment), folder):
        if "GEMINI" in (found_text := text_of(variables)) or "GOOGLE" in found_text:
            return Login("unknown", f"{variables} sets its variables")
    return Login("no", HOW["gemini"])


def _gemini_variables(home: Path, folder: str | None) -> Iterator[Path]:
    """Yield the files from which gemini reads variables: it takes the first one that exists."""
    for place in (*((Path(folder), *Path(folder).parents) if folder else ()), home):
        yield place / ".gemini" / ".env"
        yield place / ".env"


def _opencode(environment: Environment, folder: str | None) -> Login:
    own = environment.get("XDG_DATA_HOME")
    file = (Path(own) if own else _home(environment) / ".local/share") / "opencode" / "auth.json"
    if json_of(file):
        return Login("yes", f"logged in ({file})")
    return Login("unknown", "its provider may need no login; check with: opencode auth list")


def _copilot(environment: Environment, folder: str | None) -> Login:
    return Login("unknown", f"its login may be in the system's credential store; otherwise, {HOW['copilot']}")


def _unknown(environment: Environment, folder: str | None) -> Login:
    return _UNKNOWN


def _home(environment: Environment) -> Path:
    return Path(environment.get("HOME") or "/")


_UNKNOWN = Login("unknown", "check in the program itself")
_GOOGLE = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
# with a provider of the user's own, it needs no login
_COPILOT = ("COPILOT_PROVIDER_BASE_URL", "COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")
_GOOGLE_ELSEWHERE = (
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_GENAI_USE_GCA",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_CLOUD_ACCESS_TOKEN",
)
# by the program's name. Codex uses no OPENAI_API_KEY from its environment; `codex login` stores one
_AGENTS = {
    "claude": _Agent(_CLAUDE_KEYS, _claude, _CLAUDE_CLOUDS, ("--settings",)),
    "codex": _Agent(
        (),
        _codex,
        ("CODEX_API_KEY", "CODEX_ACCESS_TOKEN"),
        ("-c", "--config", "-p", "--profile", "--oss", "--local-provider"),
    ),
    "gemini": _Agent(
        _GOOGLE,
        _gemini,
        _GOOGLE_ELSEWHERE,
    ),
    "opencode": _Agent(("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", *_GOOGLE), _opencode),
    "copilot": _Agent(_COPILOT, _copilot),
    "cursor-agent": _Agent(("CURSOR_API_KEY",), _unknown),
}
