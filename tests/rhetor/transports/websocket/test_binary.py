"""Binary content on sockets: announced and sent, read as the same pair, stored next to the log."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.transports.socket_client import Frame, SocketClient, connected_socket, created
from tests.served import Served, served

from rhetor.domain.command import KeepBlob, StartSession
from rhetor.domain.principal import Principal
from rhetor.errors import StoreRefused
from rhetor.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
OTHER = Principal.person("somebody else", local=True)
WAV = b"RIFF\x00\xff" * 1000
GROUP = "group:reviewers"


def id_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blobs_in(folder: Path) -> dict[str, bytes]:
    kept = folder / "blobs"
    return {path.name: path.read_bytes() for path in kept.iterdir()} if kept.exists() else {}


async def head_of(home: Served, socket_id: str) -> Any:
    listed = (await home.ask("GET", "/api/ai/socket")).json["sockets"]
    return next(s["cursor"] for s in listed if s["socket_id"] == socket_id)


@pytest.mark.parametrize("socket_id", ["team-chat-all", GROUP])
async def test_all_connections_of_a_socket_read_the_pair_that_one_of_them_wrote(
    tmp_path: Path, socket_id: str
) -> None:
    async with (
        served(tmp_path) as home,
        connected_socket(home, socket_id) as one,
        connected_socket(home, socket_id) as two,
    ):
        await one.write_bytes(WAV, **{"from": "ann"})
        frames = [await one.read(), await two.read()]
        assert frames[0] == frames[1]
        place = {name: frames[0][name] for name in ("session_id", "epoch", "seq")}
        assert frames[0] == {
            "type": "read",
            "media_type": "audio/wav",
            "bytes": len(WAV),
            "blob_id": id_of(WAV),
            "from": "ann",
            "headers": ["team-chat-from-ann"],
            "prev": 0,
            "content": WAV,
            **place,
        }
        await two.write("and text after it")
        assert [frame["prev"] for frame in await one.reads(1)] == [place["seq"]]
        assert home.driver.heard[0][1] == "and text after it"
        assert blobs_in(tmp_path) == {id_of(WAV): WAV}
        modes = [
            path.stat().st_mode & 0o777 for path in (tmp_path / "blobs", tmp_path / "blobs" / id_of(WAV))
        ]
        assert modes == [0o700, 0o600]
        events = (await home.ask("GET", f"/api/v2/sessions/{place['session_id']}/events")).json["events"]
        assert [e["data"] for e in events if e["type"] == "blob.kept"] == [
            {"blob_id": id_of(WAV), "media_type": "audio/wav", "bytes": len(WAV), "from": "ann"}
        ]


async def test_binary_content_written_without_readers_is_read_later_in_order(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    parts = [bytes([n]) * (n + 1) for n in range(5)]
    async with served(tmp_path, store=store) as home, connected_socket(home, GROUP) as one:
        for part in parts:
            await one.write_bytes(part)
        assert [frame["content"] for frame in await one.reads(5)] == parts
        cursor = f"{one.all[1]['epoch']}:{one.all[1]['seq']}"
    async with served(tmp_path, store=store) as home, connected_socket(home, GROUP, cursor=cursor) as two:
        assert (await two.read())["outcome"] == "ok"
        assert [frame["content"] for frame in await two.reads(3)] == parts[2:]


async def test_the_largest_frame_is_accepted_and_one_byte_more_is_rejected(tmp_path: Path) -> None:
    largest = os.urandom(1 << 20) * 16
    async with served(tmp_path) as home, connected_socket(home, GROUP) as client:
        await client.write_bytes(largest)
        frame = await client.read()
        assert (frame["bytes"], id_of(frame["content"])) == (16 << 20, id_of(largest))
        await client.send({"type": "write", "media_type": "a/b", "bytes": (16 << 20) + 1})
        frame = await client.read()
        assert (frame["type"], frame["code"], frame["limit"]) == ("error", "too_large", 16 << 20)
        await client.write_bytes(b"small")
        assert (await client.read())["content"] == b"small"


async def test_a_text_only_peer_rejects_binary_content_and_nothing_is_stored(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await created(home)
        for socket_id, peer in (("apollo-1", "apollo"), ("rhetor", "hub:rhetor")):
            async with connected_socket(home, socket_id) as client:
                before = await head_of(home, socket_id)
                for _ in range(12):  # the frame is valid, so it does not count as an invalid one
                    await client.write_bytes(WAV)
                    frame = await client.read()
                    assert (frame["type"], frame["code"], frame["peer"]) == ("error", "text_only", peer)
                assert await head_of(home, socket_id) == before
                await client.write("help")
                assert (await client.read())["type"] == "read"
        assert blobs_in(tmp_path) == {}


ANNOUNCED = {"type": "write", "media_type": "audio/wav", "bytes": 3}


async def test_incomplete_pairs_are_errors_and_the_socket_stays_open(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected_socket(home, GROUP) as client:
        for frames in ([ANNOUNCED, b"1234"], [ANNOUNCED, b""], [b"123"]):
            await client.send(*frames)
            assert await code_of(client) == "malformed"
        await client.send(ANNOUNCED, ANNOUNCED, b"123")
        assert await code_of(client) == "malformed"
        assert (await client.read())["content"] == b"123"
        await client.send(ANNOUNCED)
        await client.write("text in between")
        assert await code_of(client) == "malformed"
        assert {frame["content"] for frame in await client.reads(2)} == {
            f"{name} heard: text in between" for name in ("apollo", "athena")
        }
        await client.send(b"123")
        assert await code_of(client) == "malformed"
        assert blobs_in(tmp_path) == {id_of(b"123"): b"123"}
        for _ in range(3):
            await client.send(b"123")
            assert await code_of(client) == "malformed"
        await client.send(b"123")
        assert await client.closed() == (4501, "too_many_invalid")


async def code_of(client: SocketClient) -> Any:
    frame = await client.read()
    assert frame["type"] == "error"
    return frame["code"]


async def test_a_repeated_command_id_stores_one_blob(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected_socket(home, GROUP) as client:
        await client.write_bytes(WAV, command_id="k")
        await client.write_bytes(WAV, command_id="k")
        frames: list[Frame] = [await client.read() for _ in range(3)]
        accepted = [frame for frame in frames if frame["type"] == "accepted"]
        assert accepted == [{"type": "accepted", "command_id": "k", "blob_id": id_of(WAV)}] * 2
        await client.write_bytes(b"other", command_id="k")
        assert await code_of(client) == "key_reused"


async def test_a_blob_is_served_only_to_its_owner_and_as_an_attachment(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        team = await home.hub.execute(OTHER, StartSession("team:all"))
        theirs = await home.hub.execute(OTHER, KeepBlob(team.id, "text/html", b"<script>"))
        assert (await home.ask("GET", f"/api/v2/blobs/{theirs}")).status == 404
        async with connected_socket(home, "team-chat-all") as client:
            await client.write_bytes(b"<script>", "text/html;charset=utf-8")
            assert (await client.read())["media_type"] == "text/html;charset=utf-8"
        answer = await home.ask("GET", f"/api/v2/blobs/{theirs}")
        assert (answer.status, answer.text) == (200, "<script>")
        shown = {name: answer.headers[name] for name in ("content-type", "x-content-type-options")}
        assert shown == {"content-type": "text/html;charset=utf-8", "x-content-type-options": "nosniff"}
        assert answer.headers["content-disposition"] == f'attachment; filename="{theirs}"'
        for id in ("x", "0" * 64, "..%2Fhub.db"):
            assert (await home.ask("GET", f"/api/v2/blobs/{id}")).status == 404


async def test_missing_or_damaged_content_is_reported_in_its_place(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        async with connected_socket(home, GROUP) as client:
            await client.write_bytes(b"gone")
            await client.write_bytes(b"here")
            first, _ = await client.reads(2)
        for content, damage in ((b"gone", None), (b"here", b"her3")):
            file = tmp_path / "blobs" / id_of(content)
            file.unlink()
            if damage is not None:
                file.write_bytes(damage)
        async with connected_socket(home, GROUP, cursor=f"{first['epoch']}:{first['seq'] - 1}") as client:
            await client.read()
            lost = [await client.read() for _ in range(2)]
        assert [(f["type"], f["code"], f["blob_id"]) for f in lost] == [
            ("error", "not_found", id_of(content)) for content in (b"gone", b"here")
        ]


async def test_blobs_without_an_event_are_deleted_at_startup(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with served(tmp_path, store=store) as home, connected_socket(home, GROUP) as client:
        await client.write_bytes(WAV)
        await client.read()
    left = {id_of(b"left over"): b"left over", f"{id_of(b'x')}.0a0b0c0d": b"half"}
    for name, content in left.items():
        (tmp_path / "blobs" / name).write_bytes(content)
    async with served(tmp_path, store=store):
        assert blobs_in(tmp_path) == {id_of(WAV): WAV}


async def test_content_that_cannot_be_stored_is_rejected_without_an_event(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected_socket(home, GROUP) as client:
        (tmp_path / "blobs").write_text("a file where the folder would be")
        await client.write_bytes(WAV)
        frame = await client.read()
        assert (frame["code"], frame["retryable"]) == (StoreRefused.code, True)
        assert (await head_of(home, GROUP)).endswith(":1")
        (tmp_path / "blobs").unlink()
        await client.write_bytes(WAV)
        assert (await client.read())["content"] == WAV
