"""A given conversation as a call to a model, whatever the provider's API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from rhetor.domain.given import CallOptions
from rhetor.drivers.base import Prompt
from rhetor.drivers.models.answer_reader import Parser
from rhetor.drivers.models.client import Request
from rhetor.drivers.models.given import (
    anthropic_answer,
    anthropic_options,
    anthropic_request,
    openai_answer,
    openai_options,
    openai_request,
)
from rhetor.drivers.models.given.names import ToolNames
from rhetor.drivers.models.given.parts import fitted, has_parts
from rhetor.drivers.models.inputs import ModelInputs, hint_for
from rhetor.drivers.models.parts import require_json
from rhetor.drivers.models.target import Target

# what takes longer to encode than the event loop should wait: bytes of contents, and blocks of messages
_LARGE, _MANY = 1 << 18, 200


class GivenRequest(NamedTuple):
    """A request, and what reads its answer. `parser` returns a new one for each call."""

    request: Request
    parser: Callable[[], Parser]


async def given_request(
    target: Target, prompt: str, message: Prompt, inputs: ModelInputs | None
) -> GivenRequest:
    """Return the request for a streamed answer to a conversation. `prompt`: the peer's own.

    Raises:
        InputUnsupported: the model does not take a part of the conversation, or an option.
    """
    given = message.given
    assert given is not None
    if message.schema is not None:
        given = replace(given, options=replace(given.options, schema=message.schema))
    parted, wants_schema = has_parts(given), given.options.schema is not None
    takes = await inputs.of(target) if inputs is not None and (parted or wants_schema) else None
    if wants_schema and takes is not None:
        require_json(takes, target.ref, hint_for(target.ref))

    def encoded() -> GivenRequest:
        known = fitted(given, message.contents, takes, target) if parted else given
        names = ToolNames(tool.name for tool in given.tools)
        if target.provider.kind == "anthropic":
            body = anthropic_request.body(target, prompt, known, message.contents)
            request = Request(
                anthropic_request.PATH, msgspec.json.encode(body), anthropic_options.headers(given.options)
            )
            return GivenRequest(request, lambda: anthropic_answer.Message(target, names))
        body = openai_request.body(target, prompt, known, message.contents)
        request = Request(openai_request.PATH, msgspec.json.encode(body))
        return GivenRequest(request, lambda: openai_answer.Completion(target, names))

    size = sum(map(len, message.contents.values())) if parted else 0
    is_slow = size > _LARGE or sum(len(each.blocks) for each in given.messages) > _MANY
    return await asyncio.to_thread(encoded) if is_slow else encoded()


def option_fields(target: Target, options: CallOptions | None) -> dict[str, Any]:
    """Return the members of a request for the options that do not concern the client's own tools.

    Raises:
        InputUnsupported: the model does not take an option.
    """
    if options is None:
        return {}
    if target.provider.kind == "anthropic":
        return anthropic_options.options(target, options)
    return openai_options.options(target, options)
