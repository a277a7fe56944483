"""Lets the event loop run while a large given conversation is hashed or encoded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from rhetor.domain.given import Block, GivenConversation, SaidPart, SaidResult, SaidText

LARGE = 1 << 18  # characters, from which on a conversation is hashed in a thread
EACH = 128  # characters that take as long as one more block, however small it is
T = TypeVar("T")


async def thinking(conversation: GivenConversation, work: Callable[[], T]) -> T:
    """Return the result of `work`, which is done in a thread if the conversation is large."""
    size = sum([EACH + _size(block) for message in conversation.messages for block in message.blocks])
    return await asyncio.to_thread(work) if size > LARGE else work()


def _size(block: Block | SaidText | SaidPart) -> int:
    match block:
        case SaidText(text):
            return len(text)
        case SaidPart(part):
            return len(part.data)
        case SaidResult(_, content):
            return sum(EACH + _size(each) for each in content)
    return 0
