"""Imports the conversations that coding agents keep in files of their own.

A conversation becomes a session. If the hub ran the conversation itself, the existing session gets only the
turns that it lacks. A turn's id is derived from the agent's own ids, so a turn is imported only once, even if
its file is read again or has been moved. A file that has changed is read again from its beginning, in pieces.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from rhetor.domain.command import ImportSessions
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.transcript import Excerpt, TranscriptFile
from rhetor.drivers.base import Transcripts
from rhetor.errors import (
    Forbidden,
    Malformed,
    OnOtherMachine,
    RhetorError,
    TranscriptUnreadable,
    Unprocessable,
)
from rhetor.hub.core.progress import counter
from rhetor.store.base import Row

from .import_conversation import Conversation, known_sessions

if TYPE_CHECKING:
    from rhetor.hub.state import State

MOST_FILES = 1000
MOST_BYTES = 1 << 30  # of all files that are read in one run
_READ = "transcript"


class FileReport(Struct):
    """The result of one file. `new`: turns that were not in the log yet; `known`: turns that were;
    `malformed`: lines that cannot be read; `skipped`: why the file was not imported; `error`: the error, if
    any."""

    path: str
    tool: str = ""
    conversation: str = ""
    session_id: str | None = None
    new: int = 0
    known: int = 0
    malformed: int = 0
    skipped: str | None = None
    error: str | None = None


class ImportReport(Struct):
    """The result of an import. `unchanged`: how many files have not changed since an earlier import; `more`:
    whether files are left for the next import."""

    dry_run: bool
    files: list[FileReport] = msgspec.field(default_factory=list)
    unchanged: int = 0
    more: bool = False


class _Found(Struct, frozen=True):
    peer: Peer
    transcripts: Transcripts
    file: TranscriptFile


async def import_sessions(state: State, principal: Principal, command: ImportSessions) -> ImportReport:
    """Import up to `MOST_FILES` files that have changed, newest first. If one fails, the others are imported.

    Raises:
        Forbidden: the caller is a peer's program, or not on this machine.
        UnknownPeer: no peer has the name of the tool.
        Unprocessable: the hub cannot read the tool's conversations.
        Malformed: a path is not absolute, or contains `..` or NUL.
        StoreRefused: the catalog cannot be read or written; the import may be repeated.
    """
    state.require_open()
    if not principal.local or principal.is_agent:
        raise Forbidden.to_agents(principal.subject)
    agents = _agents(state, command.tool)
    report = ImportReport(command.dry_run)
    async with state.exclusively("import"):  # two imports at once would both find a turn missing
        found = await _changed(state, await _found(state, agents, command, report), report)
        known = await known_sessions(state) if found else {}
        note = counter("files")
        for number, each in enumerate(_within_limits(found, report)):
            if note is not None:
                note(number, min(len(found), MOST_FILES))
            report.files.append(await _import_file(state, principal, each, known, command.dry_run))
    return report


def _agents(state: State, tool: str | None) -> list[Peer]:
    """Return the peers whose conversations are imported: the tool's, or the first peer of each driver."""
    if tool is not None:
        peer = state.peers.get(tool)
        if peer.machine:
            raise OnOtherMachine(
                f"the conversations of {peer.name} are recorded on {peer.machine}, and cannot be imported",
                machine=peer.machine,
            )
        if peer.driver not in state.transcripts:
            raise Unprocessable(f"conversations of {peer.name} cannot be imported", peer=peer.name)
        return [peer]
    first: dict[str, Peer] = {}
    for peer in state.peers:
        if peer.driver in state.transcripts and not peer.machine:
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
        raise Malformed(f"path {path[:200]!r} is not absolute, or contains `..` or NUL")
    return path


async def _at(state: State, agents: Sequence[Peer], path: str) -> list[_Found]:
    """Return the transcripts at a path, a file or a folder, each with its agent. Other files in a folder are
    skipped.

    Raises:
        TranscriptUnreadable: the path cannot be read, or is a file that is not a transcript.
    """
    candidates = [(peer, state.transcripts[peer.driver]) for peer in agents]
    if not candidates:
        return []
    files = await asyncio.to_thread(candidates[0][1].at, path)
    found: list[_Found] = []
    for file in files:
        for peer, transcripts in candidates:
            if await asyncio.to_thread(transcripts.recognises, file.path):
                found.append(_Found(peer, transcripts, file))
                break
    if not found and [file.path for file in files] == [path]:
        raise TranscriptUnreadable(path, "the file is not a conversation of a known agent")
    return found


async def _changed(state: State, found: Sequence[_Found], report: ImportReport) -> list[_Found]:
    """Return the files that have changed since they were last imported, newest first."""
    changed: list[_Found] = []
    for each in found:
        row = await state.store.get(_READ, each.file.path)
        if row is not None and row.state == _version(each.file):
            report.unchanged += 1
        else:
            changed.append(each)
    return sorted(changed, key=lambda each: each.file.modified, reverse=True)


def _version(file: TranscriptFile) -> str:
    return f"{file.size}@{file.modified}"


def _within_limits(found: Sequence[_Found], report: ImportReport) -> Iterator[_Found]:
    size = 0
    for number, each in enumerate(found):
        size += each.file.size
        if number and (number >= MOST_FILES or size > MOST_BYTES):
            report.more = True
            return
        yield each


async def _import_file(
    state: State, principal: Principal, found: _Found, known: Mapping[str, str], dry_run: bool
) -> FileReport:
    report = FileReport(found.file.path, found.peer.name)

    def begin(excerpt: Excerpt) -> Conversation:
        return Conversation(state, principal, found.peer, excerpt, found.file, dry_run, known)

    try:
        is_finished = await _import_pieces(_pieces(found), begin, report)
    except RhetorError as error:
        report.error = str(error.data.get("reason") or error.detail)
        return report
    if is_finished and not dry_run:
        await _remember(state, principal, found.file)
    return report


async def _import_pieces(
    pieces: AsyncIterator[Excerpt], begin: Callable[[Excerpt], Conversation], report: FileReport
) -> bool:
    """Import the pieces of a file; return whether the file need not be read again until it changes."""
    conversation: Conversation | None = None
    async for excerpt in pieces:
        report.malformed += excerpt.malformed
        if excerpt.is_foreign:
            report.skipped = "conversation of a sub-agent"
            return True
        if conversation is None and excerpt.conversation and excerpt.passages:
            conversation = begin(excerpt)
            report.conversation = excerpt.conversation
            report.skipped = await conversation.find()
            report.session_id = conversation.session_id
            if report.skipped:
                return False
        if conversation is not None:
            await _add(conversation, excerpt, report)
        if not excerpt.is_whole:
            return False
    return True


async def _add(conversation: Conversation, excerpt: Excerpt, report: FileReport) -> None:
    new, known = await conversation.add(excerpt.passages)
    report.new, report.known = report.new + new, report.known + known
    report.session_id = conversation.session_id


async def _pieces(found: _Found) -> AsyncIterator[Excerpt]:
    """Yield the excerpts of the file, each read in a thread."""
    pieces = iter(found.transcripts.read(found.file.path))
    while (excerpt := await asyncio.to_thread(next, pieces, None)) is not None:
        yield excerpt


async def _remember(state: State, principal: Principal, file: TranscriptFile) -> None:
    row = Row(_READ, file.path, _version(file), b"{}", owner=principal.subject, at=state.ids.now())
    await state.store.commit("hub", [], rows=[row])
