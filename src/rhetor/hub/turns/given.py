"""The given conversation of a turn: read for the peer that is called, and how its session is found again by
the client's next message, which gives the conversation back with the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.event import Event, ReasoningKept, ToolCalled, TurnCompleted, TurnEnd
from rhetor.domain.given import (
    Block,
    GivenConversation,
    GivenMessage,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidText,
    arguments_text,
)
from rhetor.domain.given_hash import chain, continuation_id, exact
from rhetor.domain.given_text import names_of, paired, told
from rhetor.domain.lines import LINE_DRIVER
from rhetor.domain.parts import GivenPart, Part
from rhetor.domain.peer import Peer
from rhetor.domain.plan import fenced
from rhetor.domain.turn import Turn
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.errors import NotFound, TurnFailure
from rhetor.hub.catalog.given import (
    Continuation,
    GivenTurn,
    about,
    continuation_row,
    load_key,
    messages_of,
    stored_given,
)
from rhetor.hub.catalog.turn_log import turn_events
from rhetor.hub.catalog.turns import TurnRow
from rhetor.store.base import Row

from .attachments import attached_parts, with_contents
from .attribution import nonce
from .given_size import thinking

if TYPE_CHECKING:
    from rhetor.domain.session import Session
    from rhetor.hub.state import State
    from rhetor.store.base import Spoken

    from .pending import PendingRequests

INSTRUCTIONS = "Context: the client's instructions"
AGAIN = "send the message again"
TOLD_MESSAGES = 1000  # of a session, before which others are not read


def takes_given(peer: Peer) -> bool:
    """Whether the peer needs all of a given conversation with each message: it is a specialist, which gets it
    as it is, or a line, whose steps remember nothing."""
    return peer.has_voice or peer.driver == LINE_DRIVER


async def id_of(state: State, caller: str, target: str, hashed: str) -> str:
    """Return the id of the row by which a conversation is found again; see `continuation_id`."""
    if not state.given_key:
        state.given_key = await load_key(state.store)
    return continuation_id(state.given_key, caller, target, hashed)


def past_of(messages: Sequence[GivenMessage]) -> list[PastMessage]:
    """Return messages as text, for peers that take only that."""
    names = names_of(messages)
    return [PastMessage(message.role, told(message, names)) for message in messages]


async def logged_past(state: State, session: Session, limit: int, *, whole: bool) -> list[PastMessage]:
    """Return the last `limit` messages of a session to which a client has given its conversation. `whole`:
    with the contents of parts, as in `with_attachments`."""
    try:
        messages = await logged_messages(state, session)
    except NotFound as error:
        raise _lost(error) from error
    return await told_past(state, messages, limit, whole=whole)


async def told_past(
    state: State, messages: Sequence[GivenMessage], limit: int, *, whole: bool
) -> list[PastMessage]:
    """Return the last `limit` messages as text, with their parts as in `logged_past`."""
    past = past_of(messages)[-limit:]
    parts = [[Part(p.type, p.media_type, p.blob_id, 0, p.name) for p in each.parts] for each in messages]
    return await with_contents(state, past, parts[-limit:], whole=whole)


async def past_of_given(
    state: State, conversation: GivenConversation, pending: PendingRequests, peer: Peer
) -> list[PastMessage]:
    """Return the earlier messages as the history for a peer that does not get the conversation as it is: a
    line, or an agent that answers instead of a specialist."""
    if peer.has_voice or peer.reads_plain:
        return []
    pending.retells = "taken over" if peer.remembers else None
    return await told_past(state, conversation.earlier, TOLD_MESSAGES, whole=False)


async def given_turn(state: State, session: Session, turn_id: str) -> GivenTurn | None:
    """Return the stored conversation of a turn; None if no client gave one.

    Raises:
        TurnFailure: a part of it is no longer stored.
    """
    given = await stored_given(state.store, turn_id)
    if given is None:
        return None
    try:
        messages = await messages_of(state.store, given)
        system, tools = await about(state.blobs, given)
        conversation = GivenConversation(messages, system, tools, given.options)
        hashes = await thinking(conversation, lambda: tuple(map(exact, messages)))
        if given.logged:
            logged = await logged_messages(state, session, before=turn_id)
            conversation = replace(conversation, messages=tuple(paired([*logged, *conversation.new])))
    except NotFound as error:
        raise _lost(error) from error
    return GivenTurn(given, conversation, hashes)


async def logged_messages(state: State, session: Session, before: str = "") -> list[GivenMessage]:
    """Return the conversation of a session up to its turn `before`, as a client would give it back: what
    clients gave, with calls and results, and ordinary messages as text.

    Raises:
        NotFound: a part of it is no longer stored.
    """
    spoken = await state.store.spoken(session.id, TOLD_MESSAGES)
    turns = list(dict.fromkeys(one.turn_id for one in spoken if not before or one.turn_id < before))
    later: list[GivenMessage] = []
    for turn_id in reversed(turns):
        given = await stored_given(state.store, turn_id)
        if given is None:
            later[:0] = [await _said(state, one) for one in spoken if one.turn_id == turn_id]
            continue
        answer = await answer_of(state, turn_id, [one for one in spoken if one.turn_id == turn_id])
        if given.logged:
            new = GivenConversation(given.messages).new
            later[:0] = [*new, *answer]
            continue
        return [*await messages_of(state.store, given), *answer, *later]
    return later


async def _said(state: State, one: Spoken) -> GivenMessage:
    """Return what was said in a turn to which no client gave a conversation."""
    if one.role == "assistant":
        return GivenMessage("assistant", (SaidText(one.content),))
    parts = await attached_parts(state, one.turn_id)
    given = [GivenPart(part.type, part.media_type, part.name, part.blob_id) for part in parts]
    return GivenMessage("user", (SaidText(one.content), *map(SaidPart, given)))


async def names_in(state: State, session_id: str) -> dict[str, str]:
    """Return the names of the tools that the last turn of a session has called, by the ids of the calls."""
    rows = await state.store.find("turn", parent=session_id, limit=1, newest=True)
    return names_of(await answer_of(state, rows[0].id, ())) if rows else {}


async def answer_of(state: State, turn_id: str, spoken: Sequence[Spoken]) -> list[GivenMessage]:
    """Return the answer of a turn with its calls and its reasoning; nothing if it has none. `spoken`: its
    messages, in case its events are no longer in the log."""
    row = await state.store.get("turn", turn_id)
    blocks: list[Block] = []
    text = "".join(one.content for one in spoken if one.role == "assistant")
    for event in await _until_end(state, TurnRow.of(row)) if row is not None else ():
        match event.payload:
            case ReasoningKept(vendor, data):
                blocks.append(SaidReasoning("", vendor, data))
            case ToolCalled(call_id, name, arguments, "caller"):
                blocks.append(SaidCall(call_id, name, arguments_text(arguments)))
            case TurnCompleted(text=said, called=called) if called and not said.strip():
                text = ""  # what readers of the log see only names the calls
    if text:
        at = sum(isinstance(block, SaidReasoning) for block in blocks)
        blocks.insert(at, SaidText(text))
    return [GivenMessage("assistant", tuple(blocks))] if blocks else []


async def _until_end(state: State, turn: TurnRow) -> list[Event]:
    found: list[Event] = []
    async with aclosing(turn_events(state.store, turn)) as events:
        async for event in events:
            found.append(event)
            if isinstance(event.payload, TurnEnd):
                break
    return found


async def contents_of(state: State, conversation: GivenConversation) -> Mapping[str, bytes]:
    """Return the contents of the parts of a conversation by the ids of their blobs.

    Raises:
        TurnFailure: one is no longer stored.
    """
    parts = (part for message in conversation.messages for part in message.parts)
    named = dict.fromkeys(part.blob_id for part in parts if part.blob_id)
    try:
        return {blob_id: await state.blobs.read(blob_id) for blob_id in named}
    except NotFound as error:
        raise _lost(error) from error


def _lost(error: NotFound) -> TurnFailure:
    return TurnFailure(f"a part of the conversation is no longer stored: {error.detail}", hint=AGAIN)


async def given_to(state: State, peer: Peer, prompt: Prompt) -> Prompt:
    """Return the prompt with what the peer takes of its given conversation."""
    if prompt.given is None:
        return prompt
    if not peer.has_voice:
        system = "\n\n".join(text.text for text in prompt.given.system)
        told = fenced(INSTRUCTIONS, system, nonce()) if system.strip() and not peer.reads_plain else ""
        return replace(prompt, given=None, content="\n\n".join(filter(None, (told, prompt.content))))
    return replace(prompt, parts=(), contents=await contents_of(state, prompt.given))


def answer_in(turn: Turn) -> GivenMessage:
    """Return the answer of a turn as its client will give it back."""
    calls = [SaidCall(call.call_id, call.name, arguments_text(call.arguments)) for call in turn.calls]
    return GivenMessage("assistant", (SaidText(turn.text), *calls))


async def continuation_rows(
    state: State,
    session: Session,
    turn_id: str,
    answer: GivenMessage | None = None,
    known: GivenTurn | None = None,
) -> list[Row]:
    """Return the row by which the session is found when the client gives back the conversation with the
    answer of this turn, or, if it has none, when the client sends the turn's message again. `known`: the
    turn's conversation, if it need not be read."""
    try:
        found = known or await _as_client_gave(state, turn_id)
    except NotFound:
        return []  # a part of it is not stored any more; the client's next message begins a new session
    head = await state.store.head(session.id)
    if found is None or head is None:
        return []
    given, hashes = found.given, found.exact
    if answer is not None:
        hashed = chain([answer], given.hashed)
    elif given.before and not given.logged:
        hashed, hashes = given.before, hashes[: len(hashes) - len(found.conversation.new)]
    else:
        return []
    id = await id_of(state, given.caller, given.target, hashed)
    continuation = Continuation(turn_id, head.epoch, hashes, found.urls)
    return [continuation_row(id, session.id, session.owner, continuation, state.ids.now())]


async def _as_client_gave(state: State, turn_id: str) -> GivenTurn | None:
    """Return the messages of a turn's conversation as its client gave them; None if no client gave one.

    Raises:
        NotFound: a part of it is no longer stored.
    """
    given = await stored_given(state.store, turn_id)
    if given is None:
        return None
    messages = await messages_of(state.store, given)
    return GivenTurn(given, GivenConversation(messages), tuple(map(exact, messages)))
