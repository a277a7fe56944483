"""The parts of messages: their contents reach the peer, are kept as long as needed, and nothing else is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from tests.pictures import JPEG, MP3, PDF, PNG, WAV
from tests.rhetor.hub.house import ME, OTHER, House, house
from tests.scripted import ScriptedConversation, ScriptedDriver

from rhetor.domain import event as ev
from rhetor.domain.command import (
    KeepBlob,
    SendMessage,
    ShareSession,
    StartPlan,
    StopSession,
    UnshareSession,
    UploadBlob,
)
from rhetor.domain.output import Output
from rhetor.domain.parts import GivenPart, Part, Take, known_type, media_type_of
from rhetor.domain.peer import Peer
from rhetor.domain.plan import Step
from rhetor.domain.principal import READ, SEND, Principal
from rhetor.drivers.base import Download, Inputs, PastMessage, Prompt
from rhetor.errors import (
    BlobsFull,
    Malformed,
    NotFound,
    TextOnly,
    TooLarge,
    Unprocessable,
    Unsupported,
)
from rhetor.hub.core.limits import Limits
from rhetor.hub.plans import old_streams
from rhetor.hub.sessions import blobs, uploads
from rhetor.store.blobs import FileBlobs

pytestmark = pytest.mark.anyio
Sent = tuple[str, list[bytes]]


class Recording(ScriptedDriver):
    """Records the contents that each peer gets."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Sent] = []
        self.past: list[list[Sent]] = []
        self.schemas: list[dict[str, Any] | None] = []

    async def open(self, peer: Peer, resume: str | None = None) -> ScriptedConversation:
        return RecordingConversation(self, peer)


class RecordingConversation(ScriptedConversation):
    def __init__(self, driver: Recording, peer: Peer) -> None:
        super().__init__(driver, peer)
        self._recording = driver

    def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        driver = self._recording
        driver.sent.append((message.content, [each.content for each in message.attachments]))
        driver.past.append([(past.content, [each.content for each in past.attachments]) for past in history])
        driver.schemas.append(message.schema)
        return super().send(message, history)


class Takes:
    """What peers take, by name; others take only text."""

    def __init__(self, **takes: set[Take]) -> None:
        self._takes = takes

    async def of(self, peer: Peer) -> Inputs:
        return Inputs(f"model of {peer.name}", frozenset(self._takes.get(peer.name, ())), "use another")

    async def check_schema(self, schema: Mapping[str, Any]) -> None:
        if schema.get("type", "object") != "object":
            raise Unprocessable("not a JSON Schema")


class Rooms(House):
    driver: Recording
    folder: Path

    async def upload(self, content: bytes, media_type: str = "", who: Any = ME) -> str:
        found = await self.hub.execute(who, UploadBlob(media_type, content))
        return str(found.blob_id)

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} if self.folder.exists() else set()


@asynccontextmanager
async def rooms(folder: Path, **limits: Any) -> AsyncIterator[Rooms]:
    driver = Recording()
    async with house(driver=driver, limits=Limits(**limits)) as made:
        home = Rooms(made.hub, driver)
        home.folder = folder / "blobs"
        state = home.hub.state
        state.blobs = FileBlobs(home.folder)
        state.inputs = Takes(apollo={"image", "pdf", "json"}, athena={"image"})
        yield home


def given(content: bytes, **fields: Any) -> GivenPart:
    return GivenPart("file", data=content, **fields)


async def test_a_peer_gets_the_contents_and_the_log_only_names_them(tmp_path: Path) -> None:
    async with rooms(tmp_path) as home:
        blob = await home.upload(PNG)
        parts = (GivenPart("image", blob_id=blob, name="x.png"), given(PDF, name="y.pdf"))
        first = await home.send(SendMessage("what?", "apollo", context_window=4, parts=parts))
        await home.end_of(first)
        await home.end_of(await home.send(SendMessage("why?", session_id=first.session_id)))
        alone = SendMessage("", session_id=first.session_id, parts=(given(JPEG),))
        await home.end_of(await home.send(alone))
        assert home.driver.sent == [("what?", [PNG, PDF]), ("why?", []), ("", [JPEG])]
        # a model gets what was sent before again, with its messages
        assert [past for past in home.driver.past[2] if past[1]] == [("what?", [PNG, PDF])]
        messages = [p for p in await home.log(first.session_id) if isinstance(p, ev.MessageAccepted)]
        pdf = (await home.store.find("blob", owner="me"))[-1]
        assert messages[0].parts == (
            Part("image", "image/png", blob, len(PNG), "x.png"),
            Part("file", "application/pdf", messages[0].parts[1].blob_id, len(PDF), "y.pdf"),  # type: ignore[index]
        )
        assert pdf.state == "kept"
        assert (messages[1].parts, messages[2].parts[0].type) == (UNSET, "image")  # type: ignore[index]
        assert len(home.files) == 3


