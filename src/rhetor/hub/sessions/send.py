"""Sends a message to a peer: finds or opens its session, and stores the message with its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from rhetor.domain.command import SendMessage
from rhetor.domain.event import (
    Cause,
    MessageAccepted,
    Payload,
    Position,
    SessionStateChanged,
    TurnQueued,
    TurnStarted,
)
from rhetor.domain.lines import LINE, LINE_DRIVER
from rhetor.domain.parts import Part
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.routing import Match
from rhetor.domain.schedule import SCHEDULE_DRIVER
from rhetor.domain.session import Session, SessionState
from rhetor.domain.turn import TurnState
from rhetor.errors import (
    Malformed,
    NotFound,
    PeerBusy,
    SessionOver,
    StateConflict,
    StreamElsewhere,
    Unprocessable,
)
from rhetor.hub.active import Runner
from rhetor.hub.catalog.given import GivenTurn
from rhetor.hub.catalog.sessions import open_session, session_row, standing_session, unchanged
from rhetor.hub.catalog.turn_log import Received
from rhetor.hub.catalog.turns import TurnRow, waiting_turns
from rhetor.hub.core.checks import check_content
from rhetor.hub.core.commits import command_key, until_unchanged
from rhetor.hub.core.nodes import is_own
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.programs.status import require_rest
from rhetor.hub.turns.attribution import attributed, cause_of, elsewhere, passed_through, require_hops
from rhetor.hub.turns.caller_limits import require_tokens, require_turn
from rhetor.hub.turns.context import MessageContext, context_for, context_sent
from rhetor.hub.turns.peer_call import answers_without_effects, require_voice, voice_of
from rhetor.hub.turns.runner import SessionRunner, wake
from rhetor.store.base import Committed, Draft, Expect, Key, Row

from . import given, given_store, uploads
from .given import Placed
from .given_store import Stored
from .states import sendable_session

if TYPE_CHECKING:
    from rhetor.hub.state import State

RowRef = tuple[str, str, str]  # kind, id, state
MOST_WAITING = 1000  # messages of a session that may be queued
QUEUE_SECONDS = 5.0  # after which a client may try again, if that many are queued


class Accepted(msgspec.Struct, frozen=True):
    """A message that is in the log. Its turn's events come after the position `after` of the session.

    `match`: how `@capability` was resolved. `once`: the session was opened for this message alone.
    `replayed`: the same command was accepted before, and this is its result. `sender`: the subject that sent
    it. `unshown`: the position before what the peer's program printed unasked and nobody has seen, if the
    session is at another node.
    """

    session_id: str
    turn_id: str
    peer: str
    after: Position
    once: bool
    match: Match | None = None
    replayed: bool = False
    message_id: str = ""
    sender: str = ""
    unshown: Position | None = None


async def send(
    state: State,
    principal: Principal,
    command: SendMessage,
    fulfils: RowRef | None = None,
    cause: Cause | None = None,
    *,
    counts: bool = True,
    is_scheduled: bool = False,
) -> Accepted:
    """Accept a message. When this returns, the message is durable, and its turn runs or waits.

    `fulfils`: a row of the catalog (kind, id, state) that is dropped in the same commit. `cause`: the
    original from which the message follows; the caller's limits do not apply then. None: the caller sends it
    now, and its cause is that of the question which the caller, a peer's program, is answering. `counts`: the
    turn counts among those that the caller has running. The steps of a plan do not: the plan counts them.
    `is_scheduled`: it is the line of a schedule. The sessions of schedules accept no other messages.

    Raises:
        UnknownPeer, NoCapablePeer: there is no such peer.
        NotFound: the caller has no such session, or the row to drop is not in the catalog.
        Malformed, TooLarge: the content is empty, not valid Unicode, or too large; or no recipient is named.
        Unprocessable: the session belongs to a peer other than the one named, or to a schedule; or the
            message sets a model or a prompt, and the peer is not a specialist; or a part or the schema of the
            answer is invalid; or a client gives tools to a peer that cannot call them.
        Unsupported: the peer does not take a part of the message, or gives no JSON answers.
        BlobsFull: the caller has stored as much binary content as it may.
        SessionOver: the session was stopped or has expired.
        TooManyTurns: as many of the caller's turns are running as may run at once. A message that would wait
            in its session is accepted.
        TokensExceeded: the caller has used too many tokens within the last hour.
        MachineOffline: the peer's machine is not connected, and `if_offline` is not "queue".
        PeerBusy: `if_busy` is "refuse" and the message would have to wait; or `MOST_WAITING` messages are
            queued in the session.
        HopLimit: the message has passed through the maximum number of peers.
        KeyReused: the command id was used with another command.
        StoreRefused, ShuttingDown: nothing was stored; the command may be sent again.
    """
    state.require_open()
    if not (_presses_enter(command) or _has_only_parts(command) or command.given):
        check_content(command.content, state.limits.message_bytes)
    work = _send(state, principal, command, fulfils, cause, counts, is_scheduled)
    return await state.background.complete(work, "send")


def _presses_enter(command: SendMessage) -> bool:
    """Return whether the message is empty and only makes a program run what was typed before."""
    return command.execute and not command.content


def _has_only_parts(command: SendMessage) -> bool:
    return bool(command.parts) and not command.content


async def _send(
    state: State,
    principal: Principal,
    command: SendMessage,
    fulfils: RowRef | None,
    cause: Cause | None,
    counts: bool,
    is_scheduled: bool,
) -> Accepted:
    via = command.via or passed_through(state, principal)
    if command.hops:
        via = (*elsewhere(command.hops, state.limits.hops), *via)
    require_hops(via, state.limits.hops)
    origin = _without_own(cause or cause_of(state, principal), principal)
    if cause is None:
        require_tokens(state, principal, origin)
    parts = await uploads.parts_of(state, principal, command.parts) if command.parts else ()
    stored = await given_store.store(state, principal, command) if command.given else None
    parts = stored.parts if stored is not None else parts
    counted = principal.subject if counts else ""
    source = MessageSource(via, origin, counted, cause is None, is_scheduled, parts, stored)
    try:
        return await _attempt(state, principal, command, source, fulfils)
    except StateConflict:  # the session changed between the read and the commit
        # senders that met a conflict retry one at a time, so that each can only conflict with a new sender
        source = replace(source, is_again=True)
        async with state.exclusively(f"send {command.session_id or command.target}"):
            return await until_unchanged(lambda: _again(state, principal, command, source, fulfils))


async def _again(
    state: State,
    principal: Principal,
    command: SendMessage,
    source: MessageSource,
    fulfils: RowRef | None,
) -> Accepted:
    if source.given is not None:  # one of its texts may have been removed with another session
        source = replace(source, given=await given_store.store(state, principal, command))
    return await _attempt(state, principal, command, source, fulfils)


def _without_own(cause: Cause | None, principal: Principal) -> Cause | None:
    """Return the cause of a message without its caller, if that is the sender of the message."""
    if cause is None or cause.caller != principal.subject:
        return cause
    return replace(cause, caller=UNSET)


def _cause_of_guest(cause: Cause | None, message_id: str, principal: Principal) -> Cause:
    """Return the cause of a message to another owner's session: it counts for its sender."""
    cause = cause or Cause(message_id)
    return replace(cause, caller=cause.caller or principal.subject)


