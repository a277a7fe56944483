"""The tools that send messages: to one peer, to a team, or through a line of the grammar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from rhetor.background import stop
from rhetor.dialects.bulk import Results
from rhetor.domain import command as c
from rhetor.domain import event as ev
from rhetor.domain.event import Position
from rhetor.domain.plan import Step
from rhetor.domain.routing import Match
from rhetor.domain.session import Session
from rhetor.errors import NoCapablePeer, NotAnswered, PositionLost
from rhetor.hub.plans.plans import Planned
from rhetor.hub.programs.now import running_turns
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.turns.attribution import title_of
from rhetor.store.base import follow
from rhetor.transports.server.large import steps_of
from rhetor.transports.server.problems import failure_of

from .arguments import AskPeer, AssignTask, RunLine, SendToPeer, TeamChat
from .caller import API, McpCaller, Outcome

ABLE = 0.7  # the lowest score of a peer that is assigned a task


async def ask_peer(caller: McpCaller, given: AskPeer) -> Outcome:
    """Send a message, and return the whole answer.

    Raises:
        TurnFailure: the turn did not complete.
        NotAnswered: the answer was not complete within `timeout`. The turn continues if its session is kept.
    """
    accepted: Accepted = await caller.execute(c.SendMessage(given.message, given.peer, given.session_id))
    try:
        async with asyncio.timeout(given.timeout):
            end, said = await _end_of(caller, accepted)
    except TimeoutError:
        assert given.timeout is not None
        raise NotAnswered(accepted.peer, given.timeout, **_place(accepted)) from None
    except asyncio.CancelledError:
        abandon = c.AbandonTurn(accepted.session_id, accepted.turn_id)
        caller.hub.state.background.start(caller.execute(abandon), f"abandon {accepted.turn_id}")
        raise
    return _answer(accepted, end, said)


def _answer(accepted: Accepted, end: ev.TurnEnd, said: str) -> Outcome:
    if not isinstance(end, ev.TurnCompleted):
        raise failure_of(end, accepted, said)
    data = {"response": end.text, **_place(accepted), "finish_reason": end.finish_reason, "usage": end.usage}
    return Outcome(end.text, data)


async def send_message(caller: McpCaller, given: SendToPeer) -> Outcome:
    """Send a message, and return when it is accepted; with `timeout`, first wait that long for the answer.

    A message to a model opens a session that is kept, in which the answer can be read and the conversation
    can be continued.
    """
    window = None if given.session_id else _window(caller, given.peer)
    command = c.SendMessage(given.message, given.peer, given.session_id, window)
    accepted: Accepted = await caller.execute(command)
    if given.timeout is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(given.timeout):
                end, said = await _end_of(caller, accepted)
            return _answer(accepted, end, said)
    return Outcome(_later(accepted), {"status": "accepted", **_place(accepted)})


def _window(caller: McpCaller, target: str) -> int | None:
    state = caller.hub.state
    peer, _ = peers_for(state, caller.who).resolve(target)
    return state.limits.context_window if peer.program is None else None


async def run_line(caller: McpCaller, given: RunLine) -> Outcome:
    """Run a line of the grammar to its end.

    Raises:
        Unprocessable: the line does not follow the grammar, or uses files.
    """
    return await _planned(caller, await steps_of(given.line), given.input)


async def team_chat(caller: McpCaller, given: TeamChat) -> Outcome:
    """Send a message to all members of a team, and return all answers."""
    return await _planned(caller, (Step("team", f"team:{given.team}", given.message),), "")


async def assign_task(caller: McpCaller, given: AssignTask) -> Outcome:
    """Send the task to the peer that has all required capabilities, in a session of its own.

    Raises:
        NoCapablePeer: no peer has all of them.
    """
    names = list(dict.fromkeys(given.required_capabilities))
    peer = _assignee(caller, names, prefers_idle=given.priority == "high")
    metadata = {"task": {"required_capabilities": names, "priority": given.priority}}
    session: Session = await caller.execute(c.StartSession(peer, metadata=metadata))
    accepted: Accepted = await caller.execute(c.SendMessage(given.description, None, session.id))
    data = {"status": "accepted", "priority": given.priority, **_place(accepted)}
    return Outcome(_later(accepted), data)


def _assignee(caller: McpCaller, names: Sequence[str], *, prefers_idle: bool) -> str:
    state = caller.hub.state
    found: dict[str, list[Match]] = {}
    for name in names:
        for match in peers_for(state, caller.who).ranked(name, ABLE):
            found.setdefault(match.peer.name, []).append(match)
    able = [matches for matches in found.values() if len(matches) == len(names)]
    if not able:
        raise NoCapablePeer(", ".join(names))

    def order(matches: list[Match]) -> tuple[bool, float]:
        is_busy = prefers_idle and running_turns(state, matches[0].peer) > 0
        return is_busy, -sum(match.capability.score for match in matches)

    return min(able, key=order)[0].peer.name


async def _end_of(caller: McpCaller, accepted: Accepted) -> tuple[ev.TurnEnd, str]:
    hub = caller.hub
    if caller.report is None:
        with hub.state.presence.waiting_for_end(accepted.session_id):
            return await hub.answer(accepted)
    async with _reporting(caller, accepted.session_id, accepted.after, accepted.turn_id):
        return await hub.answer(accepted)


async def _planned(caller: McpCaller, steps: tuple[Step, ...], input: str) -> Outcome:
    """Run a plan to its end. If the client cancels the request, the plan is stopped.

    The result is an error if a step failed; it has the answers of the others all the same.
    """
    caller.node.charge(caller.who, API, max(0, min(len(steps), caller.node.rates.burst) - 1))
    planned: Planned = await caller.execute(c.StartPlan(steps, input))
    try:
        async with _reporting(caller, planned.plan_id, planned.after):
            results, status, last = await _results(caller, planned)
    except asyncio.CancelledError:
        stopping = caller.execute(c.StopPlan(planned.plan_id))
        caller.hub.state.background.start(stopping, f"stop {planned.plan_id}")
        raise
    data = {"plan_id": planned.plan_id, "status": status, "results": results}
    return Outcome(_text(caller, results, last), data, is_error=status != "completed")


async def _results(caller: McpCaller, planned: Planned) -> tuple[dict[str, Any], str, list[str]]:
    """Return the results by step, the plan's status, and the steps on whose answers no other step depends."""
    results, found, last = Results(), dict[str, Any](), list[str]()
    state = caller.hub.state
    with state.presence.reader(planned.plan_id):
        async for records in follow(state.store, planned.plan_id, planned.after):
            for event in (record.event for record in records):
                found.update(results.add(event))
                match event.payload:
                    case ev.PlanStarted(steps):
                        needed = {name for step in steps for name in step["depends_on"]}
                        last = [step["id"] for step in steps if step["id"] not in needed]
                    case ev.PlanEnded(status):
                        return found, status, last
    raise AssertionError("following does not end")


