"""Finds the models that the configuration names, and checks that each can be one.

Only names are checked here. Whether a provider has the model is for the provider to say, when the hub runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from rhetor.drivers.models.local import LOCAL
from rhetor.drivers.models.local_models import LOCAL_SERVERS
from rhetor.drivers.models.resolve import AUTO, BUILT_IN, CLI, OFFLINE

from .sections import Settings, ToolSettings
from .validation import InvalidValue, Keys

# drivers of agents that can answer as models: they can run without tools, or ask before using one
ANSWERING = ("claude", "codex", "acp")


def named_models(settings: Settings) -> Iterator[tuple[Keys, str]]:
    """Yield the keys and the value of each setting that names a model, except `auto` and `offline`."""
    found: list[tuple[Keys, str]] = [(("models", "default"), settings.models.default)]
    found += [(("models", "fallbacks", n), ref) for n, ref in enumerate(settings.models.fallbacks)]
    found += [
        (("specialists", name, "model"), own.model or AUTO)
        for name, own in settings.specialists.items()
        if own is not None
    ]
    return (each for each in found if each[1] not in (AUTO, OFFLINE))


def require_models(settings: Settings, tools: Mapping[str, ToolSettings]) -> None:
    """Check the provider or the agent of each model that the settings name.

    Raises:
        InvalidValue: a value is not a model, or no provider and no agent has that name.
    """
    for keys, ref in named_models(settings):
        name, _, model = ref.removeprefix(CLI).partition("/")
        if ref.startswith(CLI):
            _require_one_of(keys, name, _agents(tools), CLI, "", "agent that can be a model")
        elif name and model.strip():
            servers = (server.name for server in LOCAL_SERVERS)
            known = {*settings.providers, *BUILT_IN, *servers, LOCAL}
            _require_one_of(keys, name, known, "", f"/{model}", "provider")
        else:
            hint = _near(ref, (AUTO, OFFLINE)) or "write auto, offline, provider/model or cli:agent"
            raise InvalidValue(keys, f"{ref!r} is not a model; {hint}")


def _require_one_of(
    keys: Keys, name: str, known: Collection[str], before: str, after: str, what: str
) -> None:
    if name not in known:
        listed = ", ".join(f"{before}{each}" for each in sorted(known))
        hint = _near(name, known, before, after) or f"there are {listed}" if known else "there is none"
        raise InvalidValue(keys, f"there is no {what} called {name!r}; {hint}")


def _agents(tools: Mapping[str, ToolSettings]) -> set[str]:
    able = {name: tool for name, tool in tools.items() if tool.driver in ANSWERING}
    return {*able, *(Path(tool.executable).name for tool in able.values())}


def _near(name: str, known: Collection[str], before: str = "", after: str = "") -> str:
    import difflib

    near = difflib.get_close_matches(name, sorted(known), 1)
    return f"did you mean {before}{near[0]}{after}?" if near else ""