async def test_a_peer_that_does_not_take_a_part_refuses_the_message_before_anything_runs(
    tmp_path: Path,
) -> None:
    pdf_to_athena = Step("b", "athena", "hi", parts=(given(PDF),))
    async with rooms(tmp_path) as home:
        for command, unsupported in (
            (SendMessage("hi", "apollo", parts=(given(WAV),)), "audio/wav"),
            (SendMessage("hi", "athena", parts=(given(PDF),)), "application/pdf"),
            (SendMessage("hi", "apollo", parts=(given(b"text"),)), "application/octet-stream"),
            (SendMessage("hi", "athena", response_schema={"type": "object"}), "response_schema"),
            (SendMessage("hi", "athena", response_schema={}), "response_schema"),
            (SendMessage("hi", "team:reviewers", context_window=1, parts=(given(PDF),)), "application/pdf"),
            (StartPlan((Step("a", "apollo", "hi"), pdf_to_athena)), "application/pdf"),
        ):
            with pytest.raises(Unsupported) as refused:
                await home.execute(command)
            assert refused.value.data["unsupported"] == unsupported
        assert home.driver.sent == []
        assert not await home.store.find("session")
        assert not await home.store.find("plan")


async def test_each_step_of_a_plan_and_each_member_of_a_team_gets_its_parts(tmp_path: Path) -> None:
    async with rooms(tmp_path) as home:
        steps = (
            Step("a", "apollo", "look", parts=(given(PNG),)),
            Step("b", "athena", "compare", ("a",), parts=(given(JPEG),), context_window=3),
            Step("c", "apollo", parts=(given(PDF),), response_schema={"type": "object"}),
        )
        events = await home.run_plan(StartPlan(steps))
        assert events[-1].payload == ev.PlanEnded("completed")
        assert sorted(contents for _, contents in home.driver.sent) == sorted([[PNG], [JPEG], [PDF]])
        assert {"type": "object"} in home.driver.schemas
        await home.run_plan(StartPlan((Step("a", "apollo", "any JSON", response_schema={}),)))
        await home.end_of(await home.send(SendMessage("any JSON", "apollo", response_schema={})))
        assert home.driver.schemas[-2:] == [{}, {}]
        home.driver.sent.clear()
        asked = SendMessage("both", "team:reviewers", context_window=1, parts=(given(PNG),))
        await home.end_of(await home.send(asked))
        assert home.driver.sent == [("both", [PNG])] * 2


async def test_what_a_guest_sends_is_read_by_the_owner_of_the_session_and_by_nobody_else(
    tmp_path: Path,
) -> None:
    async with rooms(tmp_path) as home:
        state, stranger = home.hub.state, Principal.person("a stranger", local=True)
        mine = await home.send(SendMessage("hi", "apollo", context_window=4))
        await home.end_of(mine)
        await home.execute(ShareSession(mine.session_id, OTHER.subject, (READ, SEND)))
        sent = SendMessage("look", session_id=mine.session_id, parts=(given(PNG),))
        await home.end_of(await home.hub.execute(OTHER, sent))
        private = await home.upload(PDF, who=OTHER)
        await home.execute(UnshareSession(mine.session_id, OTHER.subject))
        messages = [each for each in await home.log(mine.session_id) if isinstance(each, ev.MessageAccepted)]
        assert isinstance(messages[1].parts, list | tuple)
        picture = messages[1].parts[0].blob_id
        for who in (ME, OTHER):
            assert (await blobs.owned_blob(state, who, picture)).content == PNG
        for who, blob_id in ((stranger, picture), (ME, private)):
            with pytest.raises(NotFound):
                await blobs.owned_blob(state, who, blob_id)


async def test_an_upload_is_kept_as_long_as_a_message_refers_to_it(tmp_path: Path) -> None:
    async with rooms(tmp_path) as home:
        state = home.hub.state
        used, unused, shared = [await home.upload(each) for each in (PNG, PDF, MP3)]
        assert await home.upload(MP3, who=OTHER) == shared
        parts = (GivenPart("image", blob_id=used),)
        sent, again = [
            await home.send(SendMessage("hi", "apollo", context_window=1, parts=parts)) for _ in range(2)
        ]
        await home.end_of(sent)
        await home.end_of(again)
        await uploads.collect(state)
        assert home.files == {used, unused, shared}  # they are too young
        later = state.ids.now() + 4_000_000
        state.ids.now = lambda: later  # type: ignore[method-assign]
        await home.upload(MP3, who=OTHER)
        await uploads.collect(state)
        assert home.files == {used, shared}
        with pytest.raises(NotFound, match="blob"):
            await home.send(SendMessage("hi", "apollo", parts=(GivenPart("file", blob_id=unused),)))
        await home.execute(StopSession(sent.session_id))
        assert await old_streams.remove_old(state, later + 1) >= 1
        assert home.files == {used, shared}  # it is in another session, too
        await home.execute(StopSession(again.session_id))
        assert await old_streams.remove_old(state, later + 1) >= 1
        assert home.files == {shared}
        assert not await home.store.find("blob", owner="me")
        assert not await home.store.find("attached")