def _text(caller: McpCaller, results: dict[str, Any], last: Sequence[str]) -> str:
    """Return the answers of the last steps, each under the name of its peer if there are several; and why
    steps failed."""
    answers = [(results[id]["ai"], results[id]["response"]) for id in last if _succeeded(results.get(id))]
    failed = [
        f"{id} failed: {result['error']['detail']}" for id, result in results.items() if "error" in result
    ]
    if len(last) == 1 and answers:
        return "\n".join([answers[0][1], *failed])
    state = caller.hub.state
    return "\n\n".join([*(f"[From {title_of(state, name)}]\n{text}" for name, text in answers), *failed])


def _succeeded(result: dict[str, Any] | None) -> bool:
    return result is not None and result["status"] == "success"


@asynccontextmanager
async def _reporting(
    caller: McpCaller, stream: str, after: Position, turn_id: str | None = None
) -> AsyncIterator[None]:
    """While the context is open, report what happens in the stream, if the client asked for progress."""
    if caller.report is None:
        yield
        return
    work = _report(caller, stream, after, turn_id)
    task = asyncio.create_task(work, name=f"mcp progress {stream}")
    try:
        yield
    finally:
        await stop(task)


async def _report(caller: McpCaller, stream: str, after: Position, turn_id: str | None) -> None:
    assert caller.report is not None
    with suppress(PositionLost):
        async for records in follow(caller.hub.state.store, stream, after):
            events = (r.event for r in records if turn_id is None or r.turn_id == turn_id)
            if told := "".join(map(_told, events)):
                await caller.report(told)


def _told(event: ev.Event) -> str:
    match event.payload:
        case ev.OutputDelta(text, "answer"):
            return text
        case ev.TurnQueued(position):
            return f"queued at position {position}\n"
        case ev.StepStarted(peer=peer) | ev.TurnStarted(peer=peer):
            return f"{peer} is working\n"
        case ev.ToolCalled(name=name):
            return f"uses the tool {name}\n"
        case ev.QuotaPaused(resets_at, reason):
            return f"has reached its usage limit, which resets at {resets_at}: {reason}\n"
        case ev.PermissionAsked(tool="quota" | "budget" as cause, request_id=id):
            return f"is paused ({cause}) until permission request {id} is answered\n"
        case ev.PermissionAsked(tool=tool):
            return f"waits for permission to use {tool}\n"
    return ""


def _place(accepted: Accepted) -> dict[str, Any]:
    return {
        "ai": accepted.peer,
        "session_id": accepted.session_id,
        "turn_id": accepted.turn_id,
        "cursor": str(accepted.after),
    }


def _later(accepted: Accepted) -> str:
    return (
        f"{accepted.peer} has the message, in session {accepted.session_id}. "
        f"Read the answer with read_events, from cursor {accepted.after}."
    )
