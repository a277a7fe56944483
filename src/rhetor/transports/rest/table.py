"""All HTTP routes: who may use each one, the types of its request and response, and its errors."""

from __future__ import annotations

from typing import Any

from rhetor import errors as e
from rhetor.auth.policy import Policy
from rhetor.transports.server.node import RELOAD
from rhetor.transports.server.router import Route, Streams

from . import (
    aliases,
    analytics,
    audit,
    blobs,
    budgets,
    checkpoints,
    configuration,
    data_keys,
    forwards,
    history,
    inbox,
    keys,
    management,
    metrics,
    notifications,
    page,
    peers,
    plans,
    programs,
    projects,
    requests,
    routes,
    schedules,
    sessions,
    sockets,
    specialists,
    system,
    tokens,
    tool_servers,
)
from . import bodies as b
from . import responses as a

PUBLIC, PERSON, OWNER = Policy.PUBLIC, Policy.PERSON, Policy.OWNER
READ, SEND, APPROVE, ADMIN = Policy.READ, Policy.SEND, Policy.APPROVE, Policy.ADMIN
ALWAYS, ASKED = Streams.ALWAYS, Streams.ASKED
Errors = tuple[type[e.RhetorError], ...]

STORED: Errors = (e.StoreRefused, e.ShuttingDown)
SEALED: Errors = (e.SealBroken, e.KeysUnavailable)
PEER: Errors = (e.UnknownPeer, e.NoCapablePeer)
BEGUN: Errors = (e.TooManyTurns, e.TokensExceeded)
GIVEN: Errors = (e.Unprocessable, e.Unsupported, e.UnknownModel, e.ProviderFailed, e.BlobsFull, e.TooLarge)
SENT: Errors = (
    *PEER,
    e.NotFound,
    e.PeerBusy,
    e.SessionOver,
    e.KeyReused,
    e.EnvironmentDiffers,
    *BEGUN,
    *GIVEN,
    *STORED,
)
CONFIGURED: Errors = (e.InvalidSettings, e.StateConflict, *STORED)
FOUND: Errors = (e.NotFound, *STORED)
LOOKED_FOR: Errors = (e.NotFound, e.UnknownPeer)
PLACE: Errors = (e.NotFound, e.PositionLost, *STORED)
CURSOR: Errors = (*PLACE, e.MalformedCursor)
CHANGED: Errors = (e.NotFound, e.SessionOver, e.StateConflict, *STORED)
PLANNED: Errors = (*SENT, e.UnknownTeam, e.HopLimit)
ROUTED: Errors = (*PEER, e.NotFound, e.UnknownTeam, e.HopLimit, e.Unprocessable, *BEGUN, *STORED)
SCHEDULED: Errors = (
    *PEER,
    e.NotFound,
    e.UnknownTeam,
    e.HopLimit,
    e.CannotSchedule,
    e.Unprocessable,
    e.NameTaken,
    e.TooManySchedules,
    e.UnknownModel,
    e.StateConflict,
    *STORED,
)
ANSWERED: Errors = (e.NotFound, e.StateConflict, e.KeyReused, e.Unprocessable, *STORED)
PROGRAM: Errors = (e.ProgramMissing, e.ProgramRefused, e.HostSilent)
ANSWER: Errors = (*SENT, *PROGRAM, e.NotRunning, e.TurnFailure, e.ProviderTimeout)
ENDED: Errors = (e.UnknownPeer, e.NotRunning, e.HostSilent, *STORED)
GROUP: Errors = (e.UnknownTeam, e.TeamConfigured, *STORED)
CONTEXT: Errors = (*PEER, e.Unprocessable, e.StateConflict, *STORED)
TRAY: Errors = (e.UnknownPeer, e.Unprocessable)
PURPOSE: Errors = (e.UnknownPeer, *STORED)
FORKED: Errors = (
    *PLACE,
    *PROGRAM,
    e.NameTaken,
    e.ForkUnsupported,
    e.PeerBusy,
    e.UnknownPeer,
    e.Unprocessable,
    e.TurnFailure,
    e.FilesMissing,
    e.FolderTaken,
    e.FolderForbidden,
    e.NoRepository,
)