async def _attempt(
    state: State,
    principal: Principal,
    command: SendMessage,
    source: MessageSource,
    fulfils: RowRef | None,
) -> Accepted:
    placed = await given.place(state, principal, source.given) if source.given is not None else None
    command = placed.command if placed is not None else command
    session, peer, match = await _session_for(state, principal, command)
    if peer.driver == SCHEDULE_DRIVER and not source.is_scheduled:
        hint = "send it to a peer; aish schedule run NAME runs the line now"
        raise Unprocessable("a session of a schedule accepts no messages", session_id=session.id, hint=hint)
    is_line = placed is not None and bool(placed.line)
    if peer.driver == LINE_DRIVER and not is_line and LINE not in session.metadata:
        raise Unprocessable(f"{peer.name} has no line to run", hint="send it to a peer")
    require_voice(peer, command.model, command.system)
    parts, schema, context = source.parts, command.response_schema, command.context
    if placed is not None:
        session = given.in_session(placed, session)
        context += await given.context_of(state, placed, peer, session)
    if parts or schema is not UNSET:
        answering = voice_of(peer, session.voice, command.model)
        await uploads.require_taken(state, answering, parts, schema)
        session = replace(session, attached=True) if parts else session
    content = command.content
    if not (_presses_enter(command) and peer.reads_plain) and not (parts and not content):
        content = content if command.via else attributed(state, principal, content, peer)
        check_content(content, state.limits.message_bytes)
    id, is_guest = state.ids.new("m"), session.owner != principal.subject
    message = MessageAccepted(
        id,
        "user",
        content,
        principal.subject if is_guest else command.from_ or principal.subject,
        source.via,
        command.execute,
        command.delimiter,
        (_cause_of_guest(source.cause, id, principal) if is_guest else source.cause) or UNSET,
        command.model or UNSET,
        command.system or UNSET,
        parts or UNSET,
        schema,
        command.api,
    )
    sender = "" if command.via else command.from_
    taken = await context_for(state, principal.subject, peer, sender, context)
    if fulfils is not None and await state.store.get(*fulfils[:2]) is None:
        raise NotFound(*fulfils[:2])
    return await _accept(
        state,
        principal,
        command,
        PreparedMessage(session, peer, match, message, taken, fulfils, source, placed),
    )


