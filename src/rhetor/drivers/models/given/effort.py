"""How much a model of OpenAI's API is to reason.

A client that names a peer as its model cannot know whether the model takes an effort. So it is a wish, which
is left out for models that take none.
"""

from __future__ import annotations

import re

from rhetor.drivers.models.target import Target

_REASONING = re.compile(r"^(o[1-9](-|$)|gpt-([5-9]|[1-9]\d)(?!.*chat)|gpt-oss)")
_TO_OPENAI = {"max": "high", "xhigh": "high"}
# tokens to reason with, up to which an effort is meant
_LOW, _MEDIUM = 4096, 16_384


def takes_effort(target: Target) -> bool:
    """Return whether a model takes an effort, as far as its name shows."""
    return bool(_REASONING.match(target.model.rpartition("/")[2]))


def openai_effort(effort: str, tokens: int | None) -> str:
    """Return the effort that a client of Anthropic's API means; empty for none."""
    if effort:
        return _TO_OPENAI.get(effort, effort)
    if not tokens:
        return ""
    return "low" if tokens <= _LOW else "medium" if tokens <= _MEDIUM else "high"
