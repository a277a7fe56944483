"""The options of a given conversation as members of a request of the Messages API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rhetor.domain.given import CallOptions
from rhetor.drivers.models.anthropic_messages import MAX_TOKENS
from rhetor.drivers.models.given.effort import anthropic_effort
from rhetor.drivers.models.given.hints import HINTS, effective
from rhetor.drivers.models.given.refusals import no_parameter, unsupported
from rhetor.drivers.models.target import Target

BETAS = "betas"  # the parameter that this API has as a header
_HEADER = "anthropic-beta"
_OUTPUT = "output_config"  # the parameter of this API that has a client's options, and other ones


def options(target: Target, given: CallOptions) -> dict[str, Any]:
    """Return the members for the options that do not concern the client's tools.

    Raises:
        InputUnsupported: the API does not have an option, or not this value.
    """
    if given.json:
        why = "gives JSON answers only by a schema"
        raise unsupported(target, "response_format", why, "use response_format json_schema")
    if any(not each.strip() for each in given.stop):
        raise unsupported(target, "stop", "does not stop at blank text")
    more = dict(_more(target, given))
    output = {**more.pop(_OUTPUT, {}), **_output(target, given)}
    found: dict[str, Any] = {
        **_limit(target, given),
        "temperature": _temperature(target, given),
        "top_p": None if given.vendor == "openai" and given.top_p == 1 else given.top_p,
        "stop_sequences": list(given.stop) or None,
        "output_config": output or None,
        **more,
    }
    return {name: value for name, value in found.items() if value is not None}


def _limit(target: Target, given: CallOptions) -> dict[str, Any]:
    thinking, limit = given.thinking_tokens, given.max_tokens
    if thinking is None:
        return {"max_tokens": limit or MAX_TOKENS}
    if thinking <= 0:
        return {"max_tokens": limit or MAX_TOKENS, "thinking": {"type": "disabled"}}
    if limit is not None and limit <= thinking:
        raise unsupported(target, "thinking", "must think with fewer tokens than max_tokens")
    return {
        "max_tokens": limit or thinking + MAX_TOKENS,
        "thinking": {"type": "enabled", "budget_tokens": thinking},
    }


def _temperature(target: Target, given: CallOptions) -> float | None:
    if given.temperature is None or given.vendor == "anthropic":
        return given.temperature
    if given.temperature > 1:
        raise unsupported(target, "temperature", "takes a temperature from 0 to 1")
    # its own default, which some models reject beside `top_p`
    return None if given.temperature == 1 else given.temperature


def _output(target: Target, given: CallOptions) -> dict[str, Any]:
    effort = given.effort if given.vendor == "anthropic" else anthropic_effort(target, given.effort)
    found: dict[str, Any] = {"effort": effort} if effort else {}
    if given.schema is not None:
        found["format"] = {"type": "json_schema", "schema": given.schema}
    return found


def _more(target: Target, given: CallOptions) -> Iterator[tuple[str, Any]]:
    for name, value in effective(given.more):
        if given.vendor == "anthropic":
            if name != BETAS:
                yield name, value
        elif name not in HINTS:
            raise no_parameter(target, name)


def headers(given: CallOptions) -> Mapping[str, str] | None:
    """Return the headers that the request needs."""
    betas = given.more.get(BETAS) if given.vendor == "anthropic" else None
    return {_HEADER: ",".join(map(str, betas))} if isinstance(betas, list) and betas else None