TURN: dict[str, Any] = {"headers": ("x-session-id", "x-turn-id", "x-cursor")}
MESSAGE = {**TURN, "later": a.Accepted}
STREAM = {**TURN, "streams": ALWAYS}
PLAN: dict[str, Any] = {"headers": ("x-plan-id", "x-cursor")}
PLAN_STREAM = {**PLAN, "streams": ALWAYS, "later": a.PlanStarted}

# fmt: off
ROUTES = (
    Route("GET", "/healthz", PUBLIC, system.healthz, answer=a.Status),
    Route("GET", "/readyz", READ, system.readyz, answer=a.Status, errors=(e.ShuttingDown,)),
    Route("GET", "/metrics", ADMIN, metrics.metrics, answer=str),
    Route("GET", "/openapi.json", READ, system.openapi, answer=dict[str, Any]),
    Route("GET", "/api/capabilities", READ, system.capabilities, answer=a.Capabilities),
    Route("GET", "/api/v2/status", READ, system.status, answer=a.HubStatus),
    Route("GET", "/api/v2/whoami", READ, system.whoami, answer=a.WhoAmI),
    Route("PUT", "/api/v2/environment", OWNER, system.take_environment, b.EnvironmentBody, a.Fingerprint,
          STORED, action="environment.replace"),
    Route("POST", "/api/v2/reload", OWNER, system.reload, answer=a.Reloaded,
          errors=(e.InvalidSettings, *STORED), action=RELOAD),
    Route("GET", "/api/v2/config", ADMIN, configuration.show, answer=a.Config),
    Route("PATCH", "/api/v2/config", ADMIN, configuration.change, b.ConfigBody, a.ConfigChanged, CONFIGURED,
          body_bytes=3 << 20, action="config.change"),
    Route("GET", "/api/v2/config/file", OWNER, configuration.read_text, answer=a.ConfigText,
          errors=(e.InvalidSettings,)),
    Route("PUT", "/api/v2/config/file", OWNER, configuration.put_text, b.ConfigTextBody, a.ConfigChanged,
          CONFIGURED, body_bytes=3 << 20, action="config.replace"),
    Route("GET", "/api/v2/keys", ADMIN, keys.list_keys, answer=a.Keys,
          errors=(e.KeysUnavailable, e.EnvironmentDiffers)),
    Route("PUT", "/api/v2/keys/{name}", ADMIN, keys.put_key, b.KeyBody, a.Key,
          (e.KeysUnavailable, e.EnvironmentDiffers, *FOUND), action="key.set"),
    Route("DELETE", "/api/v2/keys/{name}", ADMIN, keys.remove_key, None, a.KeyRemoved,
          (e.KeysUnavailable, *FOUND), action="key.remove"),
    Route("GET", "/api/v2/specialists", READ, specialists.list_specialists, answer=a.Specialists),
    Route("POST", "/api/v2/specialists", ADMIN, specialists.add, b.SpecialistBody, a.Specialist,
          (e.NameTaken, *CONFIGURED), action="specialist.add"),
    Route("GET", "/api/v2/specialists/{name}", READ, specialists.one_specialist, None, a.Specialist,
          (e.NotFound,)),
    Route("PATCH", "/api/v2/specialists/{name}", ADMIN, specialists.change, b.SpecialistChangeBody,
          a.Specialist, (e.NotFound, *CONFIGURED), action="specialist.change"),
    Route("DELETE", "/api/v2/specialists/{name}", ADMIN, specialists.remove, None, a.SpecialistRemoved,
          (e.NotFound, *CONFIGURED), action="specialist.remove"),
    Route("POST", "/api/v2/shutdown", OWNER, system.shutdown, answer=a.Status, errors=STORED, status=202,
          action="hub.stop"),
    Route("GET", "/api/v2/data-keys", ADMIN, data_keys.listed, answer=a.DataKeys,
          errors=(e.KeysUnavailable,)),
    Route("POST", "/api/v2/data-keys/rotate", OWNER, data_keys.rotate, answer=a.DataKeyRotated,
          errors=(e.KeysUnavailable, *STORED), action="data_key.rotate"),
    Route("GET", "/api/v2/audit", ADMIN, audit.read_audit, answer=a.Audit, query=b.AuditQuery),
    Route("POST", "/api/v2/audit", OWNER, audit.note_command, b.AuditNoteBody, a.Status, STORED),
    Route("POST", "/api/auth/code", PERSON, system.issue_code, answer=a.Code, errors=STORED,
          action="login.code"),
    Route("GET", "/api/v2/prompt", OWNER, system.prompt_history, answer=a.PromptLines, errors=SEALED),
    Route("POST", "/api/v2/prompt", OWNER, system.add_to_prompt_history, b.PromptLineBody, a.PromptKept,
          SEALED),
    Route("POST", "/api/auth/token", PERSON, tokens.token, b.TokenBody, a.Tokens, (e.TooManyTokens, *STORED)),
    Route("POST", "/api/auth/refresh", PUBLIC, tokens.refresh, b.RefreshBody, a.Tokens,
          (e.InvalidGrant, *STORED)),
    Route("POST", "/api/auth/revoke", PUBLIC, tokens.revoke, b.RevokeBody, status=204, errors=STORED),
    Route("GET", "/.well-known/jwks.json", PUBLIC, tokens.public_keys, answer=a.PublicKeys),
    Route("GET", "/api/v2/tokens", OWNER, tokens.list_tokens, answer=a.NamedTokens),
    Route("POST", "/api/v2/tokens", OWNER, tokens.issue, b.NamedTokenBody, a.IssuedToken,
          (e.NameTaken, e.TooManyTokens, *STORED)),
    Route("DELETE", "/api/v2/tokens/{name}", OWNER, tokens.revoke_named, None, a.TokenRevoked, FOUND),
    Route("POST", "/api/v2/signing-keys/rotate", OWNER, tokens.rotate, answer=a.SigningKeyRotated,
          errors=STORED),
    Route("GET", "/login", PUBLIC, system.login, None, None, STORED, b.LoginQuery, status=303,
          headers=("location", "set-cookie")),

    Route("GET", "/", READ, page.front, answer=a.Html),

    Route("GET", "/api/v2/ai", READ, peers.list_peers, answer=a.Peers),
    Route("GET", "/api/v2/ai/{id}", READ, peers.one_peer, answer=a.Peer, errors=PEER),
    Route("GET", "/api/v1/ai", READ, peers.list_peers, answer=a.Peers),
    Route("GET", "/api/v1/ai/{id}", READ, peers.one_peer, answer=a.Peer, errors=PEER),
    Route("POST", "/api/v1/ai/{id}/message", SEND, peers.message, b.MessageBody, a.Reply, ANSWER, **MESSAGE),
    Route("POST", "/api/v2/ai/{id}/message", SEND, peers.message, b.MessageBody, a.Reply, ANSWER, **MESSAGE),
    Route("POST", "/api/v2/ai/{id}/stream", SEND, peers.stream, b.MessageBody, None, SENT, b.EventsQuery,
          **STREAM),
    Route("GET", "/api/v2/ai/{id}/status", READ, programs.status, answer=a.ProgramStatus, errors=PEER),
    Route("POST", "/api/v2/wait", READ, programs.wait, b.WaitBody, a.Waited, (e.UnknownPeer,)),
    Route("GET", "/api/v2/capabilities/{name}", READ, peers.capable, None, list[a.Match], (),
          b.CapableQuery),
    Route("GET", "/api/v2/history", READ, history.recent, None, a.History, LOOKED_FOR,
          b.HistoryQuery),
    Route("GET", "/api/v2/search", READ, history.search, None, a.Hits, LOOKED_FOR, b.SearchQuery),
    Route("POST", "/api/v2/blobs", SEND, blobs.upload, None, a.Blob,
          (e.Malformed, e.Unprocessable, e.BlobsFull, *STORED), b.BlobQuery, takes_bytes=True),
    Route("GET", "/api/v2/blobs/{id}", READ, blobs.read_blob, answer=bytes, errors=(e.NotFound,)),

    Route("POST", "/api/v2/sessions", SEND, sessions.start, b.SessionBody, a.Session,
          (*PEER, e.NameTaken, e.KeyReused, *STORED)),
    Route("GET", "/api/v2/sessions", READ, sessions.list_sessions, answer=a.Sessions, query=b.SessionsQuery),
    Route("GET", "/api/v2/sessions/{id}", READ, sessions.one_session, None, a.Session, FOUND,
          b.MessagesQuery),
    Route("DELETE", "/api/v2/sessions/{id}", SEND, sessions.end, None, a.Session, CHANGED),
    Route("POST", "/api/v2/sessions/{id}/message", SEND, sessions.message, b.SessionMessageBody, a.Reply,
          ANSWER, **MESSAGE),
    Route("POST", "/api/v2/sessions/{id}/stream", SEND, sessions.stream, b.SessionMessageBody, None, SENT,
          b.EventsQuery, **STREAM),
    Route("GET", "/api/v2/sessions/{id}/events", READ, sessions.read_events, None, a.Page, CURSOR,
          b.PageQuery, ASKED),
    Route("POST", "/api/v2/sessions/{id}/pause", SEND, sessions.pause, None, a.Session, CHANGED),
    Route("POST", "/api/v2/sessions/{id}/resume", SEND, sessions.resume, b.ResumeBody, a.Session, CHANGED),
    Route("POST", "/api/v2/sessions/{id}/interrupt", SEND, sessions.interrupt, None, a.Session, CHANGED),
    Route("POST", "/api/v2/sessions/{id}/turns/{turn_id}/abandon", SEND, sessions.abandon, None,
          a.TurnAbandoned, CHANGED),
    Route("POST", "/api/v2/sessions/{id}/stop", SEND, sessions.stop, None, a.Session, CHANGED),
    Route("POST", "/api/v2/sessions/{id}/save", SEND, sessions.save, b.SaveBody, a.Session,
          (*CHANGED, e.NameTaken)),
    Route("POST", "/api/v2/sessions/{id}/shares", SEND, sessions.share, b.ShareBody, a.Share,
          (e.NotFound, e.Unprocessable, *STORED)),
    Route("GET", "/api/v2/sessions/{id}/shares", READ, sessions.list_shares, None, a.Shares, FOUND),
    Route("DELETE", "/api/v2/sessions/{id}/shares/{subject}", SEND, sessions.unshare, None, a.ShareRemoved,
          FOUND, takes_rest=True),
    Route("POST", "/api/v2/sessions/{id}/checkpoint", SEND, checkpoints.make, b.CheckpointBody,
          a.Checkpoint, (*CURSOR, e.Unprocessable), streams=ASKED),
    Route("GET", "/api/v2/sessions/{id}/checkpoints", READ, checkpoints.list_all, None, a.Checkpoints, FOUND),
    Route("GET", "/api/v2/sessions/{id}/timeline", READ, checkpoints.timeline, None, a.Timeline, FOUND),
    Route("POST", "/api/v2/sessions/{id}/restore", SEND, checkpoints.restore, b.RestoreBody,
          a.Restored, (*CHANGED, *PLACE, e.PeerBusy, e.Unprocessable), streams=ASKED),
    Route("POST", "/api/v2/sessions/{id}/fork", SEND, checkpoints.fork, b.ForkBody, a.Forked, FORKED,
          streams=ASKED),
    Route("GET", "/api/v2/checkpoints/{a}/diff/{b}", READ, checkpoints.diff, None, a.Diff,
          (*FOUND, e.Unprocessable)),
    Route("POST", "/api/v2/sessions/{id}/tool-results/{call_id}", SEND, requests.tool_result,
          b.ToolResultBody, a.ToolAnswered, ANSWERED),
    Route("POST", "/api/v2/sessions/{id}/permissions/{request_id}", APPROVE, requests.permission,
          b.OptionBody, a.PermissionAnswered, ANSWERED),
    Route("GET", "/api/v2/permissions", READ, requests.permissions, answer=a.Permissions),
    Route("POST", "/api/v2/imports", OWNER, sessions.import_transcripts, b.ImportBody, a.Imported,
          (e.UnknownPeer, e.Unprocessable, *STORED), streams=ASKED),

    Route("POST", "/api/sessions/create", SEND, management.create, b.ManagedSessionBody, a.Session,
          (*SENT, e.NameTaken, e.UnknownModel, e.TooLarge)),
    Route("GET", "/api/sessions/active", READ, management.active, answer=a.Sessions),
    Route("GET", "/api/sessions/{id}", READ, sessions.one_session, None, a.Session, FOUND, b.MessagesQuery),
    Route("DELETE", "/api/sessions/{id}", SEND, sessions.end, None, a.Session, CHANGED),
    Route("POST", "/api/sessions/{id}/checkpoint", SEND, checkpoints.make, b.CheckpointBody, a.Checkpoint,
          (*CURSOR, e.Unprocessable), streams=ASKED),

    Route("GET", "/api/projects", READ, projects.list_projects, answer=a.Projects),
    Route("POST", "/api/projects", ADMIN, projects.create, b.ProjectBody, a.Project,
          (*PEER, e.NameTaken, e.UnknownModel, *STORED)),
    Route("GET", "/api/projects/{id}", READ, projects.one_project, None, a.UsedProject, (e.NotFound,)),
    Route("PUT", "/api/projects/{id}/settings", ADMIN, projects.change, b.ProjectSettingsBody, a.Project,
          (*PEER, *FOUND, e.UnknownModel)),

    Route("GET", "/api/analytics/usage", READ, analytics.usage, None, a.Analytics, (e.StoreRefused,),
          b.AnalyticsQuery, csv=True),
    Route("GET", "/api/analytics/costs", READ, analytics.costs, None, a.Analytics, (e.StoreRefused,),
          b.AnalyticsQuery, csv=True),
    Route("GET", "/api/analytics/sessions", READ, analytics.sessions, None, a.Analytics, (e.StoreRefused,),
          b.AnalyticsQuery, csv=True),

    Route("GET", "/api/mcp-servers", READ, tool_servers.list_servers, answer=a.ToolServers),
    Route("POST", "/api/mcp-servers", ADMIN, tool_servers.add, b.ToolServerBody, a.ToolServer,
          (e.NameTaken, e.Unprocessable, *STORED), body_bytes=3 << 20),
    Route("DELETE", "/api/mcp-servers/{name}", ADMIN, tool_servers.remove, None, a.ToolServerRemoved,
          (e.ToolServerConfigured, *FOUND)),
    Route("POST", "/api/mcp-servers/{name}/test", ADMIN, tool_servers.test, None, a.ToolServerTested,
          FOUND, action="tool_server.test"),

    Route("GET", "/api/v2/budgets", READ, budgets.list_budgets, answer=a.Budgets),
    Route("GET", "/api/v2/budgets/{name}", READ, budgets.one_budget, None, a.Budget, (e.NotFound,)),
    Route("PUT", "/api/v2/budgets/{name}", ADMIN, budgets.put_budget, b.BudgetBody, a.Budget,
          (e.UnknownPeer, e.UnknownTeam, *STORED)),
    Route("DELETE", "/api/v2/budgets/{name}", ADMIN, budgets.remove_budget, None, a.BudgetRemoved,
          (e.BudgetConfigured, *FOUND)),

    Route("GET", "/api/v2/notify", ADMIN, notifications.list_recipients, answer=a.Recipients),
    Route("POST", "/api/v2/notify/test", ADMIN, notifications.test, b.NotifyTestBody, a.NotifyTested, FOUND,
          action="notify.test"),

    Route("POST", "/api/v2/plans", SEND, plans.start, b.PlanBody, None, PLANNED, **PLAN_STREAM),
    Route("GET", "/api/v2/plans/{id}", READ, plans.one_plan, None, a.Plan, (e.NotFound,)),
    Route("DELETE", "/api/v2/plans/{id}", SEND, plans.stop, None, a.PlanStopped, FOUND),
    Route("GET", "/api/v2/plans/{id}/events", READ, plans.read_events, None, None, CURSOR, b.AfterQuery,
          ALWAYS, ("x-plan-id",)),
    Route("POST", "/api/v2/bulk", SEND, plans.bulk, b.BulkBody, a.Results, PLANNED, streams=ASKED, **PLAN),

    Route("GET", "/api/v2/forwards", READ, forwards.list_forwards, answer=a.Forwards),
    Route("POST", "/api/v2/forwards", SEND, forwards.new_forward, b.NewForwardBody, a.Forward, PURPOSE),
    Route("GET", "/api/v2/forwards/{source}", READ, forwards.one_forward, None, a.Forward, (e.NotFound,)),
    Route("PUT", "/api/v2/forwards/{source}", SEND, forwards.put_forward, b.ForwardBody, a.Forward, PURPOSE),
    Route("DELETE", "/api/v2/forwards/{source}", SEND, forwards.stop_forward, None, a.Forward, FOUND),
    Route("GET", "/api/v2/terminals", READ, forwards.list_terminals, answer=a.Terminals),
    Route("PUT", "/api/v2/terminals/{name}", SEND, forwards.put_terminal, b.TerminalBody, a.Terminal,
          (e.NameTaken, *CURSOR)),
    Route("GET", "/api/v2/terminals/{name}", READ, forwards.one_terminal, None, a.Terminal, (e.NotFound,)),
    Route("DELETE", "/api/v2/terminals/{name}", SEND, forwards.remove_terminal, None, a.Terminal, FOUND),
    Route("GET", "/api/v2/terminals/{name}/events", READ, forwards.read_terminal, None, a.Page, CURSOR,
          b.PageQuery, ASKED),

    Route("GET", "/api/v2/routes", READ, routes.list_routes, answer=a.Routes),
    Route("POST", "/api/v2/routes", SEND, routes.new_route, b.NewRouteBody, a.Route,
          (*ROUTED, e.NameTaken, e.StateConflict)),
    Route("GET", "/api/v2/routes/{name}", READ, routes.one_route, None, a.Route, (e.NotFound,)),
    Route("PUT", "/api/v2/routes/{name}", SEND, routes.put_route, b.RouteBody, a.Route, ROUTED),
    Route("DELETE", "/api/v2/routes/{name}", SEND, routes.remove_route, None, a.Route, FOUND),
    Route("POST", "/api/v2/routes/{name}/send", SEND, routes.send_route, b.RouteMessageBody, None, PLANNED,
          **PLAN_STREAM),
    Route("GET", "/api/v2/schedules", READ, schedules.list_schedules, answer=a.Schedules),
    Route("POST", "/api/v2/schedules", SEND, schedules.new_schedule, b.NewScheduleBody, a.Schedule,
          SCHEDULED),
    Route("GET", "/api/v2/schedules/{name}", READ, schedules.one_schedule, None, a.Schedule, (e.NotFound,)),
    Route("PUT", "/api/v2/schedules/{name}", SEND, schedules.put_schedule, b.ScheduleBody, a.Schedule,
          SCHEDULED),
    Route("DELETE", "/api/v2/schedules/{name}", SEND, schedules.remove_schedule, None, a.Schedule, FOUND),
    Route("POST", "/api/v2/schedules/{name}/pause", SEND, schedules.pause, None, a.Schedule,
          (*FOUND, e.StateConflict)),
    Route("POST", "/api/v2/schedules/{name}/resume", SEND, schedules.resume, None, a.Schedule,
          (*FOUND, e.StateConflict)),
    Route("POST", "/api/v2/schedules/{name}/run", SEND, schedules.run, b.RunScheduleBody, a.Reply, ANSWER,
          b.EventsQuery, ASKED, **MESSAGE),
    Route("GET", "/api/v2/context/{peer}", READ, routes.show_context, None, a.Staged, PEER),
    Route("POST", "/api/v2/context/{peer}/stage", SEND, routes.stage, b.TextBody, a.Staged, CONTEXT),
    Route("POST", "/api/v2/context/{peer}/promote", SEND, routes.promote, None, a.Staged, CONTEXT),
    Route("DELETE", "/api/v2/context/{peer}", SEND, routes.clear, None, a.Staged, (*PEER, *STORED)),
    Route("GET", "/api/v2/purposes", READ, routes.list_purposes, answer=a.Purposes),
    Route("GET", "/api/v2/purposes/{peer}", READ, routes.one_purpose, None, a.Purpose, (e.UnknownPeer,)),
    Route("PUT", "/api/v2/purposes/{peer}", SEND, routes.put_purpose, b.PurposeBody, a.Purpose, PURPOSE),
    Route("DELETE", "/api/v2/purposes/{peer}", SEND, routes.remove_purpose, None, a.Purpose, PURPOSE),

    Route("GET", "/api/v2/aliases", READ, aliases.list_aliases, answer=a.Aliases),
    Route("GET", "/api/v2/aliases/{name}", READ, aliases.one_alias, None, a.Alias, (e.NotFound,)),
    Route("PUT", "/api/v2/aliases/{name}", SEND, aliases.put_alias, b.AliasBody, a.Alias,
          (e.NameTaken, e.Unprocessable, *STORED)),
    Route("DELETE", "/api/v2/aliases/{name}", SEND, aliases.remove_alias, None, a.Alias, FOUND),
    Route("GET", "/api/v2/inbox/{peer}", READ, inbox.count, None, a.Trays, (e.UnknownPeer,)),
    Route("GET", "/api/v2/inbox/{peer}/{tray}", READ, inbox.read, None, a.Notes, TRAY),
    Route("POST", "/api/v2/inbox/{peer}/{tray}", SEND, inbox.put, b.NoteBody, a.Note, (*TRAY, *STORED)),
    Route("DELETE", "/api/v2/inbox/{peer}/{tray}", SEND, inbox.clear, None, a.TrayCleared, (*TRAY, *STORED)),
    Route("POST", "/api/v2/inbox/{peer}/{tray}/take", SEND, inbox.take, None, a.TakenNote,
          (*TRAY, *STORED)),

    Route("POST", "/api/v2/programs", OWNER, programs.announce, b.ProgramBody, a.Peer,
          (e.NameTaken, *PROGRAM, *STORED), body_bytes=3 << 20),
    Route("DELETE", "/api/v2/programs/{name}", SEND, programs.end, None, a.Ended, ENDED, b.EndQuery),
    Route("GET", "/api/v2/tools", READ, programs.tools, answer=a.Tools, query=b.ToolsQuery),
    Route("GET", "/api/v2/tools/{name}", READ, programs.tool, None, a.CheckedTool, (e.UnknownPeer,)),
    Route("POST", "/api/v2/tools/{name}/launch", SEND, programs.launch, b.LaunchBody, a.Tool,
          (e.UnknownPeer, *PROGRAM, *STORED)),
    Route("POST", "/api/v2/tools/{name}/terminate", SEND, programs.terminate, None, a.Ended, ENDED,
          b.EndQuery),
    Route("GET", "/api/v2/tools/{name}/capabilities", READ, programs.capabilities, None, a.ToolCapabilities,
          (e.UnknownPeer,)),

    Route("POST", "/api/ai/socket/create", SEND, sockets.create, b.SocketBody, a.OpenedSocket,
          (*PEER, e.KeyReused, *STORED)),
    Route("GET", "/api/ai/socket", READ, sockets.list_sockets, answer=a.Sockets),
    Route("DELETE", "/api/ai/socket/{id}", SEND, sockets.close, None, a.SocketClosed,
          (e.NotFound, e.StateConflict, *STORED)),
    Route("POST", "/api/ai/socket/groups", ADMIN, sockets.make_group, b.GroupBody, a.Group,
          (e.NameTaken, e.KeyReused, *STORED)),
    Route("GET", "/api/ai/socket/groups", READ, sockets.list_groups, answer=a.Groups),
    Route("GET", "/api/ai/socket/groups/{name}", READ, sockets.one_group, None, a.Group, (e.UnknownTeam,)),
    Route("PUT", "/api/ai/socket/groups/{name}", ADMIN, sockets.change_group, b.MembersBody, a.Group, GROUP),
    Route("DELETE", "/api/ai/socket/groups/{name}", ADMIN, sockets.drop_group, None, a.GroupDeleted, GROUP),
)
# fmt: on
