"""The variables that model providers read, as this shell has them.

The hub outlives the shell that started it, so each request says by a fingerprint what its own environment
is; the values go to the hub only when it asks for them, over the owner's socket.
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
_DIGEST_BYTES = 8


def provider_variables(environment: "Mapping[str, str]" = os.environ) -> "dict[str, str]":
    """Those that are set and not empty, in alphabetical order."""
    return {name: environment[name] for name in PROVIDER_VARIABLES if environment.get(name)}


def fingerprint(environment: "Mapping[str, str]" = os.environ) -> str:
    """Sixteen hex digits that change with any of the variables; empty where none is set."""
    variables = provider_variables(environment)
    if not variables:
        return ""
    try:
        from _blake2 import blake2b
    except ImportError:
        from hashlib import blake2b
    told = "".join(f"{name}={value}\0" for name, value in variables.items())
    return blake2b(os.fsencode(told), digest_size=_DIGEST_BYTES).hexdigest()
