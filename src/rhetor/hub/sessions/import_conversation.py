"""Imports one conversation of a coding agent: finds or opens its session and adds the turns that it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.event import MessageAccepted, Payload, SessionStateChanged
from rhetor.domain.output import Done
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.transcript import Excerpt, Passage, TranscriptFile
from rhetor.domain.turn import Turn
from rhetor.domain.usage import Amounts, Cell, TurnUsage, count, day_of
from rhetor.errors import UnknownPeer
from rhetor.hub.catalog import usage
from rhetor.hub.catalog.programs import memory_row
from rhetor.hub.catalog.sessions import IMPORTED, open_session, session_of, session_row, unchanged
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.core.commits import until_unchanged
from rhetor.hub.programs.lifecycle import instance_key
from rhetor.store.base import Draft, Row, Spoken

if TYPE_CHECKING:
    from rhetor.hub.state import State

BATCH_DRAFTS = 500
MOST_TURNS = 1_000_000  # of one session
CLOCK_SKEW_MS = 5_000  # a message may be this much older in the file than in the log
TITLE = 80
KIND = "conversation"


async def known_sessions(state: State) -> dict[str, str]:
    """Return the ids of the sessions whose conversations the hub ran itself, by `driver/agent's own id`."""
    found: dict[str, str] = {}
    for row in await state.store.find("memory", limit=MOST_TURNS):
        name, _, session_id = row.id.partition("/")
        conversation = msgspec.json.decode(row.doc).get("session_id")
        with suppress(UnknownPeer):  # the peer is no longer configured
            if session_id and isinstance(conversation, str):
                found[f"{state.peers.get(name).driver}/{conversation}"] = session_id
    return found


class Conversation:
    """One conversation and its session. Call `find` first, then `add` with the passages in order.

    `file`: the transcript that is read, `first`: its first excerpt with passages; `known_sessions`: see the
    function of that name; `session_id`: None until there is a session. With `dry_run`, nothing is stored.
    """

    def __init__(
        self,
        state: State,
        principal: Principal,
        peer: Peer,
        first: Excerpt,
        file: TranscriptFile,
        dry_run: bool,
        known_sessions: Mapping[str, str],
    ) -> None:
        self._state = state
        self._principal = principal
        self._peer = peer
        self._first = first
        self._file = file
        self._dry_run = dry_run
        self._known_sessions = known_sessions
        self._key = f"{peer.driver}/{first.conversation}"
        self._known: set[str] = set()
        self._unmatched: list[Spoken] = []
        self._at = 0
        self.session_id: str | None = None

    async def find(self) -> str | None:
        """Find the session of this conversation, if any; return why nothing can be imported, or None."""
        session = await self._session()
        if session is None:
            return None
        self.session_id = session.id
        if not session.takes_messages:
            return f"its session is {session.state}"
        if not await self._state.owns(session.id):
            return f"its session is at the node {await self._state.nodes.owner(session.id)}; import it there"
        if session.id in self._state.runners:
            return "a turn of its session is running"
        store = self._state.store
        self._known = {row.id for row in await store.find("turn", parent=session.id, limit=MOST_TURNS)}
        spoken = await store.spoken(session.id, 2 * MOST_TURNS, answered=False)
        self._unmatched = [s for s in spoken if s.role != "assistant" and not _is_imported(s.turn_id)]
        return None

    async def add(self, passages: Sequence[Passage]) -> tuple[int, int]:
        """Add the new turns to the log; return how many were new and how many were in the log already."""
        new = [passage for passage in passages if not self._has(passage)]
        if not self._dry_run:
            batch: list[Passage] = []
            for passage in new:
                batch.append(passage)
                if sum(len(each.outputs) for each in batch) > BATCH_DRAFTS:
                    await self._commit(batch)
                    batch = []
            if batch:
                await self._commit(batch)
        return len(new), len(passages) - len(new)

    async def _session(self) -> Session | None:
        """Return the session that an earlier import opened, or in which the hub ran the conversation."""
        store = self._state.store
        link = await store.get(KIND, self._key)
        id = link.parent if link else self._known_sessions.get(self._key)
        row = await store.get("session", id) if id else None
        return session_of(row) if row and row.owner == self._principal.subject else None

    def _has(self, passage: Passage) -> bool:
        """Whether the log has the turn already: from an earlier import, or because it ran in the hub."""
        id = self._turn_id(passage)
        if id in self._known:
            return True
        for number, spoken in enumerate(self._unmatched):
            if spoken.content.strip() == passage.content.strip() and spoken.at <= passage.at + CLOCK_SKEW_MS:
                del self._unmatched[number]
                return True
        self._known.add(id)
        return False

    async def _commit(self, passages: Sequence[Passage]) -> None:
        await until_unchanged(lambda: self._commit_once(passages))

    async def _commit_once(self, passages: Sequence[Passage]) -> None:
        store = self._state.store
        session, rows = await self._session_for(passages)
        drafts = [] if self.session_id else [Draft(SessionStateChanged(session.state), at=session.created_at)]
        head = await store.head(session.id)
        used: dict[Cell, Amounts] = {}
        for passage in passages:
            events, turn = self._turn_of(session, passage, head.head if head else 0)
            drafts += events
            rows += [turn.row(), *_count(session, events, used)]
        adds = usage.additions(used)
        await store.commit(session.id, drafts, rows=rows, adds=adds, expects=[unchanged(session)])
        self.session_id = session.id

    async def _session_for(self, passages: Sequence[Passage]) -> tuple[Session, list[Row]]:
        """Return the session, opened or updated for these passages, and the rows to commit."""
        state, last = self._state, passages[-1].until
        row = await state.store.get("session", self.session_id) if self.session_id else None
        if row is None:
            session = replace(self._opened(passages[0]), used_at=last)
            memory = {"session_id": self._first.conversation}
            if passages[-1].model:
                memory["model"] = passages[-1].model
            saved = memory_row(instance_key(state, self._peer, session.id), memory, state.ids.now())
            return session, [session_row(session), self._link(session), saved]
        session = session_of(row)
        session = session.used(max(session.used_at, last))
        return session, [session_row(session), self._link(session)]

    def _opened(self, passage: Passage) -> Session:
        first = self._first
        session = open_session(
            self._state.ids,
            self._principal.subject,
            self._peer.name,
            context_window=0,
            ttl=None,
            cwd=first.cwd or None,
        )
        imported = {
            "tool": self._peer.name,
            "conversation": first.conversation,
            "path": self._file.path,
            "title": " ".join(passage.content.split())[:TITLE],
        }
        metadata = {**session.metadata, IMPORTED: imported}
        return replace(session, created_at=passage.at, metadata=metadata, started=True)

    def _link(self, session: Session) -> Row:
        owner = self._principal.subject
        return Row(KIND, self._key, "kept", b"{}", owner=owner, parent=session.id, at=session.created_at)

    def _turn_of(self, session: Session, passage: Passage, head: int) -> tuple[list[Draft], TurnRow]:
        """Return the events and the row of a passage's turn, the same as those of a turn that ran in the hub.

        `head`: the number of the session's last event.
        """
        id = self._turn_id(passage)
        message = MessageAccepted(_message_id(id), "user", passage.content, self._principal.subject)
        turn = Turn(id, message.message_id, self._peer.name)
        begun: list[Payload] = [message, turn.start(passage.model)]
        answer = [payload for output in passage.outputs for payload in turn.step(output)]
        answer += _end(turn, passage)
        times = [self._later(passage.at)] * len(begun) + [self._later(passage.until)] * len(answer)
        drafts = [Draft(payload, id, at=at) for payload, at in zip([*begun, *answer], times, strict=True)]
        owner = self._principal.subject
        row = TurnRow(
            id, session.id, turn.peer, turn.state, owner, message.message_id, head, at=drafts[0].at or 0
        )
        return drafts, row

    def _later(self, at: int) -> int:
        """Return `at`, changed if needed so that times never decrease and are never in the future."""
        self._at = min(max(self._at, at), self._state.ids.now())
        return self._at

    def _turn_id(self, passage: Passage) -> str:
        place = f"{self._key}/{passage.id}".encode()
        return f"{_IMPORTED_TURN}{blake2b(place, digest_size=12).hexdigest()}"


def _count(session: Session, drafts: Sequence[Draft], used: dict[Cell, Amounts]) -> list[Row]:
    """Add what a turn used, on the days on which it did. Return the rows of its session."""
    turn, rows = TurnUsage(), []
    for draft in drafts:
        counted = count(usage.source_of(session), turn, (draft.payload,), day_of(draft.at or 0))
        for cell, more in counted.amounts.items():
            used[cell] = used.get(cell, Amounts()) + more
        rows += [usage.session_row(session.id, cell) for cell in counted.sessions]
        turn = counted.turn or TurnUsage()
    return rows


_IMPORTED_TURN = "t_i"  # no other turn id begins like this: `Ids` puts a hex digit after `t_`


def _is_imported(turn_id: str) -> bool:
    return turn_id.startswith(_IMPORTED_TURN)


def _message_id(turn_id: str) -> str:
    return f"m_{turn_id.removeprefix('t_')}"


def _end(turn: Turn, passage: Passage) -> tuple[Payload, ...]:
    match passage.ending:
        case "completed":
            return turn.step(Done(), (passage.until - passage.at) / 1000)
        case "failed":
            return turn.fail("turn_failed", passage.detail, False, {})
        case "interrupted":
            return turn.interrupt(passage.detail)
