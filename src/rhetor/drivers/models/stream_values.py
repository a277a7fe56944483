"""The values in the events of a stream: decodes them, and finds errors in whatever form they have."""

from __future__ import annotations

from typing import Any

from rhetor.codec import lenient_json
from rhetor.codec.sse import ServerSentEvent
from rhetor.drivers.models import errors
from rhetor.drivers.models.answer_body import WHOLE
from rhetor.drivers.models.lenient import is_sign_of_life
from rhetor.drivers.models.reasons import is_error
from rhetor.drivers.models.target import Target

_DONE = b"[done]"


def is_end(event: ServerSentEvent) -> bool:
    """Return whether the event is OpenAI's `[DONE]`."""
    data = event.data
    return len(data) < 16 and data.strip().strip(b'"').lower() == _DONE


def values(target: Target, event: ServerSentEvent, *, finished: bool) -> list[dict[str, Any]]:
    """Return the objects in an event: none if it has no content, several if it is a list or several lines.

    `finished`: the answer is complete, so that nothing depends on this event.

    Raises:
        ProviderFailed: the event is an error, or cannot be read.
    """
    if is_sign_of_life(event.name, event.data) or is_end(event):
        return []
    try:
        value = lenient_json.decode(event.data)
    except ValueError as error:
        return _undecoded(target, event, error, finished=finished)
    found = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    if finished:
        return [each for each in found if not is_error(event.name, each)]
    if any(is_error(event.name, each) for each in found) or isinstance(value, str):
        raise errors.failed_in_stream(target, event.data)
    return found


def _undecoded(
    target: Target, event: ServerSentEvent, error: ValueError, *, finished: bool
) -> list[dict[str, Any]]:
    lines = [line for line in event.data.splitlines() if line.strip()]
    if len(lines) > 1 and event.data.lstrip()[:1] != b"<":
        # events that are not separated by a blank line, or one JSON object per line
        separate = [ServerSentEvent(event.name, line) for line in lines]
        return [each for line in separate for each in values(target, line, finished=finished)]
    if finished:
        return []
    if event.data.lstrip()[:1] in (b"{", b"[", b'"'):
        raise errors.cut(target, f"unreadable event: {error}") from error
    if event.name == WHOLE:
        raise errors.not_an_answer(target, event.data)
    raise errors.failed_in_stream(target, event.data)
