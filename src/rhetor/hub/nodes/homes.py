"""At which node each command is executed: where its session, its plan or its peer is.

What is only in the database and is the same for all nodes, such as teams, forwards and tokens, is changed by
the node that gets the command. The others read it there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from rhetor.domain import command as c
from rhetor.domain import rule_commands as a
from rhetor.domain import token_commands as t
from rhetor.domain.principal import Principal
from rhetor.errors import NotFound, RhetorError
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.schedules.schedules import schedule_of
from rhetor.hub.sessions.delivery import home_of_default_session, home_of_message, home_of_session
from rhetor.hub.sessions.sockets import session_of_socket
from rhetor.hub.state import State

Home = Callable[[State, Principal, Any], Awaitable[str]]


async def home_of(state: State, principal: Principal, command: Any) -> str:
    """Return the node that executes a client's command. If what it is about does not exist, that is this
    node, which rejects it.

    Raises:
        StoreRefused: the database cannot be read now.
    """
    return await HOMES[type(command)](state, principal, command)


async def _here(state: State, principal: Principal, command: Any) -> str:
    return state.nodes.own


async def _of_session(state: State, principal: Principal, command: Any) -> str:
    return await home_of_session(state, principal, command.session_id)


async def _of_stream(state: State, principal: Principal, command: c.AnswerTool | c.AnswerPermission) -> str:
    return await state.nodes.owner(command.stream)


async def _of_plan(state: State, principal: Principal, command: c.StopPlan) -> str:
    return await state.nodes.owner(command.plan_id)


async def _of_turn(state: State, principal: Principal, command: c.ForgetResponse) -> str:
    row = await state.store.get("turn", command.turn_id)
    return state.nodes.own if row is None else await state.nodes.owner(row.parent)


async def _of_socket(state: State, principal: Principal, command: c.CloseSocket) -> str:
    session_id = await session_of_socket(state, principal, command.socket_id)
    return state.nodes.own if session_id is None else await state.nodes.owner(session_id)


async def _of_new_session(state: State, principal: Principal, command: c.StartSession | c.OpenSocket) -> str:
    try:
        peer, _ = peers_for(state, principal).resolve(command.peer or state.limits.default_peer)
    except RhetorError:
        return state.nodes.own
    return state.nodes.of_peer(peer.name)


async def _of_launch(state: State, principal: Principal, command: c.LaunchTool) -> str:
    try:
        peer = peers_for(state, principal).get(command.name)
    except RhetorError:
        return state.nodes.own
    if command.session is None:
        return await home_of_default_session(state, principal, peer, command.cwd)
    node = state.nodes.of_peer(peer.name)
    return await home_of_session(state, principal, command.session) if node == state.nodes.own else node


async def _of_program(state: State, principal: Principal, command: c.EndProgram) -> str:
    return state.nodes.of_peer(command.name)  # of a configured program, each node ends its own


async def _of_machine(state: State, principal: Principal, command: a.RemoveMachine) -> str:
    return state.nodes.of_peer(f"machine:{command.name}")


async def _of_schedule(state: State, principal: Principal, command: Any) -> str:
    try:
        schedule = schedule_of(state, principal, command.name)
    except NotFound:  # this node rejects the command, or begins the schedule
        return state.nodes.own
    return await state.nodes.owner(schedule.session_id)


HOMES: dict[type, Home] = {
    c.SendMessage: home_of_message,
    c.StartSession: _of_new_session,
    c.PauseSession: _of_session,
    c.ResumeSession: _of_session,
    c.InterruptSession: _of_session,
    c.AbandonTurn: _of_session,
    c.CancelTurn: _of_session,
    c.ForgetResponse: _of_turn,
    c.SaveSession: _of_session,
    c.StopSession: _of_session,
    c.ShareSession: _of_session,
    c.UnshareSession: _of_session,
    c.MakeCheckpoint: _of_session,
    c.RestoreSession: _of_session,
    c.ForkSession: _of_session,
    c.ImportSessions: _here,
    c.StartPlan: _here,
    c.StopPlan: _of_plan,
    c.AnswerTool: _of_stream,
    c.AnswerPermission: _of_stream,
    c.AnnounceProgram: _here,
    c.LaunchTool: _of_launch,
    c.EndProgram: _of_program,
    c.OpenSocket: _of_new_session,
    c.CloseSocket: _of_socket,
    c.KeepBlob: _of_session,
    c.UploadBlob: _here,
    c.MakeTeam: _here,
    c.ChangeTeam: _here,
    c.DropTeam: _here,
    a.PutForward: _here,
    a.RemoveForward: _here,
    a.PutTerminal: _here,
    a.RemoveTerminal: _here,
    a.PutRoute: _here,
    a.RemoveRoute: _here,
    a.SendRoute: _here,
    a.PutSchedule: _of_schedule,
    a.PauseSchedule: _of_schedule,
    a.ResumeSchedule: _of_schedule,
    a.RemoveSchedule: _of_schedule,
    a.RunSchedule: _of_schedule,
    a.StageContext: _here,
    a.PromoteContext: _here,
    a.ClearContext: _here,
    a.PutPurpose: _here,
    a.PutAlias: _here,
    a.RemoveAlias: _here,
    a.PutNote: _here,
    a.TakeNote: _here,
    a.ClearTray: _here,
    a.AddToolServer: _here,
    a.RemoveToolServer: _here,
    a.CreateProject: _here,
    a.ChangeProject: _here,
    a.PutBudget: _here,
    a.RemoveBudget: _here,
    a.RemoveMachine: _of_machine,
    t.IssueToken: _here,
    t.RevokeToken: _here,
    t.RotateSigningKey: _here,
}
