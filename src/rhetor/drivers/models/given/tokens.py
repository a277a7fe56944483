"""How many tokens a given conversation has: as its provider counts, or as an estimate.

The estimate is a token for every four bytes of text, 1,600 for an image, 2,000 for a page of a PDF, and one
for every kibibyte of audio.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from rhetor.domain.given import GivenConversation, SaidCall, SaidReasoning, SaidResult, SaidText
from rhetor.domain.parts import PDF
from rhetor.drivers.base import Attachment
from rhetor.drivers.models import errors
from rhetor.drivers.models.client import Client, Request, is_success, whole
from rhetor.drivers.models.given import anthropic_request
from rhetor.drivers.models.given.anthropic_options import headers
from rhetor.drivers.models.given.parts import Contents, attachment, parts_of, text_of
from rhetor.drivers.models.target import Target
from rhetor.errors import ModelUnknown, Unprocessable

SECONDS = 30.0  # for the count of a provider
MOST_HOPS = 8  # hubs that ask each other, after which the count is an estimate
_BYTES = 4  # of text for a token
_IMAGE, _PAGE, _AUDIO_BYTES = 1600, 2000, 1024
_EACH = 4  # tokens around a message or a tool
_PAGES = re.compile(rb"/Type\s*/Page(?![s\w])")


class TokenCount(NamedTuple):
    """`exact`: the provider has counted; otherwise it is an estimate."""

    input_tokens: int
    exact: bool


class _Counted(msgspec.Struct):
    input_tokens: int


async def count(
    client: Client, target: Target, prompt: str, given: GivenConversation, contents: Contents
) -> TokenCount:
    """Return the tokens of a conversation, as a provider with the Messages API counts them. If the provider
    cannot count tokens, the result is an estimate.

    Raises:
        ProviderFailed: the provider refused the request or cannot be reached.
    """
    body = anthropic_request.counted(anthropic_request.body(target, prompt, given, contents))
    request = Request(anthropic_request.COUNT_PATH, msgspec.json.encode(body), headers(given.options))
    try:
        async with asyncio.timeout(SECONDS):
            status, answer, sent = await _posted(client, target, request)
    except TimeoutError as error:
        raise errors.timed_out(target, "total", SECONDS) from error
    if is_success(status):
        try:
            return TokenCount(msgspec.json.decode(answer, type=_Counted).input_tokens, True)
        except msgspec.DecodeError as error:
            raise errors.not_an_answer(target, answer) from error
    failure = errors.refused(target, status, answer, sent, time.time())
    if status in (405, 501) or (status == 404 and isinstance(failure, ModelUnknown) and _is_page(answer)):
        return estimated(prompt, given, contents)
    raise failure


async def _posted(client: Client, target: Target, request: Request) -> tuple[int, bytes, Mapping[str, str]]:
    try:
        response = await client.post(request)
        async with response:
            return response.status, await whole(response), response.headers
    except Unprocessable as error:
        raise errors.out_of_reach(target, error) from error
    except client.failures as error:
        raise errors.of_call(target, error, SECONDS, time.time()) from error


def _is_page(answer: bytes) -> bool:
    """Return whether a 404 comes from a server without this path, and not from one without the model."""
    return b"not_found_error" not in answer


def estimated(prompt: str, given: GivenConversation, contents: Contents) -> TokenCount:
    """Return the estimate."""
    sizes = [len(prompt.encode()), *(len(each.text.encode()) for each in given.system)]
    sizes += [len(msgspec.json.encode(tool.raw or tool)) for tool in given.tools]
    around = _EACH * (len(given.messages) + len(given.tools))
    parts = 0
    for message in given.messages:
        sizes += [_size(block) for block in message.blocks]
        found = (attachment(part, contents) for part in parts_of(message))
        parts += sum(_tokens(each) for each in found if each is not None)
    return TokenCount(max(1, sum(-(-size // _BYTES) for size in sizes) + around + parts), False)


def _size(block: Any) -> int:
    match block:
        case SaidText(text):
            return len(text.encode())
        case SaidCall(_, name, arguments):
            return len(name.encode()) + len(arguments.encode())
        case SaidResult(content=content):
            return sum(_size(each) for each in content)
        case SaidReasoning(text, _, data):
            return len(msgspec.json.encode(data)) if data else len(text.encode())
    return 0


def _tokens(part: Attachment) -> int:
    if (text := text_of(part)) is not None:
        return -(-len(text.encode()) // _BYTES)
    if part.part.media_type == PDF:
        return _PAGE * max(1, len(_PAGES.findall(part.content)))
    return _IMAGE if part.part.type == "image" else -(-len(part.content) // _AUDIO_BYTES)
