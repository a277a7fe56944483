"""Which commands have entries in the audit, and what the entries say about them.

These are all that need the scope `approve` or `admin`, and those that start and end programs, share sessions,
issue tokens and change schedules. Messages have entries only if `audit.messages` is set. No entry has the
content of a message, an answer to a question, or a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rhetor.domain import command as c
from rhetor.domain import rule_commands as a
from rhetor.domain import token_commands as t
from rhetor.domain.audit import PERMISSION_ANSWER
from rhetor.domain.secrets import masked_url


class Audited(NamedTuple):
    """`action`: its name. `target` and `detail` return what an entry says about a command. `is_message`: it
    has an entry only with `audit.messages`."""

    action: str
    target: Callable[[Any], str]
    detail: Callable[[Any], str] = lambda command: ""
    is_message: bool = False


def _named(command: Any) -> str:
    return str(command.name)


def _session(command: Any) -> str:
    return str(command.session_id)


def _members(command: c.MakeTeam | c.ChangeTeam) -> str:
    return ",".join(command.members)


def _answer(command: c.AnswerPermission) -> str:
    return "answers" if command.option_id is None else command.option_id


def _budget(command: a.PutBudget) -> str:
    return ", ".join(f"{measure} {limit}" for measure, limit in command.budget.limits)


def _executable(command: c.AnnounceProgram) -> str:
    """Return what is run, without its arguments, which may contain secrets."""
    return next(iter(command.argv), "")


def _place(command: a.AddToolServer) -> str:
    server = command.server
    return masked_url(server.url) if server.url else next(iter(server.command), "")


def _settings(command: a.CreateProject | a.ChangeProject) -> str:
    """Return the rules in the settings that answer permission requests."""
    rules = command.settings.permissions
    said = ((verdict, getattr(rules, verdict)) for verdict in ("allow", "ask", "deny"))
    return "; ".join(f"{verdict} {','.join(names)}" for verdict, names in said if names)


def _times(command: a.PutSchedule) -> str:
    return f"{command.cron} {command.zone}".rstrip()


def _recipient(command: c.SendMessage) -> str:
    return command.target or command.session_id or ""


def _recipients(command: c.StartPlan) -> str:
    return ",".join(dict.fromkeys(step.target for step in command.steps))


def _scopes(command: c.ShareSession) -> str:
    return f"{command.subject}: {','.join(command.scopes)}"


def _grant(command: t.IssueToken) -> str:
    scopes = "own scopes" if command.scopes is None else ",".join(command.scopes)
    return f"{command.subject}: {scopes}" if command.subject else scopes


AUDITED: Mapping[type, Audited] = {
    c.AnswerPermission: Audited(
        PERMISSION_ANSWER, lambda command: f"{command.stream}/{command.request_id}", _answer
    ),
    c.AnnounceProgram: Audited("program.announce", _named, _executable),
    c.LaunchTool: Audited("program.launch", _named),
    c.EndProgram: Audited("program.end", _named, lambda command: "force" if command.force else ""),
    c.MakeTeam: Audited("team.create", _named, _members),
    c.ChangeTeam: Audited("team.change", _named, _members),
    c.DropTeam: Audited("team.remove", _named),
    c.ShareSession: Audited("session.share", _session, _scopes),
    c.UnshareSession: Audited("session.unshare", _session, lambda command: str(command.subject)),
    c.ImportSessions: Audited("sessions.import", lambda command: command.tool or ""),
    a.AddToolServer: Audited("tool_server.add", lambda command: str(command.server.name), _place),
    a.RemoveToolServer: Audited("tool_server.remove", _named),
    a.CreateProject: Audited("project.create", _named, _settings),
    a.ChangeProject: Audited("project.change", _named, _settings),
    a.PutBudget: Audited("budget.set", lambda command: str(command.budget.name), _budget),
    a.RemoveBudget: Audited("budget.remove", _named),
    a.PutSchedule: Audited("schedule.set", _named, _times),
    a.PauseSchedule: Audited("schedule.pause", _named),
    a.ResumeSchedule: Audited("schedule.resume", _named),
    a.RemoveSchedule: Audited("schedule.remove", _named),
    a.RunSchedule: Audited("schedule.run", _named, lambda command: "now"),
    a.RemoveMachine: Audited("machine.remove", _named),
    t.IssueToken: Audited("token.issue", lambda command: command.name or "", _grant),
    t.RevokeToken: Audited("token.revoke", _named),
    t.RotateSigningKey: Audited("signing_key.rotate", lambda command: ""),
    c.SendMessage: Audited("message.send", _recipient, is_message=True),
    c.StartPlan: Audited("plan.start", _recipients, is_message=True),
    c.KeepBlob: Audited("blob.send", _session, is_message=True),
    c.UploadBlob: Audited("blob.upload", lambda command: str(command.media_type), is_message=True),
    a.SendRoute: Audited("route.send", _named, is_message=True),
}


def name_of(command: c.Command) -> str:
    """Return what the audit calls a command that was refused."""
    audited = AUDITED.get(type(command))
    return audited.action if audited else re.sub(r"(?<!^)(?=[A-Z])", "_", type(command).__name__).lower()
