"""Parameters of vendors that may be left out: they change nothing in the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

HINTS = frozenset(
    {
        *("metadata", "user", "store", "service_tier", "safety_identifier", "prediction"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "client_metadata"),
        *("include", "truncation", "reasoning", "stream_options", "background", "moderation"),
        *("thinking", "context_management", "cache_control", "betas", "speed", "output_config"),
    }
)
# values that say what happens anyway
_NEUTRAL: Mapping[str, Any] = {
    "n": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "modalities": ["text"],
    "mcp_servers": [],
}


def effective(more: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the parameters that are set to something else than what happens anyway."""
    for name, value in more.items():
        if value is not None and not (name in _NEUTRAL and value == _NEUTRAL[name]):
            yield name, value
