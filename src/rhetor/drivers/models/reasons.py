"""The provider's own reason for a failure, in every form that providers, relays and web servers send."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from rhetor.codec import lenient_json

MAX_WORDS = 500  # characters of a provider's message that are kept

# in the order in which the members are searched
_MESSAGES = (
    "message",
    "Message",
    "detail",
    "details",
    "error_message",
    "errorMessage",
    "error_msg",
    "error_description",
    "status_msg",
    "msg",
    "faultstring",
    "reason",
    "description",
    "title",
)
_NESTED = ("error", "errors", "fault", "base_resp", "response", "exception", "x_groq")
_TITLE = re.compile(r"<(title|h1)[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_BAD = re.compile(
    r"error|exception|fail|fault|denied|invalid|exceeded|bad|unavailable|timeout", re.IGNORECASE
)
# the name or the type of an event that is an error, such as `stream_error` or `response.failed`
_BAD_NAME = re.compile(r"(error|exception|failed|failure)\Z", re.IGNORECASE)
_BAD_STATUS = 400  # as in HTTP
_DEPTH = 6


class Reason(msgspec.Struct, frozen=True):
    """Why a provider failed. `words`: one line, "" if there are none. `type` and `code`: its own names."""

    words: str = ""
    type: str = ""
    code: str | int = ""


def reason_of(body: bytes) -> Reason:
    """Return the reason in the body of an error, or in an error event."""
    text = body.decode("utf-8", "replace").strip()
    try:
        value = lenient_json.decode(body)
    except ValueError:
        return Reason(_line(_page_title(text) if text.startswith("<") else text))
    words = " · ".join(dict.fromkeys(filter(None, (_line(each) for each in _messages(value)))))
    error = next(_errors(value), {})
    code = error.get("code", error.get("status_code", error.get("error_code", "")))
    kind = error.get("type", error.get("status", error.get("error_type", "")))
    return Reason(
        words[:MAX_WORDS],
        kind if isinstance(kind, str) else "",
        code if isinstance(code, str | int) and not isinstance(code, bool) else "",
    )


def is_error(name: str, value: dict[str, Any]) -> bool:
    """Return whether an event with this name and value is an error, and not a part of an answer."""
    kind = value.get("type")
    if any(isinstance(each, str) and _BAD_NAME.search(each) for each in (name, kind, value.get("object"))):
        return True
    if any(each.get("error") or each.get("errors") for each in _places(value)) or any(_exceptions(value)):
        return True
    status = value.get("base_resp")  # MiniMax
    if isinstance(status, dict) and status.get("status_code"):
        return True
    if any(value.get(name) for name in ("choices", "usage", "content")) or isinstance(
        value.get("message"), dict
    ):
        return False
    if isinstance(status, dict):
        return False
    if value.get("success") is False or value.get("ok") is False:
        return True
    if any(_is_bad_status(value.get(name)) for name in ("status", "code", "status_code", "error_code")):
        return True
    if isinstance(kind, str) and not _BAD.search(kind):
        return False  # some event that is not known here
    return any(value.get(name) for name in ("fault", *_MESSAGES))


def _places(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects in a chunk that may have an error."""
    for each in (value, value.get("x_groq"), value.get("response"), *_listed(value.get("choices"))):
        if isinstance(each, dict):
            yield each
            yield from (inner for name in ("delta", "message") if isinstance(inner := each.get(name), dict))


def _exceptions(value: dict[str, Any]) -> Iterator[Any]:
    """Yield the members that are named after an exception, as those of Bedrock."""
    return (each for name, each in value.items() if each and name.endswith("Exception"))


def _is_bad_status(value: Any) -> bool:
    if isinstance(value, str):
        is_number = value.isdecimal() and len(value) < 10
        return value.lower() in ("error", "failed", "failure") or (is_number and int(value) >= _BAD_STATUS)
    return isinstance(value, int) and not isinstance(value, bool) and value >= _BAD_STATUS


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _errors(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the error objects, the innermost first: they have the type and the code."""
    if depth > _DEPTH:
        return
    for each in _listed(value):
        if isinstance(each, dict):
            for name in (*_NESTED, "choices", "delta"):
                yield from _errors(each.get(name), depth + 1)
            if any(each.get(name) for name in ("code", "type", "status_code", "error_code", "status")):
                yield each


def _messages(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the messages in a value."""
    if depth > _DEPTH:
        return
    if isinstance(value, str):
        yield from _of_text(value, depth)
    elif isinstance(value, list):
        for each in value[:5]:
            yield from _messages(each, depth + 1)
    elif isinstance(value, dict):
        yield from _of_object(value, depth)


def _of_object(value: dict[str, Any], depth: int) -> Iterator[str]:
    for inner in (*(value.get(name) for name in _NESTED), *_exceptions(value)):
        if inner:
            yield from _messages(inner, depth + 1)
    for name in _MESSAGES:
        if said := [each for each in _messages(value.get(name), depth + 1) if each]:
            yield from (_with_place(each, value.get("loc")) for each in said)
            break
    yield from _of_places(value, depth)
    metadata = value.get("metadata")
    if isinstance(metadata, dict) and metadata.get(
        "raw"
    ):  # OpenRouter: the reason of the model's own provider
        yield from _messages(metadata["raw"], depth + 1)


def _of_places(value: dict[str, Any], depth: int) -> Iterator[str]:
    for place in _places(value):
        if place is not value and place.get("error"):
            yield from _messages(place["error"], depth + 1)


def _with_place(words: str, place: Any) -> str:
    """Add the place in the request that a validation error of FastAPI names."""
    return f"{words} ({'.'.join(map(str, place))})" if isinstance(place, list) and place else words


def _of_text(text: str, depth: int) -> Iterator[str]:
    """Yield a message. Some are themselves JSON, from a server behind the one that answered."""
    if text.lstrip().startswith("{") and depth < _DEPTH:
        try:
            inner = list(_messages(lenient_json.decode(text.encode("utf-8", "surrogatepass")), depth + 1))
        except ValueError:
            inner = []
        if inner:
            yield from inner
            return
    yield text


def _page_title(page: str) -> str:
    """Return the title of a web page, or its text if it has none."""
    import html  # half a megabyte of names of characters, which few failures need

    titles = [_TAG.sub(" ", found.group(2)) for found in _TITLE.finditer(page)]
    words = next((html.unescape(title) for title in titles if title.strip()), "")
    return words or html.unescape(_TAG.sub(" ", page))


def _line(words: str) -> str:
    """Return the words as one line without characters that could be mistaken for something else."""
    line = " ".join(words.encode("utf-8", "replace").decode().split())
    return "".join(c if c.isprintable() else " " for c in line)[:MAX_WORDS].strip()
