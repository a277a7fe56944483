"""How large a given conversation may be.

A body of 32 MiB may have hundreds of thousands of small values, and each of them takes time and disk space
here. The limits are above what the models of any vendor take.
"""

from __future__ import annotations

from collections.abc import Sequence

from rhetor.domain.given import (
    Block,
    GivenConversation,
    SaidCall,
    SaidReasoning,
    SaidResult,
    SaidText,
)
from rhetor.errors import Malformed, TooLarge, Unprocessable

MOST_BLOCKS = 20_000  # texts, calls, results and parts of all messages
MOST_GIVEN_PARTS = 600  # of all messages; OpenAI takes 500, Anthropic 600
MOST_TOOLS = 1000
MOST_SYSTEM = 32  # texts, each of which is stored as a blob


def check(conversation: GivenConversation, limit: int) -> None:
    """Check a conversation that is to be answered. `limit`: of the bytes of each message.

    Raises:
        Malformed: it has no new message, or the new ones are empty, or a message is not valid Unicode.
        TooLarge, Unprocessable: as `check_size`.
    """
    check_size(conversation, limit)
    if not conversation.new:
        raise Malformed("the last message must be the user's")
    if all(not message.blocks for message in conversation.new):
        raise Malformed("the message is empty")


def check_size(conversation: GivenConversation, limit: int) -> None:
    """Check how large a conversation is. `limit`: as in `check`.

    Raises:
        Malformed: a message is not valid Unicode.
        TooLarge: a message is too large.
        Unprocessable: it has too many messages, parts or tools.
    """
    messages = conversation.messages
    _require("messages", len(messages), MOST_BLOCKS)  # the rest takes long for very many
    blocks = sum([1 + _number(message.blocks) for message in messages])
    _require("messages and their parts", blocks, MOST_BLOCKS)
    _require("images, audio and files", sum([len(message.parts) for message in messages]), MOST_GIVEN_PARTS)
    _require("tools", len(conversation.tools), MOST_TOOLS)
    _require("system texts", len(conversation.system), MOST_BLOCKS)
    for message in messages:
        if sum(map(_bytes, message.blocks)) > limit:
            raise TooLarge("a message", limit)


def few(system: Sequence[SaidText]) -> tuple[SaidText, ...]:
    """Return the system texts as at most `MOST_SYSTEM`, so that not each of very many becomes a file."""
    if len(system) <= MOST_SYSTEM:
        return tuple(system)
    kept, rest = system[: MOST_SYSTEM - 1], system[MOST_SYSTEM - 1 :]
    return (*kept, SaidText("\n\n".join(each.text for each in rest), rest[-1].cache))


def _number(blocks: Sequence[Block]) -> int:
    inner = sum([len(block.content) for block in blocks if isinstance(block, SaidResult)])
    return len(blocks) + inner


def _require(what: str, number: int, most: int) -> None:
    if number > most:
        raise Unprocessable(f"a conversation can have at most {most:,} {what}, not {number:,}")


def _bytes(block: Block) -> int:
    """Return the size of a block's text, in bytes of UTF-8.

    Raises:
        Malformed: it is not valid Unicode.
    """
    match block:
        case SaidText(text) | SaidReasoning(text):
            pass
        case SaidCall(_, name, arguments):
            text = name + arguments
        case SaidResult(_, content):
            return sum(_bytes(each) for each in content)
        case _:
            return 0
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise Malformed("a message contains half of a surrogate pair; send valid Unicode") from error
