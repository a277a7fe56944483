"""What a request to one of the vendors' APIs asks for, and what their dialects share to decode it."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from rhetor.codec import typed_json
from rhetor.domain.given import Block, GivenConversation, GivenMessage, KeptWithTurn, SaidText
from rhetor.domain.parts import GivenPart, PartType, type_of
from rhetor.errors import Unprocessable

from .vendor_errors import refused

S = TypeVar("S", bound=Struct)
NOTHING: Mapping[str, str] = {}
UNSUPPORTED = "unsupported_parameter"  # OpenAI's codes for what is wrong with a parameter
UNSUPPORTED_VALUE, MISSING = "unsupported_value", "missing_required_parameter"
UNKNOWN = "unknown_parameter"
_INDEX = re.compile(r"\.(\d+)(?=\.|$)")
_UNKNOWN = re.compile("^Object contains unknown field `(.*)`")
PIECE = 1 << 20  # characters of base64 that are decoded at once; a multiple of four
MOST_URL = 4096
TOO_LONG = f"longer than {MOST_URL} characters"
EMPTY = "the last message is empty; write something"
NO_FILES = "the hub has no files API; send the content itself, or a URL"


class Asked(Struct, frozen=True, kw_only=True):
    """A request for an answer. `model`: as the client wrote it. `only_models`: the parameters of the request
    that only a model can honour, no agent, team or line."""

    model: str
    given: GivenConversation
    stream: bool = False
    only_models: tuple[str, ...] = ()

    @property
    def stored(self) -> KeptWithTurn | UnsetType:
        """What the API stores with the turn; UNSET if it stores nothing."""
        return UNSET

    def session_of(self, named: str | None) -> str | None:
        """Return the session that the request continues; None if it is found by the conversation. `named`:
        the one that the connection names."""
        return named


def decode(data: bytes | bytearray, kind: type[S], lists: tuple[str, ...], known: Mapping[str, str]) -> S:
    """Decode the body of a request. The items of the members `lists` stay as they are; see `item`. `known`:
    why members of the vendor's API are refused.

    Raises:
        Malformed: `data` is not JSON, or not UTF-8.
        Unprocessable: a member has a wrong type, or is unknown.
    """
    typed_json.check_utf8(data)
    try:
        found: S = typed_json.decode(data, typed_json.with_raw_items(kind, lists))
        return found
    except msgspec.ValidationError as error:
        raise _invalid("", error, known) from error


def item(raw: Raw, kind: Any, where: str) -> Any:
    """Decode one item of a list. A whole body may be too large to decode it in one step.

    Raises:
        Unprocessable: it is not a `kind`.
        TooManyValues: it has too many objects and lists.
    """
    typed_json.check_containers(raw)
    try:
        return _decoder(kind).decode(raw)
    except msgspec.ValidationError as error:
        raise _invalid(where, error) from error


@cache  # making one for a union of many types takes 30 times as long as decoding a short message
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _invalid(where: str, error: msgspec.ValidationError, known: Mapping[str, str] = NOTHING) -> Unprocessable:
    """Return the error for an invalid member. `where`: what was decoded; empty for the whole body."""
    fault = typed_json.fault(where, error)
    parameter, why = _INDEX.sub(r"[\1]", fault["where"].lstrip(".")), fault["why"]
    if unknown := _UNKNOWN.search(why):
        parameter = f"{parameter}.{unknown[1]}".lstrip(".")
        return refused(parameter, "unknown parameter", UNKNOWN)
    if (member := parameter.partition("[")[0]) in known:
        reason = UNSUPPORTED if "Expected `null`" in why else UNSUPPORTED_VALUE
        return refused(member, known[member], reason)
    if not parameter:
        return Unprocessable(f"the body must be a JSON object: {why}", reason="invalid_value")
    is_missing = "missing required field" in why
    return refused(parameter, "missing" if is_missing else why, MISSING if is_missing else "invalid_value")


def require_message(given: GivenConversation, parameter: str, is_users: bool, otherwise: str) -> None:
    """Check that a conversation ends with a message that says something. `parameter` has the messages;
    `is_users`: whether the last one is the user's; if not, `otherwise` says what it must be.

    Raises:
        Unprocessable: it does not.
    """
    said = [block for message in given.new for block in message.blocks]
    if any(not isinstance(block, SaidText) or block.text.strip() for block in said):
        return
    raise refused(parameter, EMPTY if is_users else otherwise)


def with_users_joined(messages: Iterable[GivenMessage]) -> Iterator[GivenMessage]:
    """Yield the messages. What the user's side says without an answer in between is one message, because some
    providers want the results of parallel calls together."""
    said: list[Block] = []
    for message in messages:
        if message.role == "user":
            said += message.blocks
            continue
        if said:
            yield GivenMessage("user", tuple(said))
            said = []
        yield message
    if said:
        yield GivenMessage("user", tuple(said))


def part_of(
    url: str, where: str, kind: PartType | None = None, media_type: str = "", name: str = ""
) -> GivenPart:
    """Return the part for an http or data URL. `kind`, `media_type`: if they are known.

    Raises:
        Unprocessable: the URL is invalid.
    """
    if not url.startswith("data:"):
        if not url.startswith(("http://", "https://")):
            raise refused(where, "must be an http, https or data URL")
        if len(url) > MOST_URL:
            raise refused(where, TOO_LONG)
        return GivenPart(kind or "file", media_type, name, url=url)
    head, comma, content = url[5:].partition(",")
    given, *options = (each.strip() for each in head.split(";"))
    if not comma or "base64" not in options:
        raise refused(where, "must be a data URL with base64, as in `data:image/png;base64,…`")
    known = given or media_type
    return GivenPart(kind or type_of(known), known, name, data=base64_of(content, where))


def base64_of(text: str, where: str) -> bytes:
    """Return the content of base64. It is decoded in pieces, because a large one takes a while.

    Raises:
        Unprocessable: the text is not base64, or is empty.
    """
    if "\n" in text or "\r" in text:
        text = text.replace("\n", "").replace("\r", "")
    try:
        found = b"".join(
            binascii.a2b_base64(text[begin : begin + PIECE], strict_mode=True)
            for begin in range(0, len(text), PIECE)
        )
    except ValueError as error:  # also if it is not ASCII
        raise refused(where, f"not base64: {error}") from error
    if not found:
        raise refused(where, "empty")
    return found