async def test_what_a_killed_hub_stored_without_a_row_is_removed_at_the_next_start(tmp_path: Path) -> None:
    async with rooms(tmp_path) as home:
        kept = {await home.upload(PNG), await home.upload(PDF, who=OTHER)}
        await FileBlobs(home.folder).keep(b"killed before its row was committed")
        assert len(home.files) == 3
        assert await blobs.sweep(home.hub.state) == 1
        assert home.files == kept


async def test_content_has_limits_and_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    async with rooms(tmp_path, blob_bytes=30 << 20) as home:
        big = PNG.ljust(9 << 20, b"\0")
        with pytest.raises(TooLarge):
            await home.send(SendMessage("hi", "apollo", parts=(given(big), given(big + b"1"))))
        with pytest.raises(TooLarge):
            await home.upload(b"x" * ((16 << 20) + 1))
        with pytest.raises(BlobsFull):
            await home.upload(PDF.ljust(13 << 20, b"\0"))
        shared = SendMessage("hi", "team:reviewers", context_window=1)
        team = await home.send(shared)
        with pytest.raises(TextOnly):
            await home.execute(
                KeepBlob(
                    (await home.send(SendMessage("hi", "apollo", context_window=1))).session_id, "a/b", b"x"
                )
            )
        await home.end_of(team)
        for wrong in (
            given(PNG, media_type="image/jpeg"),
            GivenPart("audio", data=PNG),
            GivenPart("image", blob_id=await home.upload(PDF)),
            GivenPart("image", url="http://example.invalid/x.png"),
        ):
            with pytest.raises(Unprocessable):
                await home.send(SendMessage("hi", "apollo", parts=(wrong,)))
        with pytest.raises(Unprocessable, match="at most 20 parts"):
            await home.send(SendMessage("hi", "apollo", parts=(given(PNG),) * 21))
        with pytest.raises(Malformed, match="empty"):
            await home.upload(b"")
        with pytest.raises(Unprocessable, match="not a JSON Schema"):
            await home.send(SendMessage("hi", "apollo", response_schema={"type": 3}))


async def test_a_url_is_read_before_the_message_is_accepted(tmp_path: Path) -> None:
    asked: list[tuple[str, bool]] = []

    async def download(url: str, *, loopback: bool) -> Download:
        asked.append((url, loopback))
        return Download(PNG, "text/html; charset=utf-8", "x.png")

    async with rooms(tmp_path) as home:
        home.hub.state.download = download
        sent = await home.send(
            SendMessage("hi", "apollo", parts=(GivenPart("file", url="https://a.example/x"),))
        )
        await home.end_of(sent)
        remote = msgspec.structs.replace(ME, local=False)
        await home.hub.execute(
            remote, SendMessage("hi", "apollo", parts=(GivenPart("image", url="http://b.example"),))
        )
        assert asked == [("https://a.example/x", True), ("http://b.example", False)]
        assert home.driver.sent[0] == ("hi", [PNG])


async def test_a_message_without_parts_has_the_bytes_that_it_always_had() -> None:
    plain = msgspec.json.encode(SendMessage("hi", "apollo")) + msgspec.json.encode(Step("a", "apollo"))
    accepted = msgspec.json.encode(ev.MessageAccepted("m_1", "user", "hi"))
    assert b"parts" not in plain + accepted
    assert b"response_schema" not in plain + accepted


@pytest.mark.parametrize(
    ("said", "content", "is_"),
    [
        ("", PNG, "image/png"),
        ("application/octet-stream", WAV, "audio/wav"),
        ("image/jpg; q=1", JPEG, "image/jpeg"),
        ("audio/mp3", MP3, "audio/mpeg"),
        ("audio/mpeg", b"\xff\xfb\x90\x64rest", "audio/mpeg"),
        ("image/webp", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        ("image/png", PDF, None),
        ("image/png", b"hello", None),
        ("text/html", PNG, None),
        ("text/plain", b"hello", "text/plain"),
        ("image/svg+xml", b"<svg/>", "image/svg+xml"),
        ("", b"hello", "application/octet-stream"),
    ],
)
def test_the_content_decides_what_a_media_type_is_worth(said: str, content: bytes, is_: str | None) -> None:
    assert media_type_of(said, content) == is_
    assert known_type(b"") == ""