async def _session_for(
    state: State, principal: Principal, command: SendMessage
) -> tuple[Session, Peer, Match | None]:
    if command.session_id is not None:
        session = await sendable_session(state, principal, command.session_id)
        if not session.takes_messages:
            raise SessionOver(session.id, session.state)
        peer, match = state.peers.get(session.peer), None
        if command.target and peers_for(state, principal).resolve(command.target)[0] != peer:
            raise Unprocessable(
                f"session {command.session_id!r} belongs to {peer.name}; send to it, or omit the target",
                session_id=session.id,
            )
        return session.used(state.ids.now()), peer, match
    if not command.target:
        raise Malformed("the message names neither a peer nor a session")
    peer, match = peers_for(state, principal).resolve(command.target)
    window = command.context_window
    if not opens_session(command, peer):
        standing = await standing_session(
            state.store, state.ids, principal.subject, peer, _folder(principal, command, peer)
        )
        return standing.used(state.ids.now()), peer, match
    session = open_session(
        state.ids,
        principal.subject,
        peer.name,
        ttl=state.limits.session_ttl,
        context_window=window or 0,
        once=window is None,
        cwd=_folder(principal, command, peer) if peer.program else None,
    )
    return replace(session, started=True), peer, match


def _folder(principal: Principal, command: SendMessage, peer: Peer) -> str | None:
    """Return the sender's folder; None unless the sender and the peer are on this machine."""
    return command.cwd if principal.local and not peer.machine else None


async def _accept(
    state: State,
    principal: Principal,
    command: SendMessage,
    prepared: PreparedMessage,
) -> Accepted:
    session, source = prepared.session, prepared.source
    if not await is_own(state.nodes, session.id):  # before its peer is called
        raise StreamElsewhere(session.id, await state.nodes.owner(session.id))
    own_runner = None
    if _can_begin(state, command, session, prepared.peer):
        if source.is_callers:
            require_turn(state, principal)
        own_runner = SessionRunner(state, session.id, source.counted, held=True)
        state.runners[session.id] = own_runner  # before the commit, so that later messages are queued
    try:
        turn, committed = await _commit(state, principal, command, prepared, own_runner)
    except BaseException:  # also if the caller is cancelled
        if own_runner is not None:
            own_runner.withdraw()
        raise
    if committed.replayed:
        if own_runner is not None:
            own_runner.withdraw()
        return _replayed(committed, principal, prepared.peer, prepared.match)
    context_sent(state, prepared.taken)
    if own_runner is not None:
        own_runner.begin((replace(session, version=committed.version), turn, prepared.received))
    else:
        wake(state, session.id)
    return Accepted(
        session.id,
        turn.id,
        prepared.peer.name,
        Position(committed.epoch, committed.first - 1),
        session.once,
        prepared.match,
        message_id=turn.message_id,
        sender=principal.subject,
    )


