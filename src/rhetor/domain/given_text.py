"""A given conversation as text, for readers of the log and for peers that take only text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from .given import Block, GivenMessage, SaidCall, SaidPart, SaidResult, SaidText

NAMED = 5  # tools that the text of a message names


def shown(messages: Sequence[GivenMessage], names: dict[str, str]) -> str:
    """Return the text of new messages. If they have none, a line says what else they have. `names`: of the
    called tools, by the ids of the calls."""
    text = "\n\n".join(message.text for message in messages if message.text)
    if text.strip():
        return text
    blocks = [block for message in messages for block in message.blocks]
    results = [block for block in blocks if isinstance(block, SaidResult)]
    if not results:
        return ""
    return named("Result", [names.get(result.id, result.id) for result in results])


def named(what: str, tools: Sequence[str]) -> str:
    """Return what stands for results or calls of these tools."""
    more = f" and {len(tools) - NAMED} more" if len(tools) > NAMED else ""
    return f"[{what}{'s' if len(tools) > 1 else ''} of {', '.join(tools[:NAMED])}{more}]"


def names_of(messages: Iterable[GivenMessage]) -> dict[str, str]:
    """Return the names of the called tools by the ids of the calls."""
    blocks = (block for message in messages for block in message.blocks)
    return {block.id: block.name for block in blocks if isinstance(block, SaidCall)}


def told(message: GivenMessage, names: dict[str, str]) -> str:
    """Return what a message says as text, with calls and results. Reasoning and parts are left out. `names`:
    as in `shown`."""
    return "\n\n".join(filter(None, (_told(block, names) for block in message.blocks)))


def paired(messages: Sequence[GivenMessage]) -> list[GivenMessage]:
    """Return the messages with each call that has no result directly after it, and each result without such a
    call, as text: providers reject them."""
    names = names_of(messages)
    sides = [list(said) for _, said in groupby(messages, lambda message: message.role)]
    called = [{b.id for m in side for b in m.blocks if isinstance(b, SaidCall)} for side in sides]
    returned = [{b.id for m in side for b in m.blocks if isinstance(b, SaidResult)} for side in sides]
    found: list[GivenMessage] = []
    for at, side in enumerate(sides):
        after = returned[at + 1] if at + 1 < len(sides) else set()
        known = (called[at] & after) | (returned[at] & (called[at - 1] if at else set()))
        found += [_as_text(message, known, names) for message in side]
    return found


def _as_text(message: GivenMessage, known: set[str], names: dict[str, str]) -> GivenMessage:
    blocks: list[Block] = []
    for block in message.blocks:
        if not isinstance(block, SaidCall | SaidResult) or block.id in known:
            blocks.append(block)
            continue
        blocks.append(SaidText(_told(block, names)))
        if isinstance(block, SaidResult):
            blocks += [each for each in block.content if isinstance(each, SaidPart)]
    return GivenMessage(message.role, tuple(blocks))


def _told(block: Block, names: dict[str, str]) -> str:
    match block:
        case SaidCall(_, name, arguments):
            return f"[Call of {name}: {arguments}]"
        case SaidResult(id, is_error=is_error):
            what = "Error" if is_error else "Result"
            text = "\n".join(each.text for each in block.content if isinstance(each, SaidText))
            return f"[{what} of {names.get(id, id)}: {text}]"
        case SaidText(text):
            return text
    return ""
