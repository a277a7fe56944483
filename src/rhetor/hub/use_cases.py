"""All use cases that callers of the hub's APIs can execute, each with the scope that it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from rhetor.domain import command as c
from rhetor.domain import rule_commands as a
from rhetor.domain import token_commands as t
from rhetor.domain.principal import ADMIN, APPROVE, READ, SEND, Principal

from . import budgets, tool_servers
from .forwarding import aliases, context, forwards, inbox, terminals
from .identity import grants, signing_keys
from .machines import joining
from .plans import line_turn, plans, routes, teams
from .programs import lifecycle
from .schedules import schedules
from .sessions import (
    blobs,
    checkpoints,
    forks,
    imports,
    interrupts,
    projects,
    responses,
    restores,
    sessions,
    shares,
    sockets,
    uploads,
)
from .state import State
from .turns import answers


class UseCase(NamedTuple):
    """What executes a command, and the scope that its caller needs. Some reject peers' programs besides."""

    scope: str
    run: Callable[[State, Principal, Any], Awaitable[Any]]


USE_CASES: dict[type, UseCase] = {
    c.SendMessage: UseCase(SEND, line_turn.send),
    c.StartSession: UseCase(SEND, sessions.start),
    c.PauseSession: UseCase(SEND, sessions.pause),
    c.ResumeSession: UseCase(SEND, sessions.resume),
    c.InterruptSession: UseCase(SEND, interrupts.interrupt),
    c.AbandonTurn: UseCase(SEND, interrupts.abandon),
    c.CancelTurn: UseCase(SEND, interrupts.cancel),
    c.ForgetResponse: UseCase(SEND, responses.forget),
    c.SaveSession: UseCase(SEND, sessions.save),
    c.StopSession: UseCase(SEND, sessions.stop),
    c.ShareSession: UseCase(SEND, shares.share),
    c.UnshareSession: UseCase(SEND, shares.unshare),
    c.MakeCheckpoint: UseCase(SEND, checkpoints.checkpoint),
    c.RestoreSession: UseCase(SEND, restores.restore),
    c.ForkSession: UseCase(SEND, forks.fork),
    c.ImportSessions: UseCase(ADMIN, imports.import_sessions),
    c.StartPlan: UseCase(SEND, plans.start),
    c.StopPlan: UseCase(SEND, plans.stop),
    c.AnswerTool: UseCase(SEND, answers.answer_tool),
    c.AnswerPermission: UseCase(APPROVE, answers.answer_permission),
    c.AnnounceProgram: UseCase(ADMIN, lifecycle.announce),
    c.LaunchTool: UseCase(SEND, lifecycle.launch),
    c.EndProgram: UseCase(SEND, lifecycle.end),
    c.OpenSocket: UseCase(SEND, sockets.open_socket),
    c.CloseSocket: UseCase(SEND, sockets.close),
    c.KeepBlob: UseCase(SEND, blobs.keep),
    c.UploadBlob: UseCase(SEND, uploads.upload),
    c.MakeTeam: UseCase(ADMIN, teams.make),
    c.ChangeTeam: UseCase(ADMIN, teams.change),
    c.DropTeam: UseCase(ADMIN, teams.drop),
    a.PutForward: UseCase(SEND, forwards.put),
    a.RemoveForward: UseCase(SEND, forwards.remove),
    a.PutTerminal: UseCase(SEND, terminals.put),
    a.RemoveTerminal: UseCase(SEND, terminals.remove),
    a.PutRoute: UseCase(SEND, routes.put),
    a.RemoveRoute: UseCase(SEND, routes.remove),
    a.SendRoute: UseCase(SEND, routes.send),
    a.PutSchedule: UseCase(SEND, schedules.put),
    a.PauseSchedule: UseCase(SEND, schedules.pause),
    a.ResumeSchedule: UseCase(SEND, schedules.resume),
    a.RemoveSchedule: UseCase(SEND, schedules.remove),
    a.RunSchedule: UseCase(SEND, schedules.run),
    a.StageContext: UseCase(SEND, context.stage),
    a.PromoteContext: UseCase(SEND, context.promote),
    a.ClearContext: UseCase(SEND, context.clear),
    a.PutPurpose: UseCase(SEND, context.put_purpose),
    a.PutAlias: UseCase(SEND, aliases.put),
    a.RemoveAlias: UseCase(SEND, aliases.remove),
    a.PutNote: UseCase(SEND, inbox.put),
    a.TakeNote: UseCase(SEND, inbox.take),
    a.ClearTray: UseCase(SEND, inbox.clear),
    a.AddToolServer: UseCase(ADMIN, tool_servers.add),
    a.RemoveToolServer: UseCase(ADMIN, tool_servers.remove),
    a.CreateProject: UseCase(ADMIN, projects.create),
    a.ChangeProject: UseCase(ADMIN, projects.change),
    a.PutBudget: UseCase(ADMIN, budgets.put),
    a.RemoveBudget: UseCase(ADMIN, budgets.remove),
    a.RemoveMachine: UseCase(ADMIN, joining.remove),
    t.IssueToken: UseCase(READ, grants.issue),  # of at most the caller's own scopes
    t.RevokeToken: UseCase(ADMIN, grants.revoke),
    t.RotateSigningKey: UseCase(ADMIN, signing_keys.rotate),
}
