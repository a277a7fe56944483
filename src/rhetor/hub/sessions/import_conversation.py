"""One conversation of an agent's own on its way into the log: which session it is, and what is new of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import Principal
from rhetor.domain.event import MessageAccepted, Payload, SessionStateChanged
from rhetor.domain.output import Done
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session
from rhetor.domain.transcript import Excerpt, Passage, TranscriptFile
from rhetor.domain.turn import Turn
from rhetor.errors import UnknownPeer
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
EARLIER_MS = 5_000  # by which clocks and files may differ
TITLE = 80
_KIND = "conversation"


async def held_here(state: State) -> dict[str, str]:
    """The sessions of conversations that the hub has held, by the agents' own ids of them."""
    found: dict[str, str] = {}
    for row in await state.store.find("memory", limit=MOST_TURNS):
        name, _, session_id = row.id.partition("/")
        conversation = msgspec.json.decode(row.doc).get("session_id")
        with suppress(UnknownPeer):  # it is not configured any more
            if session_id and isinstance(conversation, str):
                found[f"{state.peers.get(name).driver}/{conversation}"] = session_id
    return found


class Conversation:
    """`session_id`: None as long as there is none; `held`: of `held_here`. `find` comes first."""

    def __init__(
        self,
        state: State,
        principal: Principal,
        peer: Peer,
        begin: Excerpt,
        file: TranscriptFile,
        dry_run: bool,
        held: Mapping[str, str],
    ) -> None:
        self._state = state
        self._principal = principal
        self._peer = peer
        self._begin = begin
        self._file = file
        self._dry_run = dry_run
        self._held = held
        self._key = f"{peer.driver}/{begin.conversation}"
        self._known: set[str] = set()
        self._said_here: list[Spoken] = []
        self._at = 0
        self.session_id: str | None = None

    async def find(self) -> str | None:
        """Look for the session that it is already; why it is not to be taken in now, None where it is."""
        session = await self._session()
        if session is None:
            return None
        self.session_id = session.id
        if not session.takes_messages:
            return f"its session is {session.state}"
        if session.id in self._state.runners:
            return "a turn of it is running"
        store = self._state.store
        self._known = {row.id for row in await store.find("turn", parent=session.id, limit=MOST_TURNS)}
        spoken = await store.spoken(session.id, 2 * MOST_TURNS, answered=False)
        self._said_here = [s for s in spoken if s.role != "assistant" and not _is_imported(s.turn_id)]
        return None

    async def take(self, passages: Sequence[Passage]) -> tuple[int, int]:
        """Put what is new into the log; how many turns were, and how many were there."""
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
        """By an import before, or because the hub has held it."""
        store = self._state.store
        mark = await store.get(_KIND, self._key)
        id = mark.parent if mark else self._held.get(self._key)
        row = await store.get("session", id) if id else None
        return session_of(row) if row and row.owner == self._principal.subject else None

    def _has(self, passage: Passage) -> bool:
        """Whether the log has it: from an import before, or because it was said here."""
        id = self._turn_id(passage)
        if id in self._known:
            return True
        for number, spoken in enumerate(self._said_here):
            if spoken.content.strip() == passage.content.strip() and spoken.at <= passage.at + EARLIER_MS:
                del self._said_here[number]
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
        for passage in passages:
            said, turn = self._unfolded(session, passage, head.head if head else 0)
            drafts += said
            rows.append(turn.row())
        await store.commit(session.id, drafts, rows=rows, expects=[unchanged(session)])
        self.session_id = session.id

    async def _session_for(self, passages: Sequence[Passage]) -> tuple[Session, list[Row]]:
        """The session as it is to be stored with these; what is stored with it."""
        state, last = self._state, passages[-1].until
        row = await state.store.get("session", self.session_id) if self.session_id else None
        if row is None:
            session = replace(self._opened(passages[0]), used_at=last)
            memory = {"session_id": self._begin.conversation}
            if passages[-1].model:
                memory["model"] = passages[-1].model
            kept = memory_row(instance_key(state, self._peer, session.id), memory, state.ids.now())
            return session, [session_row(session), self._mark(session), kept]
        session = session_of(row)
        session = session.used(max(session.used_at, last))
        return session, [session_row(session), self._mark(session)]

    def _opened(self, first: Passage) -> Session:
        begin = self._begin
        session = open_session(
            self._state.ids,
            self._principal.subject,
            self._peer.name,
            context_window=0,
            ttl=None,
            cwd=begin.cwd or None,
        )
        before = {
            "tool": self._peer.name,
            "conversation": begin.conversation,
            "path": self._file.path,
            "title": " ".join(first.content.split())[:TITLE],
        }
        return replace(session, created_at=first.at, metadata={**session.metadata, IMPORTED: before})

    def _mark(self, session: Session) -> Row:
        owner = self._principal.subject
        return Row(_KIND, self._key, "kept", b"{}", owner=owner, parent=session.id, at=session.created_at)

    def _unfolded(self, session: Session, passage: Passage, behind: int) -> tuple[list[Draft], TurnRow]:
        """What the log has of a passage: the same as of a turn that was held here."""
        id = self._turn_id(passage)
        message = MessageAccepted(_message_id(id), "user", passage.content, self._principal.subject)
        turn = Turn(id, message.message_id, self._peer.name)
        begun: list[Payload] = [message, turn.start(passage.model)]
        said = [payload for output in passage.outputs for payload in turn.step(output)]
        said += _end(turn, passage)
        times = [self._later(passage.at)] * len(begun) + [self._later(passage.until)] * len(said)
        drafts = [Draft(payload, id, at=at) for payload, at in zip([*begun, *said], times, strict=True)]
        owner = self._principal.subject
        row = TurnRow(
            id, session.id, turn.peer, turn.state, owner, message.message_id, behind, at=drafts[0].at or 0
        )
        return drafts, row

    def _later(self, at: int) -> int:
        """Times of a session do not go back, and nothing has happened yet that is to come."""
        self._at = min(max(self._at, at), self._state.ids.now())
        return self._at

    def _turn_id(self, passage: Passage) -> str:
        place = f"{self._key}/{passage.id}".encode()
        return f"{_IMPORTED_TURN}{blake2b(place, digest_size=12).hexdigest()}"


_IMPORTED_TURN = "t_i"  # followed by hex digits; ids of turns that were held here have no letter `i`


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