def _can_begin(state: State, command: SendMessage, session: Session, peer: Peer) -> bool:
    """Return whether the turn of a message can begin now; otherwise it has to wait in its session. A running
    turn is interrupted if the message says so.

    Raises:
        PeerBusy: the message would have to wait, and says that it must not.
        MachineOffline: the peer's machine is not connected, and the message says that it must be.
    """
    runner = state.runners.get(session.id)
    if runner is not None:
        _when_busy(command, runner, peer)
    elif command.if_busy == "refuse":
        if session.state is SessionState.PAUSED:
            raise PeerBusy(peer.name, why="its session is paused")
        if peer.program is not None:
            require_rest(state, peer, session.id)
    if command.if_offline != "queue":
        state.machines.require_online(peer)
    is_free = runner is None and session.id not in state.unrecovered
    return is_free and session.state is SessionState.ACTIVE and state.machines.is_here(peer)


async def _commit(
    state: State,
    principal: Principal,
    command: SendMessage,
    prepared: PreparedMessage,
    own_runner: SessionRunner | None,
) -> tuple[TurnRow, Committed]:
    """Commit a message with its turn, and whatever has to be stored with it. `own_runner`: of the turn, if it
    can begin now. It may call the peer meanwhile."""
    session, taken, received = prepared.session, prepared.taken, prepared.received
    turn, drafts = await drafts_of(state, principal, command, prepared, own_runner is not None)
    kept, needed = prepared.blobs(state, principal, turn.id)
    dropped = prepared.dropped
    if prepared.placed is not None:
        also = await given.changes_of(state, principal, prepared.placed, session, turn.id)
        kept, needed, dropped = kept + also.rows, needed + also.expects, dropped + also.drop
    if own_runner is not None and _begins_early(state, command, prepared, received):
        own_runner.begin_early((session, turn, received))
    read = [] if opens_session(command, prepared.peer) else [unchanged(session)]
    committed = await state.store.commit(
        session.id,
        drafts,
        key=prepared.key(principal, command, turn),
        expects=[*read, *taken.expects, *prepared.still_due, *needed],
        rows=[session_row(session), turn.row(), *taken.rows, *kept],
        drop=dropped,
    )
    return turn, committed


def _begins_early(state: State, command: SendMessage, prepared: PreparedMessage, received: Received) -> bool:
    """Whether the peer is called while the message is being committed.

    A rejected message then costs a call that is cut off. So a message that may be a repetition waits, and so
    does one with what only the first of several messages can have. If several nodes share the database, all
    messages wait: this node may have lost the session to another one, which then calls the peer, too.
    """
    if state.nodes.own:
        return False
    source, session = prepared.source, prepared.session
    is_first_alone = prepared.fulfils is not None or prepared.taken.expects
    if command.command_id is not None or source.is_again or is_first_alone:
        return False
    if source.given is not None and received.given is None:  # it is read from the log
        return False
    return not state.limits.checkpoints.per_turn and answers_without_effects(state, prepared.peer, session)


def _when_busy(command: SendMessage, runner: Runner, peer: Peer) -> None:
    if command.if_busy == "refuse":
        raise PeerBusy(peer.name, runner.current.turn.turn_id if runner.current else "")
    if command.if_busy == "interrupt" and runner.current:
        runner.current.stop(lambda turn: turn.interrupt("interrupted by another message"))


def _replayed(committed: Committed, principal: Principal, peer: Peer, match: Match | None) -> Accepted:
    """Return the result that the command had when it was first accepted."""
    first = msgspec.json.decode(committed.result)
    after = Position(committed.epoch, committed.first - 1)
    return Accepted(
        first["session_id"],
        first["turn_id"],
        peer.name,
        after,
        False,
        match,
        replayed=True,
        message_id=first.get("message_id", ""),
        sender=principal.subject,
    )


