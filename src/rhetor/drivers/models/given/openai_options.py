"""The options of a given conversation as members of a request for chat completions."""

from __future__ import annotations

from typing import Any

from rhetor.domain.given import CallOptions
from rhetor.drivers.models.given.effort import openai_effort, takes_effort
from rhetor.drivers.models.given.hints import HINTS, effective
from rhetor.drivers.models.given.refusals import no_parameter
from rhetor.drivers.models.json_answer import NAME
from rhetor.drivers.models.target import Provider, Target
from rhetor.drivers.models.urls import host_of

_OPENAI = "api.openai.com"
# the parameters of this API besides those that all APIs have, and hints
_KNOWN = frozenset(
    {
        *("frequency_penalty", "presence_penalty", "logit_bias", "seed", "verbosity"),
        *("logprobs", "top_logprobs", "n", "modalities", "web_search_options"),
    }
)
# hints that this API takes
_PASSED = frozenset(
    {
        *("metadata", "user", "store", "service_tier", "safety_identifier", "prediction"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    }
)
# a limit that a client of Anthropic's API must set is often more than a local server has
_LARGE = 16_384


def is_openai(provider: Provider) -> bool:
    """Return whether a provider is OpenAI itself, which checks more strictly than others."""
    return host_of(provider.base_url) == _OPENAI


def options(target: Target, given: CallOptions) -> dict[str, Any]:
    """Return the members for the options that do not concern the client's tools.

    Raises:
        InputUnsupported: the API does not have an option.
    """
    found: dict[str, Any] = {
        **_limit(target, given),
        "temperature": given.temperature,
        "top_p": given.top_p,
        "stop": list(given.stop) or None,
        "response_format": _format(given),
        **_reasoning(target, given),
        **_more(target, given),
    }
    return {name: value for name, value in found.items() if value is not None}


def _limit(target: Target, given: CallOptions) -> dict[str, Any]:
    tokens = given.max_tokens
    if is_openai(target.provider):
        return {"max_completion_tokens": tokens}  # its newer models reject `max_tokens`
    if given.vendor == "anthropic" and tokens is not None and tokens >= _LARGE:
        return {}
    return {"max_tokens": tokens}


def _format(given: CallOptions) -> dict[str, Any] | None:
    if given.schema is not None:
        wanted: dict[str, Any] = {"name": given.schema_name or NAME, "schema": given.schema}
        if given.schema_strict is not None:
            wanted["strict"] = given.schema_strict
        return {"type": "json_schema", "json_schema": wanted}
    return {"type": "json_object"} if given.json else None


def _reasoning(target: Target, given: CallOptions) -> dict[str, Any]:
    effort, tokens = given.effort, given.thinking_tokens
    if target.provider.kind == "openrouter":
        wanted = {"effort": effort} if effort else {"max_tokens": tokens} if tokens else None
        return {"reasoning": wanted}
    if given.vendor != "openai":
        effort = openai_effort(effort, tokens) if takes_effort(target) else ""
    elif is_openai(target.provider) and not takes_effort(target):
        effort = ""
    return {"reasoning_effort": effort or None}


def _more(target: Target, given: CallOptions) -> dict[str, Any]:
    found: dict[str, Any] = {}
    strict = is_openai(target.provider)
    for name, value in effective(given.more):
        if given.vendor != "openai":
            if name not in HINTS:
                raise no_parameter(target, name)
        elif name in _KNOWN or (strict and name in _PASSED) or not (strict or name in HINTS):
            found[name] = value
        elif name not in HINTS:
            raise no_parameter(target, name)
    return found
