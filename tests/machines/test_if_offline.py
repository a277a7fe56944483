"""Messages to a peer whose machine is away: rejected, or accepted to wait, over each API that sends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from rhetor.domain.machine import JoinedMachine, Offer
from tests.rhetor.transports.socketio.hub_talker import connecting
from tests.served import TOKEN, Served, served

pytestmark = pytest.mark.anyio
PEER = "worker@build1"
RESPOND_ASYNC = {"prefer": "respond-async"}


@asynccontextmanager
async def away(folder: Path) -> AsyncIterator[tuple[Served, str]]:
    """A hub with a machine that is not connected, and a session with its agent."""
    async with served(folder) as home:
        state = home.hub.state
        offer = Offer("worker", "claude", "claude", "/home/ci")
        machine = JoinedMachine("build1", "0" * 64, 1, 1, offers=(offer,))
        state.machines.put(machine)
        state.peers.join("build1", machine.peers)
        made = await home.ask("POST", "/api/v2/sessions", {"specialist_id": PEER, "name": "w"})
        assert made.status == 200, made.text
        yield home, made.json["id"]


async def test_rest_rejects_the_message_unless_it_may_wait(tmp_path: Path) -> None:
    async with away(tmp_path) as (home, session):
        for path, body in (
            (f"/api/v2/ai/{PEER}/message", {"content": "hi"}),
            (f"/api/v2/ai/{PEER}/stream", {"content": "hi"}),
            (f"/api/v2/sessions/{session}/message", {"message": "hi"}),
        ):
            refused = await home.ask("POST", path, body)
            assert (refused.status, refused.json["code"]) == (503, "machine_offline"), path
            assert refused.json["retryable"] is True
            waits = {**body, "if_offline": "queue"}
            accepted = (
                await home.ask("POST", path, waits, headers=RESPOND_ASYNC) if "stream" not in path else None
            )
            assert accepted is None or accepted.status == 202, path
        wrong = await home.ask("POST", f"/api/v2/ai/{PEER}/message", {"content": "hi", "if_offline": "later"})
        assert wrong.status == 422


async def test_what_waits_is_queued_and_can_be_cancelled(tmp_path: Path) -> None:
    async with away(tmp_path) as (home, session):
        body = {"message": "hi", "if_offline": "queue"}
        accepted = await home.ask("POST", f"/api/v2/sessions/{session}/message", body, headers=RESPOND_ASYNC)
        payloads = await home.log(session)
        assert "turn.queued" in [payload.type for payload in payloads]
        turn = accepted.json["turn_id"]
        cancelled = await home.ask("POST", f"/api/v2/sessions/{session}/turns/{turn}/abandon")
        assert cancelled.status == 200, cancelled.text
        await home.seen(session, lambda payload: payload.type == "turn.cancelled")


async def test_json_rpc_sockets_reject_and_queue(tmp_path: Path) -> None:
    async with away(tmp_path) as (home, _):
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with connect(f"ws://127.0.0.1:{home.port}/ws/ai/{PEER}", additional_headers=headers) as socket:
            for more, wanted in (({}, "machine_offline"), ({"if_offline": "queue"}, None)):
                call = {
                    "jsonrpc": "2.0",
                    "id": 1,
                    "method": "stream",
                    "params": {"message": "hi", **more},
                }
                await socket.send(json.dumps(call))
                reply = await _reply(socket)
                assert (reply.get("error") or {}).get("data", {}).get("code") == wanted, reply


async def _reply(socket: Any) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = json.loads(await socket.recv())
        if "id" in frame:
            return frame


async def test_socketio_rejects_and_queues(tmp_path: Path) -> None:
    async with (
        away(tmp_path) as (home, session),
        connecting(home, authorization=f"Bearer {TOKEN}") as talker,
    ):
        await talker.connect()
        refused = await talker.request("send", session_id=session, content="hi")
        assert refused["code"] == "machine_offline"
        accepted = await talker.request("send", session_id=session, content="hi", if_offline="queue")
        assert "turn_id" in accepted, accepted


async def test_a_plan_fails_at_the_step_whose_machine_is_away(tmp_path: Path) -> None:
    async with away(tmp_path) as (home, _):
        step = {"id": "a", "ai": PEER, "message": "hi"}
        made = await home.ask("POST", "/api/v2/plans", {"steps": [step]}, headers=RESPOND_ASYNC)
        failed = await home.seen(made.json["plan_id"], lambda payload: payload.type == "step.failed")
        assert failed[-1].code == "machine_offline"  # type: ignore[union-attr]


async def test_what_needs_the_machine_now_is_rejected(tmp_path: Path) -> None:
    async with away(tmp_path) as (home, _):
        refused = await home.ask("POST", f"/api/v2/tools/{PEER}/launch", {})
        assert (refused.status, refused.json["code"]) == (503, "machine_offline")
        status = await home.status(PEER)
        assert status["status"] == "offline"
        assert "build1 is offline: " in status["evidence"]