class MessageSource(msgspec.Struct, frozen=True):
    """Where a message comes from: the peers that it passed through, and the original, if it follows from
    another message. `counted`: the caller among whose running turns its turn counts; empty if it does not.
    `is_callers`: the caller sends it now; it is no consequence of an accepted one. `is_scheduled`: it is the
    line of a schedule. `parts`: what follows its content. `given`: the conversation that a client gave.
    `is_again`: an earlier attempt to commit the message met a conflict."""

    via: tuple[str, ...]
    cause: Cause | None
    counted: str
    is_callers: bool
    is_scheduled: bool = False
    parts: tuple[Part, ...] = ()
    given: Stored | None = None
    is_again: bool = False


class PreparedMessage(msgspec.Struct, frozen=True):
    """A message that is about to be committed: its session, and the context that is sent with it. `fulfils`:
    a row of the catalog that is dropped in the same commit. `placed`: where the given conversation continues,
    if there is one."""

    session: Session
    peer: Peer
    match: Match | None
    message: MessageAccepted
    taken: MessageContext
    fulfils: RowRef | None
    source: MessageSource
    placed: Placed | None = None

    @property
    def given(self) -> GivenTurn | None:
        return self.placed.turn if self.placed is not None else None

    @property
    def received(self) -> Received:
        return Received(self.message, self.taken.payloads, self.given)

    def key(self, principal: Principal, command: SendMessage, turn: TurnRow) -> Key | None:
        """Return the idempotency key, if there is one. It is of the command as it was sent."""
        result = {"session_id": self.session.id, "turn_id": turn.id, "message_id": turn.message_id}
        if self.source.given is not None:
            return self.source.given.key(result)
        return command_key(principal, command, result)

    @property
    def still_due(self) -> list[Expect]:
        if self.fulfils is None:
            return []
        kind, id, state = self.fulfils
        return [Expect(kind, id, frozenset({state}))]

    def blobs(self, state: State, principal: Principal, turn_id: str) -> tuple[list[Row], list[Expect]]:
        """Return what to commit so that the contents of the parts are kept with the session."""
        if not (parts := self.source.parts):
            return [], []
        rows, expects = uploads.rows_for(state, principal.subject, self.session.id, parts)
        rows.append(uploads.attached_row(state, self.session.id, turn_id, principal.subject, parts))
        return rows, expects

    @property
    def dropped(self) -> list[tuple[str, str]]:
        return [self.fulfils[:2]] if self.fulfils else []


def opens_session(command: SendMessage, peer: Peer) -> bool:
    """Whether the message opens a session of its own.

    If the peer is a program and the message names neither a session nor a context window, the message goes to
    the default session instead.
    """
    goes_to_standing = peer.program is not None and command.context_window is None
    return command.session_id is None and not goes_to_standing


async def drafts_of(
    state: State, principal: Principal, command: SendMessage, prepared: PreparedMessage, direct: bool
) -> tuple[TurnRow, list[Draft]]:
    """Return the turn's row and its first events. `direct`: the turn starts now; otherwise it is queued.

    Raises:
        PeerBusy: `MOST_WAITING` messages are queued in the session.
    """
    turn_id, session, peer = state.ids.new("t"), prepared.session, prepared.peer
    payloads: list[Payload] = [*prepared.taken.payloads, prepared.message]
    if prepared.source.given is not None:
        payloads += prepared.source.given.returned
    if direct:
        payloads.append(TurnStarted(peer.name))
    else:
        waiting = len(await waiting_turns(state.store, session.id))
        if waiting >= MOST_WAITING:
            why = f"{waiting} messages are queued in session {session.id}"
            hint = "wait until some of them have been answered"
            raise PeerBusy(peer.name, why=why, hint=hint, retry_after=QUEUE_SECONDS)
        payloads.append(TurnQueued(waiting + 1))
    head = None if opens_session(command, peer) else await state.store.head(session.id)
    drafts = [Draft(payload, turn_id) for payload in payloads]
    if head is None:
        drafts.insert(0, Draft(SessionStateChanged(session.state)))
    began = TurnState.RUNNING if direct else TurnState.ACCEPTED
    turn = TurnRow(
        turn_id,
        session.id,
        peer.name,
        began,
        session.owner,
        prepared.message.message_id,
        head.head if head else 0,
        at=state.ids.now(),
    )
    return turn, drafts
