"""A given conversation as all APIs take it: the two sides take turns, and the results of calls come directly
after the calls, before everything else.

What one side said in several messages is one message here. Ids of calls that a provider rejects, or that the
client used for several calls, are replaced in the call and in its result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

from msgspec.structs import replace

from rhetor.domain.given import Block, GivenConversation, GivenMessage, Role, SaidCall, SaidResult, SaidText
from rhetor.drivers.models.given.refusals import invalid
from rhetor.drivers.models.target import Target

# Claude Code's line for Anthropic alone; it differs in each request, so that no cache would find the prompt
_BILLING = "x-anthropic-billing-header:"
_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")  # OpenAI takes at most 40 characters, Anthropic no others than these

Side = tuple[Role, list[Block]]


def sides(target: Target, messages: Sequence[GivenMessage], keeps: Callable[[Block], bool]) -> list[Side]:
    """Return what the sides said in turn, each with at least one block. Blocks that `keeps` rejects are left
    out.

    Raises:
        InputUnsupported: a call has no result, or a result has no call.
    """
    found: list[Side] = []
    for message in messages:
        blocks = [block for block in message.blocks if keeps(block)]
        if not blocks:
            continue
        if found and found[-1][0] == message.role:
            found[-1][1].extend(blocks)
        else:
            found.append((message.role, blocks))
    return list(_paired(target, found))


def system_texts(given: GivenConversation, prompt: str, *, at_anthropic: bool) -> list[SaidText]:
    """Return the peer's own prompt and the client's system text."""
    texts = [each for each in (SaidText(prompt), *given.system) if each.text.strip()]
    return [each for each in texts if at_anthropic or not each.text.startswith(_BILLING)]


def _paired(target: Target, found: Sequence[Side]) -> Iterator[Side]:
    """Yield the sides with the results first, and with valid ids."""
    used: set[str] = set()
    called: dict[str, str] = {}  # the client's ids of the calls just before → ours
    for role, blocks in found:
        if role == "assistant":
            called = {}
            yield role, [_called(block, called, used, target) for block in blocks]
            continue
        results = [block for block in blocks if isinstance(block, SaidResult)]
        _check(target, [result.id for result in results], called)
        rest = [block for block in blocks if not isinstance(block, SaidResult)]
        yield role, [*(replace(result, id=called[result.id]) for result in results), *rest]
        called = {}
    _check(target, [], called)


def _called(block: Block, called: dict[str, str], used: set[str], target: Target) -> Block:
    if not isinstance(block, SaidCall):
        return block
    if block.id in called:
        raise invalid(target, f"does not accept two calls with the id {block.id[:100]!r}")
    id = called[block.id] = _unused(block.id, used)
    used.add(id)
    return block if id == block.id else replace(block, id=id)


def _unused(id: str, used: set[str]) -> str:
    """Return an id that was not used yet, the same for the same conversation."""
    found = id if _ID.fullmatch(id) else f"call_{sha256(id.encode()).hexdigest()[:16]}"
    again = 1
    while found in used:
        again += 1
        found = f"call_{sha256(f'{id} {again}'.encode()).hexdigest()[:16]}"
    return found


def _check(target: Target, results: Sequence[str], called: dict[str, str]) -> None:
    if len(results) == len(called) and set(results) == set(called):
        return
    for id in called:
        if id not in results:
            raise invalid(target, f"needs a result of the call {id[:100]!r} in the next message")
    for id in results:
        if id not in called:
            raise invalid(
                target, f"does not accept the result of {id[:100]!r}, which is not one of the preceding calls"
            )
    raise invalid(target, "does not accept two results of one call")
