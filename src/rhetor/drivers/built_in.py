"""The providers that need no entry in the configuration, only their key in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rhetor.drivers.target import Kind


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """`url_env`: the variable that moves it elsewhere. `model`: what `auto` takes."""

    kind: Kind
    base_url: str
    key_envs: tuple[str, ...]
    url_env: str
    model: str


# in the order in which `auto` takes them
BUILT_IN: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "openrouter": BuiltIn(
            "openrouter",
            "https://openrouter.ai/api/v1",
            ("OPENROUTER_API_KEY",),
            "OPENROUTER_BASE_URL",
            "openrouter/auto",
        ),
        "anthropic": BuiltIn(
            "anthropic",
            "https://api.anthropic.com",
            ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
            "ANTHROPIC_BASE_URL",
            "claude-sonnet-5-5",
        ),
        "openai": BuiltIn(
            "openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "gpt-5.4-mini"
        ),
    }
)
