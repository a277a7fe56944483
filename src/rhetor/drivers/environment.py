"""The variables of the environment that decide which provider answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

PROVIDER_VARIABLES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "OLLAMA_HOST",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENROUTER_API_KEY",
    "OPENROUTER_BASE_URL",
    "RHETOR_MODEL",
)


def provider_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Those that are set and not empty, by name."""
    return {name: value for name in PROVIDER_VARIABLES if (value := environment.get(name))}


def fingerprint(environment: Mapping[str, str]) -> str:
    """16 hex digits that differ where the provider variables do: the first 8 bytes of BLAKE2b over
    `NAME=value` and a zero byte each, sorted by name. Empty where none is set."""
    found = provider_variables(environment)
    text = "".join(f"{name}={found[name]}\0" for name in sorted(found))
    if not found:
        return ""
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
