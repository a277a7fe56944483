"""`aish.connect()`: peers, sessions, turns, following and permissions, with a hub on real sockets."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

import aish
from aish import live
from aish.live.errors import error_of
from rhetor import errors
from rhetor.auth.access_tokens import elapsed_seconds
from rhetor.domain.identity import ISSUED_SECONDS
from rhetor.domain.output import Done, Text
from rhetor.errors import ProviderCut
from tests.aish.live.connected import connected, follow_until
from tests.issued import issue
from tests.served import TOKEN, served

pytestmark = pytest.mark.anyio


async def test_a_message_is_answered_in_pieces_and_as_a_whole(tmp_path: Path) -> None:
    script = [Text("He "), Text("llo"), Done()]
    async with connected(tmp_path, script) as (_, hub):
        session = await hub.session("apollo-ai", name="review", metadata={"a": 1})
        assert (session.peer, session.name) == ("apollo-ai", "review")
        turn = await session.send("why?")
        assert "".join([piece async for piece in turn.text()]) == "He llo"
        answer = await turn.answer()
        assert (answer.text, str(answer), answer.finish_reason) == ("He llo", "He llo", "stop")
        state = await session.state()
        assert [(m.role, m.content) for m in state.messages] == [("user", "why?"), ("assistant", "He llo")]
        assert state.metadata == {"a": 1}


async def test_connect_starts_no_process_if_a_hub_is_listening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    async with served(tmp_path), aish.connect(str(tmp_path)) as hub:
        assert (await hub.peer("apollo")).id == "apollo"


async def test_peers_are_listed_and_a_message_needs_no_session(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        assert {"apollo", "athena", "prometheus"} <= {peer.id for peer in await hub.peers()}
        assert (await hub.peer("apollo-ci")).capabilities.scores == {"code-analysis": 0.95}
        turn = await hub.send("@code-analysis", "hi")
        assert (turn.peer, (await turn.answer()).text) == ("apollo", "apollo heard: hi")


async def test_a_named_session_is_continued_and_others_are_new(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        opened = await asyncio.gather(
            *(
                hub.session(peer, name="review")
                for peer in ("apollo", "apollo-ai", "@code-analysis", "apollo")
            )
        )
        assert len({session.id for session in opened}) == 1
        others = [await hub.session("apollo"), await hub.session("apollo")]
        assert len({session.id for session in (*opened, *others)}) == 3
        assert (await hub.resume(others[0].id)).peer == "apollo"
        listed = await hub.sessions("apollo")
        assert {session.id for session in listed} == {opened[0].id, *(o.id for o in others)}
        with pytest.raises(live.NameTaken):
            await hub.session("athena", name="review")
        await opened[0].stop()  # an ended session frees its name
        assert (await hub.session("athena", name="review")).peer == "athena"


async def test_a_failed_turn_has_a_reason_and_its_partial_text(tmp_path: Path) -> None:
    script = [Text("Well, "), ProviderCut("it broke off", retryable=True)]
    async with connected(tmp_path, script, script) as (_, hub):
        session = await hub.session("apollo")
        for read in (live.Turn.answer, _joined):
            with pytest.raises(live.TurnFailed) as failed:
                await read(await session.send("hi"))
            error = failed.value
            assert (error.code, error.partial, error.retryable) == ("provider_cut", "Well, ", True)


async def test_an_interrupted_turn_has_an_exception_of_its_own(tmp_path: Path) -> None:
    async with connected(tmp_path, [Text("Well, "), asyncio.Event()]) as (_, hub):
        session = await hub.session("apollo")
        turn = await session.send("hi")
        await follow_until(session.follow(), "output.delta")
        await session.interrupt()
        with pytest.raises((live.TurnCancelled, live.TurnInterrupted)) as ended:
            await turn.answer()
        assert ended.value.partial == "Well, "


async def _joined(turn: live.Turn) -> str:
    return "".join([piece async for piece in turn.text()])


async def test_a_rejected_request_raises_a_typed_exception(tmp_path: Path) -> None:
    async with connected(tmp_path, [asyncio.Event()]) as (_, hub):
        session = await hub.session("apollo")
        await session.send("hi")
        with pytest.raises(live.PeerBusy):
            await session.send("more", if_busy="refuse")
        with pytest.raises(live.UnknownPeer) as unknown:
            await hub.session("nobody")
        assert (unknown.value.status, unknown.value.data["peer"]) == (404, "nobody")
        for refused in (hub.resume("s_never"), session.answer_permission("never", "x")):
            with pytest.raises(live.NotFound):
                await refused
        with pytest.raises(live.NotFound):
            await anext(hub.follow("s_never"))
        with pytest.raises(live.Invalid):
            await anext(session.follow(after="nonsense"))
        with pytest.raises(live.Invalid):
            await session.send(" ")
        await session.stop()
        with pytest.raises(live.SessionOver):
            await session.send("again")


async def test_the_same_command_id_gives_the_same_turn_and_rejects_another_message(
    tmp_path: Path,
) -> None:
    async with connected(tmp_path) as (home, hub):
        session = await hub.session("apollo")
        turns = [await session.send("hi", command_id="k") for _ in range(3)]
        assert len({turn.id for turn in turns}) == 1
        with pytest.raises(live.Conflict) as reused:
            await session.send("ho", command_id="k")
        assert reused.value.code == "key_reused"
        await turns[0].answer()
        assert home.driver.heard == [("apollo", "hi")]


async def test_a_hub_at_a_url_requires_a_token(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        async with aish.connect(url=home.node.url, token=TOKEN) as hub:
            session = await hub.session("apollo")
            assert (await (await session.send("hi")).answer()).text == "apollo heard: hi"
        async with aish.connect(url=home.node.url, token="wrong") as hub:
            for asked in (hub.peers(), anext(hub.follow(session.id))):
                with pytest.raises(live.Denied):
                    await asked


@pytest.mark.long
@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_a_token_that_is_no_longer_valid_ends_what_follows(tmp_path: Path, how: str) -> None:
    async with served(tmp_path) as home:
        token = await issue(home, "ci", "read", "send")
        async with aish.connect(url=home.node.url, token=token) as hub:
            follow = (await hub.session("apollo")).follow()
            await anext(follow)
            if how == "revoked":
                await home.ask("DELETE", "/api/v2/tokens/ci")
            else:
                tokens, later = home.node.access_tokens, ISSUED_SECONDS + 60
                tokens._elapsed = lambda: elapsed_seconds() + later
                tokens._clock = lambda: time.time() + later
            with pytest.raises(live.Denied):
                async for _ in follow:
                    pass


async def test_an_exception_in_the_block_is_raised_unchanged(tmp_path: Path) -> None:
    async with served(tmp_path):
        with pytest.raises(ZeroDivisionError):
            async with aish.connect(str(tmp_path), start=False) as hub:
                follow = (await hub.session("apollo")).follow()
                await anext(follow)
                raise ZeroDivisionError


async def test_calls_on_a_closed_connection_raise_denied(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        session = await hub.session("apollo")
    for asked in (hub.peers(), session.send("hi")):
        with pytest.raises(live.Denied) as refused:
            await asked
        assert refused.value.code == "closed"


@pytest.mark.parametrize("url", ["127.0.0.1:8300", "localhost", "ftp://x", ""])
async def test_an_invalid_url_is_rejected_at_once(url: str) -> None:
    with pytest.raises(live.Invalid):
        async with aish.connect(url=url, token=TOKEN):
            pass


async def test_a_token_may_end_with_a_newline(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as home,
        aish.connect(url=f"http://127.0.0.1:{home.port}", token=f"{TOKEN}\n") as hub,
    ):
        assert "apollo" in [peer.id for peer in await hub.peers()]


def test_every_error_code_of_the_hub_has_an_exception_class() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.RhetorError)]
    of_turns = {k.code for k in kinds if issubclass(k, errors.TurnFailure)}
    hidden = of_turns | {"internal", "invalid_settings"}
    seen = {k.code: error_of({"code": k.code}, k.status) for k in kinds if k.code not in hidden}
    assert [code for code, error in seen.items() if type(error) is live.HubError] == []
    known = {"unknown_peer": live.UnknownPeer, "peer_busy": live.PeerBusy, "session_over": live.SessionOver}
    assert {code: type(seen[code]) for code in known} == known
    assert type(error_of({"code": "new"}, 409)) is live.Conflict


def test_the_shell_does_not_import_the_python_client() -> None:
    code = (
        "import sys, aish, aish.cli, aish.turns.message; print({'asyncio', 'aish.live'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
    assert aish.connect is live.connect
    with pytest.raises(AttributeError):
        _ = aish.never
