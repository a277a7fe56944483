"""Stores the conversations that clients of stateless APIs give with each message: checks and hashes them, and
keeps their parts, system texts and tools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from rhetor.domain.command import SendMessage
from rhetor.domain.event import ToolReturned
from rhetor.domain.given import (
    Block,
    GivenConversation,
    GivenMessage,
    SaidPart,
    SaidResult,
    SaidText,
)
from rhetor.domain.given_hash import chain, exact
from rhetor.domain.lines import LINE_DRIVER, LINE_PEER, is_line
from rhetor.domain.parts import MOST_BYTES, MOST_PARTS, GivenPart, Part
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.errors import TooLarge, Unprocessable
from rhetor.hub.catalog.given import (
    CONTINUATION,
    Given,
    continuation_of,
    without_marks,
)
from rhetor.hub.core.commits import fingerprint
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.turns.given import id_of
from rhetor.hub.turns.given_size import thinking
from rhetor.store.base import Key, Row

from . import uploads
from .given_limits import check, few

if TYPE_CHECKING:
    from rhetor.hub.state import State

URL_SECONDS = 60.0  # after which no other URL of a conversation is read
UNSUPPORTED = "unsupported_parameter"


class Stored(msgspec.Struct, frozen=True):
    """A given conversation whose parts and texts are stored.

    `asked`: the command as the client sent it, and its `fingerprint` if it has an idempotency key. `given`:
    what is stored of it if it begins a session. `marked`: the conversation with its marks. `parts`: those of
    the new messages; `kept`: all parts and texts, whose rows are to be committed. `shared`: the id of the
    blob with what the API stores once.
    """

    asked: SendMessage
    fingerprint: str
    given: Given
    marked: GivenConversation
    exact: tuple[str, ...]
    urls: dict[str, str]
    parts: tuple[Part, ...]
    kept: tuple[Part, ...]
    shared: str = ""

    def key(self, result: object) -> Key | None:
        """Return the idempotency key, as `command_key` does."""
        if self.asked.command_id is None:
            return None
        return Key(self.given.caller, self.asked.command_id, self.fingerprint, msgspec.json.encode(result))

    @property
    def returned(self) -> list[ToolReturned]:
        """The results of tools in the new messages."""
        blocks = [block for message in self.marked.new for block in message.blocks]
        return [
            ToolReturned(block.id, _shown_result(block), block.is_error)
            for block in blocks
            if isinstance(block, SaidResult)
        ]


async def store(state: State, principal: Principal, command: SendMessage) -> Stored:
    """Check a given conversation, and store its parts, its system texts and its tools.

    Raises:
        UnknownPeer, NoCapablePeer: there is no such peer.
        Malformed, TooLarge: a message is empty, not valid Unicode, or too large.
        Unprocessable: the client gives tools of its own to a peer that cannot call them; `data["param"]` is
            `tools`. Or a part is invalid.
        NotFound, BlobsFull, StoreRefused: as `uploads.parts_of`.
    """
    conversation = command.given
    assert conversation is not UNSET
    target = _target(state, principal, command, conversation)
    check(conversation, state.limits.message_bytes)
    conversation = replace(conversation, system=few(conversation.system))
    before, hashed = await thinking(conversation, lambda: _hashes(conversation))
    row = await continuation_row(state, principal.subject, target, before)
    reading = _Parts(state, principal, continuation_of(row).urls if row is not None else {})
    messages = [await reading.stored(message) for message in conversation.messages]
    marked = replace(conversation, messages=tuple(messages))
    plain, marks = without_marks(marked.messages)
    hashes = await thinking(conversation, lambda: tuple(map(exact, plain)))
    texts = [await _kept(state, principal, text.text.encode(), "text/plain") for text in marked.system]
    system = tuple((part.blob_id, text.cache) for part, text in zip(texts, marked.system, strict=True))
    if marked.tools:
        encoded = msgspec.json.encode(marked.tools)
        texts.append(await _kept(state, principal, encoded, "application/json"))
    tools = texts[-1].blob_id if marked.tools else ""
    if command.kept and command.kept.shared:
        encoded = msgspec.json.encode(command.kept.shared)
        texts.append(await _kept(state, principal, encoded, "application/json"))
    given = Given(
        principal.subject,
        target,
        before,
        hashed,
        plain,
        marks=marks,
        system=system,
        tools=tools,
        options=marked.options,
    )
    kept = tuple({part.blob_id: part for part in (*reading.found.values(), *texts)}.values())
    new = tuple([reading.found[part.blob_id] for message in marked.new for part in message.parts])
    shared = texts[-1].blob_id if command.kept and command.kept.shared else ""
    digest = await thinking(conversation, lambda: fingerprint(command)) if command.command_id else ""
    return Stored(command, digest, given, marked, hashes, reading.urls, new, kept, shared)


def _target(state: State, principal: Principal, command: SendMessage, given: GivenConversation) -> str:
    """Return how the recipient is named in the hashes: a peer has one name, whichever the client uses."""
    target = command.target or ""
    if not target:
        return ""
    named = LINE_PEER if is_line(target) else target
    peer = peers_for(state, principal).resolve(named)[0]
    require_no_tools(given, peer)
    return target.strip() if target.startswith("@") or peer.driver == LINE_DRIVER else peer.name


def require_no_tools(given: GivenConversation, peer: Peer) -> None:
    if given.tools and not peer.has_voice:
        who = "a line" if peer.driver == LINE_DRIVER else peer.name
        why = f"{who} is not a specialist, so it cannot call the client's tools"
        fault = {"where": "tools", "why": why}
        raise Unprocessable(f"tools: {why}", faults=[fault], param="tools", reason=UNSUPPORTED)


def _hashes(conversation: GivenConversation) -> tuple[str, str]:
    earlier = conversation.earlier
    before = chain(earlier) if earlier else ""
    return before, chain(conversation.new, before)


async def _kept(state: State, principal: Principal, content: bytes, media_type: str) -> Part:
    if state.secrets:
        content = state.secrets.mask_json(content)
    return await uploads.keep_text(state, principal.subject, content, media_type)


class _Parts:
    """Stores the parts of messages. `urls`: the blobs of URLs that were read before. `found`: the stored
    parts by the ids of their blobs."""

    def __init__(self, state: State, principal: Principal, urls: Mapping[str, str]) -> None:
        self._state = state
        self._principal = principal
        self._known = urls
        self._until = asyncio.get_running_loop().time() + URL_SECONDS
        self.urls: dict[str, str] = {}
        self.found: dict[str, Part] = {}

    async def stored(self, message: GivenMessage) -> GivenMessage:
        """Return the message with the ids of blobs instead of contents and URLs.

        Raises:
            Unprocessable, TooLarge: it has too many parts, or too large ones.
        """
        if not (number := len(message.parts)):
            return message
        if number > MOST_PARTS:
            raise Unprocessable(f"a message can have at most {MOST_PARTS} parts, not {number}")
        blocks = [await self._stored(block) for block in message.blocks]
        changed = replace(message, blocks=tuple(blocks))
        if sum(self.found[part.blob_id].bytes for part in changed.parts) > MOST_BYTES:
            raise TooLarge("all parts of the message together", MOST_BYTES)
        return changed

    async def _stored(self, block: Block) -> Block:
        if isinstance(block, SaidPart):
            return await self._part(block)
        if isinstance(block, SaidResult):
            content = [
                await self._part(inner) if isinstance(inner, SaidPart) else inner for inner in block.content
            ]
            return replace(block, content=tuple(content))
        return block

    async def _part(self, said: SaidPart) -> SaidPart:
        given = said.part
        url = given.url
        if url and (known := self._known.get(url) or self.urls.get(url)):
            given = GivenPart(given.type, given.media_type, given.name, known)
        elif url and asyncio.get_running_loop().time() >= self._until:
            raise Unprocessable(f"the URLs in the conversation took more than {URL_SECONDS:g} s to read")
        part = await uploads.part_of(self._state, self._principal, given)
        if url:
            self.urls[url] = part.blob_id
        self.found[part.blob_id] = part
        kept = GivenPart(part.type, part.media_type, part.name, part.blob_id)
        return replace(said, part=kept)


def _shown_result(result: SaidResult) -> object:
    """Return the result of a call as the log shows it: text, or the list of its texts and parts."""
    if all(isinstance(each, SaidText) for each in result.content):
        return "\n".join(each.text for each in result.content if isinstance(each, SaidText))
    return [
        {"type": "text", "text": each.text}
        if isinstance(each, SaidText)
        else {"type": each.part.type, "media_type": each.part.media_type, "blob_id": each.part.blob_id}
        for each in result.content
    ]


async def continuation_row(state: State, caller: str, target: str, before: str) -> Row | None:
    """Return the row with the hash of the earlier messages; None if there is none, or there are none."""
    if not before:
        return None
    return await state.store.get(CONTINUATION, await id_of(state, caller, target, before))
