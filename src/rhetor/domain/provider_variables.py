"""The environment variables that decide which provider answers.

The shell imports this module, too. A whole run of the shell takes a few milliseconds, so the module imports
little of the standard library and nothing else.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
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
MODEL = "RHETOR_MODEL"
_DIGEST_BYTES = 8


def provider_variables(environment: "Mapping[str, str]" = os.environ) -> "dict[str, str]":
    """Return the variables that are set and not empty, in alphabetical order."""
    return {name: environment[name] for name in PROVIDER_VARIABLES if environment.get(name)}


def fingerprint(environment: "Mapping[str, str]" = os.environ) -> str:
    """Return 16 hex digits that change when any provider variable changes; empty if none is set.

    `RHETOR_MODEL` does not count: set for one call, it must not change a running hub. It is taken over only
    together with other variables.

    They are the first 8 bytes of BLAKE2b over `NAME=value` and a zero byte for each variable, by name.
    """
    variables = provider_variables(environment)
    variables.pop(MODEL, None)
    if not variables:
        return ""
    try:
        from _blake2 import blake2b
    except ImportError:
        from hashlib import blake2b
    text = "".join(f"{name}={value}\0" for name, value in variables.items())
    return blake2b(os.fsencode(text), digest_size=_DIGEST_BYTES).hexdigest()
