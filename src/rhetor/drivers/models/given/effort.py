"""How much a model is to reason, as each API names it.

A client of the same API has chosen its model, so its wish is passed on as it is. The wish of a client of
another API is translated if the model is known to take it, and left out otherwise.
"""

from __future__ import annotations

import re

from rhetor.drivers.models.target import Target

_OPENAI = re.compile(r"^(o[1-9](-|$)|gpt-([5-9]|[1-9]\d)(?!.*chat)|gpt-oss)")
_ANTHROPIC = re.compile(r"^claude-(opus-4-[5-9]|(opus|sonnet|haiku)-4-[6-9]|[a-z]+-([5-9]|[1-9]\d)(-|$))")
_TO_OPENAI = {"max": "high", "xhigh": "high"}
_TO_ANTHROPIC = {"none": "low", "minimal": "low", "xhigh": "high"}
# tokens to reason with, up to which an effort is meant
_LOW, _MEDIUM = 4096, 16_384


def openai_effort(target: Target, effort: str, tokens: int | None) -> str:
    """Return the effort for OpenAI's API that a client of Anthropic's API means; empty for none."""
    if not _OPENAI.match(target.model.rpartition("/")[2]):
        return ""
    if effort:
        return _TO_OPENAI.get(effort, effort)
    if not tokens:
        return ""
    return "low" if tokens <= _LOW else "medium" if tokens <= _MEDIUM else "high"


def anthropic_effort(target: Target, effort: str) -> str:
    """Return the effort for Anthropic's API that a client of OpenAI's API means; empty for none."""
    return _TO_ANTHROPIC.get(effort, effort) if _ANTHROPIC.match(target.model) else ""
