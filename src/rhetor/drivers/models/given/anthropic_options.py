"""The options of a given conversation as members of a request of the Messages API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rhetor.domain.given import CallOptions
from rhetor.drivers.models.anthropic_messages import MAX_TOKENS
from rhetor.drivers.models.given.claude_models import ClaudeModel, claude_model
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
    model = claude_model(target.model)
    more = dict(_more(target, given))
    output = {**more.pop(_OUTPUT, {}), **_output(model, given)}
    found: dict[str, Any] = {
        "max_tokens": given.max_tokens or MAX_TOKENS,
        "stop_sequences": list(given.stop) or None,
        "output_config": output or None,
        **_thinking(target, model, given, more.pop("thinking", None)),
        **_sampling(target, model, given, more),
        **more,
    }
    return {name: value for name, value in found.items() if value is not None}


def _thinking(target: Target, model: ClaudeModel, given: CallOptions, adaptive: Any) -> dict[str, Any]:
    """Return how the model is to think. `adaptive`: as the client gave it."""
    tokens = given.thinking_tokens
    if tokens is None:
        return {"thinking": adaptive} if model.adaptive else {}
    if tokens <= 0:
        return {"thinking": {"type": "disabled"}} if model.stops else {}
    if not model.budget:
        return {"thinking": {"type": "adaptive"}}
    if given.max_tokens is not None and given.max_tokens <= tokens:
        raise unsupported(target, "thinking", "must think with fewer tokens than max_tokens")
    limit = {} if given.max_tokens else {"max_tokens": tokens + MAX_TOKENS}
    return {**limit, "thinking": {"type": "enabled", "budget_tokens": tokens}}


def _sampling(target: Target, model: ClaudeModel, given: CallOptions, more: dict[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters. 1 is the default, which models that take nothing else reject."""
    is_own = given.vendor == "anthropic"
    found = {"temperature": given.temperature, "top_p": given.top_p, "top_k": more.pop("top_k", None)}
    for name in ("temperature", "top_p"):
        if found[name] == 1 and not (is_own and model.samples):
            found[name] = None
    for name, value in found.items():
        if value is not None and not model.samples:
            raise no_parameter(target, name)
    if found["temperature"] is not None and found["temperature"] > 1:
        raise unsupported(target, "temperature", "takes a temperature from 0 to 1")
    return found


def _output(model: ClaudeModel, given: CallOptions) -> dict[str, Any]:
    effort = model.effort(given.effort) if given.effort else ""
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
