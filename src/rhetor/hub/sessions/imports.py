"""Conversations that coding agents have kept themselves, taken into the log as if they had been held here.

A conversation becomes a session, or finds the one that it is already: then what was said here is not said
twice. Each turn has an id of its own from the agent's, so that it is taken once, however often its file is
read, wherever that lies. Files are read whole when they have changed, a piece at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rhetor.domain.command import ImportSessions, Principal
from rhetor.domain.peer import Peer
from rhetor.domain.transcript import Excerpt, TranscriptFile
from rhetor.drivers.base import Transcripts
from rhetor.errors import Forbidden, Malformed, RhetorError, TranscriptUnreadable, Unprocessable
from rhetor.store.base import Row

from .import_conversation import Conversation, held_here

if TYPE_CHECKING:
    from rhetor.hub.state import State

MOST_FILES = 1000
MOST_BYTES = 1 << 30  # of all files that are read in one run
_READ = "transcript"


@dataclass(slots=True)
class FileReport:
    """What came of one file. `known`: turns that were in the log already; `malformed`: lines that cannot be
    read; `skipped`, `error`: why nothing was taken of it."""

    path: str
    tool: str = ""
    conversation: str = ""
    session_id: str | None = None
    new: int = 0
    known: int = 0
    malformed: int = 0
    skipped: str | None = None
    error: str | None = None


@dataclass(slots=True)
class ImportReport:
    """`unchanged`: files that were read before and have not changed since; `more`: files are left for the
    next run."""

    dry_run: bool
    files: list[FileReport] = field(default_factory=list)
    unchanged: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    peer: Peer
    transcripts: Transcripts
    file: TranscriptFile


async def take_in(state: State, principal: Principal, command: ImportSessions) -> ImportReport:
    """Raises:
    UnknownPeer, Unprocessable: there is no such tool, or it keeps nothing that can be read.
    Malformed: a path is not absolute.
    """
    state.require_open()
    if not principal.local or principal.is_agent:
        raise Forbidden.to_agents(principal.subject)
    agents = _agents(state, command.tool)
    report = ImportReport(command.dry_run)
    async with state.exclusively("import"):  # one at a time: two would both find a turn missing
        found = await _changed(state, await _found(state, agents, command, report), report)
        held = await held_here(state) if found else {}
        for each in _within_limits(found, report):
            report.files.append(await _take_file(state, principal, each, held, command.dry_run))
    return report


def _agents(state: State, tool: str | None) -> list[Peer]:
    """The peers whose conversations are looked for: of several that keep theirs in one way, the first."""
    if tool is not None:
        peer = state.peers.get(tool)
        if peer.driver not in state.transcripts:
            raise Unprocessable(f"{peer.name} keeps no conversations that can be read", peer=peer.name)
        return [peer]
    first: dict[str, Peer] = {}
    for peer in state.peers:
        if peer.driver in state.transcripts:
            first.setdefault(peer.driver, peer)
    return list(first.values())


async def _found(
    state: State, agents: Sequence[Peer], command: ImportSessions, report: ImportReport
) -> list[_Found]:
    found: list[_Found] = []
    for path in command.paths:
        try:
            found += await _at(state, agents, _checked(path))
        except TranscriptUnreadable as error:
            report.files.append(FileReport(path, error=error.data["reason"]))
    for peer in () if command.paths else agents:
        transcripts = state.transcripts[peer.driver]
        kept = await asyncio.to_thread(transcripts.files, state.launches(peer, None).env)
        found += [_Found(peer, transcripts, file) for file in kept]
    since = command.since or 0
    return [each for each in found if each.file.modified >= since]


def _checked(path: str) -> str:
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise Malformed(f"{path[:200]!r} is no absolute path")
    return path


async def _at(state: State, agents: Sequence[Peer], path: str) -> list[_Found]:
    """The files there, each with the agent whose it is; in a folder what is nobody's is passed over."""
    ways = [(peer, state.transcripts[peer.driver]) for peer in agents]
    if not ways:
        return []
    files = await asyncio.to_thread(ways[0][1].at, path)
    found: list[_Found] = []
    for file in files:
        for peer, transcripts in ways:
            if await asyncio.to_thread(transcripts.recognises, file.path):
                found.append(_Found(peer, transcripts, file))
                break
    if not found and [file.path for file in files] == [path]:
        raise TranscriptUnreadable(path, "it is no conversation of a known agent")
    return found


async def _changed(state: State, found: Sequence[_Found], report: ImportReport) -> list[_Found]:
    """Those that are not as they were read, the one written last first."""
    changed: list[_Found] = []
    for each in found:
        row = await state.store.get(_READ, each.file.path)
        if row is not None and row.state == _as_it_is(each.file):
            report.unchanged += 1
        else:
            changed.append(each)
    return sorted(changed, key=lambda each: each.file.modified, reverse=True)


def _as_it_is(file: TranscriptFile) -> str:
    return f"{file.size}@{file.modified}"


def _within_limits(found: Sequence[_Found], report: ImportReport) -> Iterator[_Found]:
    size = 0
    for number, each in enumerate(found):
        size += each.file.size
        if number and (number >= MOST_FILES or size > MOST_BYTES):
            report.more = True
            return
        yield each


async def _take_file(
    state: State, principal: Principal, found: _Found, held: Mapping[str, str], dry_run: bool
) -> FileReport:
    report = FileReport(found.file.path, found.peer.name)

    def begin(excerpt: Excerpt) -> Conversation:
        return Conversation(state, principal, found.peer, excerpt, found.file, dry_run, held)

    try:
        is_read = await _take_pieces(_pieces(found), begin, report)
    except RhetorError as error:
        report.error = str(error.data.get("reason") or error.detail)
        return report
    if is_read and not dry_run:
        await _remember(state, principal, found.file)
    return report


async def _take_pieces(
    pieces: AsyncIterator[Excerpt], begin: Callable[[Excerpt], Conversation], report: FileReport
) -> bool:
    """Whether the file need not be read again, as long as it stays as it is."""
    conversation: Conversation | None = None
    async for excerpt in pieces:
        report.malformed += excerpt.malformed
        if excerpt.is_foreign:
            report.skipped = "a sub-agent's"
            return True
        if conversation is None and excerpt.conversation and excerpt.passages:
            conversation = begin(excerpt)
            report.conversation = excerpt.conversation
            report.skipped = await conversation.find()
            report.session_id = conversation.session_id
            if report.skipped:
                return False
        if conversation is not None:
            await _take(conversation, excerpt, report)
        if not excerpt.is_whole:
            return False
    return True


async def _take(conversation: Conversation, excerpt: Excerpt, report: FileReport) -> None:
    new, known = await conversation.take(excerpt.passages)
    report.new, report.known = report.new + new, report.known + known
    report.session_id = conversation.session_id


async def _pieces(found: _Found) -> AsyncIterator[Excerpt]:
    """The file as it is read, in a thread."""
    pieces = iter(found.transcripts.read(found.file.path))
    while (excerpt := await asyncio.to_thread(next, pieces, None)) is not None:
        yield excerpt


async def _remember(state: State, principal: Principal, file: TranscriptFile) -> None:
    row = Row(_READ, file.path, _as_it_is(file), b"{}", owner=principal.subject, at=state.ids.now())
    await state.store.commit("hub", [], rows=[row])
