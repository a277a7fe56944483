"""The page that describes the doors (OpenAPI 3.1): made when it is first asked for, and not before.

Paths, parameters and bodies come from the routes; what is answered, and what may be refused, stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from rhetor import errors as e
from rhetor.auth.policy import Policy
from rhetor.transports.server import problems
from rhetor.transports.server.router import POLICY

from . import responses as a

JSON, SSE, TEXT, ANY = "application/json", "text/event-stream", "text/plain", "*/*"
Errors = tuple[type[e.RhetorError], ...]

EVERYWHERE: Errors = (
    e.Malformed,
    e.Unauthenticated,
    e.Forbidden,
    e.RequestTimeout,
    e.TooLarge,
    e.Misdirected,
    e.HeadTooLarge,
    e.TooManyAttempts,
)
STORED: Errors = (e.StoreRefused, e.ShuttingDown)
PEER: Errors = (e.UnknownPeer, e.NoCapablePeer)
SENT: Errors = (
    *PEER,
    e.NotFound,
    e.PeerBusy,
    e.SessionOver,
    e.KeyReused,
    e.EnvironmentDiffers,
    e.Unprocessable,
    *STORED,
)
TURN: Errors = (e.TurnFailure, e.ProviderTimeout)
CURSOR: Errors = (e.NotFound, e.MalformedCursor, e.PositionLost, *STORED)
CHANGED: Errors = (e.NotFound, e.SessionOver, e.StateConflict, *STORED)
PLANNED: Errors = (*SENT, e.UnknownTeam, e.HopLimit)
ROUTED: Errors = (*PEER, e.NotFound, e.UnknownTeam, e.HopLimit, e.Unprocessable, *STORED)
ANSWERED: Errors = (e.NotFound, e.StateConflict, e.KeyReused, e.Unprocessable, *STORED)

GROUP: Errors = (e.UnknownTeam, e.TeamConfigured, *STORED)
COPIED: Errors = (
    e.NameTaken,
    e.ForkUnsupported,
    e.PeerBusy,
    e.UnknownPeer,
    e.Unprocessable,
    e.ProgramMissing,
    e.ProgramRefused,
    e.TurnFailure,
)
STARTED: Errors = (e.ProgramMissing, e.ProgramRefused, *STORED)

TURN_HEADERS = ("x-session-id", "x-turn-id", "x-cursor")
PLAN_HEADERS = ("x-plan-id", "x-cursor")


@dataclass(frozen=True)
class Gives:
    """`shape`: of the JSON answer, None where there is none; `stream`: whether it may be an event stream;
    `text`: it is plain text; `is_binary`: it is of whatever type its content has; `at_once`: what is answered
    (202) where the client prefers not to wait."""

    shape: type[BaseModel] | None = None
    refusals: Errors = ()
    stream: bool = False
    text: bool = False
    many: bool = False
    headers: tuple[str, ...] = ()
    status: HTTPStatus = HTTPStatus.OK
    is_binary: bool = False
    at_once: type[BaseModel] | None = None


MESSAGE = Gives(a.Reply, (*SENT, *TURN), headers=TURN_HEADERS, at_once=a.Accepted)
STREAM = Gives(None, SENT, stream=True, headers=TURN_HEADERS)
STARTED_PLAN = Gives(None, PLANNED, stream=True, headers=PLAN_HEADERS, at_once=a.PlanStarted)
CONTROL = Gives(a.Session, CHANGED)

OPERATIONS: dict[str, Gives] = {
    "GET /healthz": Gives(a.Status),
    "GET /readyz": Gives(a.Status, (e.ShuttingDown,)),
    "GET /metrics": Gives(text=True),
    "GET /api/capabilities": Gives(a.Capabilities),
    "GET /api/v2/status": Gives(a.HubStatus),
    "PUT /api/v2/environment": Gives(a.Fingerprint),
    "POST /api/v2/reload": Gives(a.Reloaded, (e.InvalidSettings,)),
    "POST /api/v2/shutdown": Gives(a.Status, status=HTTPStatus.ACCEPTED),
    "POST /api/auth/code": Gives(a.Code),
    "GET /login": Gives(status=HTTPStatus.SEE_OTHER, headers=("location", "set-cookie")),
    "GET /openapi.json": Gives(),
    "GET /api/v2/ai": Gives(a.Peers),
    "GET /api/v2/ai/{id}": Gives(a.Peer, PEER),
    "POST /api/v1/ai/{id}/message": MESSAGE,
    "POST /api/v2/ai/{id}/message": MESSAGE,
    "POST /api/v2/ai/{id}/stream": STREAM,
    "GET /api/v2/capabilities/{name}": Gives(a.Match, many=True),
    "POST /api/v2/sessions": Gives(a.Session, (*PEER, e.NameTaken, e.KeyReused, *STORED)),
    "GET /api/v2/sessions": Gives(a.Sessions),
    "GET /api/v2/sessions/{id}": Gives(a.Session, (e.NotFound, *STORED)),
    "DELETE /api/v2/sessions/{id}": CONTROL,
    "POST /api/v2/imports": Gives(a.Imported, (e.UnknownPeer, e.Unprocessable, *STORED)),
    "POST /api/v2/sessions/{id}/save": Gives(a.Session, (*CHANGED, e.NameTaken)),
    "POST /api/v2/sessions/{id}/message": MESSAGE,
    "POST /api/v2/sessions/{id}/stream": STREAM,
    "GET /api/v2/sessions/{id}/events": Gives(a.Page, CURSOR, stream=True),
    "POST /api/v2/sessions/{id}/pause": CONTROL,
    "POST /api/v2/sessions/{id}/resume": CONTROL,
    "POST /api/v2/sessions/{id}/interrupt": CONTROL,
    "POST /api/v2/sessions/{id}/stop": CONTROL,
    "POST /api/v2/sessions/{id}/checkpoint": Gives(a.Checkpoint, CURSOR),
    "GET /api/v2/sessions/{id}/checkpoints": Gives(a.Checkpoints, (e.NotFound, *STORED)),
    "POST /api/v2/sessions/{id}/restore": Gives(a.Session, (*CHANGED, *CURSOR, e.PeerBusy)),
    "POST /api/v2/sessions/{id}/fork": Gives(a.Session, (*CURSOR, *COPIED)),
    "POST /api/v2/sessions/{id}/tool-results/{call_id}": Gives(a.ToolAnswered, ANSWERED),
    "POST /api/v2/sessions/{id}/permissions/{request_id}": Gives(a.PermissionAnswered, ANSWERED),
    "GET /api/v2/permissions": Gives(a.Permissions),
    "POST /api/v2/plans": STARTED_PLAN,
    "GET /api/v2/plans/{id}": Gives(a.Plan, (e.NotFound,)),
    "DELETE /api/v2/plans/{id}": Gives(a.PlanStopped, (e.NotFound, *STORED)),
    "GET /api/v2/plans/{id}/events": Gives(None, CURSOR, stream=True, headers=("x-plan-id",)),
    "POST /api/v2/bulk": Gives(a.Results, PLANNED, stream=True, headers=PLAN_HEADERS),
    "POST /api/v2/programs": Gives(a.Peer, (e.NameTaken, *STARTED)),
    "DELETE /api/v2/programs/{name}": Gives(a.Ended, (e.UnknownPeer, e.NotRunning, *STORED)),
    "GET /api/v2/ai/{id}/status": Gives(a.ProgramStatus, PEER),
    "POST /api/v2/wait": Gives(a.Waited, (e.UnknownPeer,)),
    "GET /api/v2/tools": Gives(a.Tools),
    "GET /api/v2/tools/{name}": Gives(a.CheckedTool, (e.UnknownPeer,)),
    "POST /api/v2/tools/{name}/launch": Gives(a.Tool, (e.UnknownPeer, *STARTED)),
    "POST /api/v2/tools/{name}/terminate": Gives(a.Ended, (e.UnknownPeer, e.NotRunning, *STORED)),
    "GET /api/v2/tools/{name}/capabilities": Gives(a.ToolCapabilities, (e.UnknownPeer,)),
    "POST /api/ai/socket/create": Gives(a.OpenedSocket, (*PEER, e.KeyReused, *STORED)),
    "GET /api/ai/socket": Gives(a.Sockets),
    "DELETE /api/ai/socket/{id}": Gives(a.SocketClosed, (e.NotFound, e.StateConflict, *STORED)),
    "POST /api/ai/socket/groups": Gives(a.Group, (e.NameTaken, e.KeyReused, *STORED)),
    "GET /api/ai/socket/groups": Gives(a.Groups),
    "GET /api/ai/socket/groups/{name}": Gives(a.Group, (e.UnknownTeam,)),
    "PUT /api/ai/socket/groups/{name}": Gives(a.Group, GROUP),
    "DELETE /api/ai/socket/groups/{name}": Gives(a.GroupDeleted, GROUP),
    "GET /api/v2/blobs/{id}": Gives(None, (e.NotFound,), is_binary=True),
    "GET /api/v2/forwards": Gives(a.Forwards),
    "POST /api/v2/forwards": Gives(a.Forward, (e.UnknownPeer, *STORED)),
    "GET /api/v2/forwards/{source}": Gives(a.Forward, (e.NotFound,)),
    "PUT /api/v2/forwards/{source}": Gives(a.Forward, (e.UnknownPeer, *STORED)),
    "DELETE /api/v2/forwards/{source}": Gives(a.Forward, (e.NotFound, *STORED)),
    "GET /api/v2/terminals": Gives(a.Terminals),
    "PUT /api/v2/terminals/{name}": Gives(a.Terminal, (e.NameTaken, *CURSOR)),
    "GET /api/v2/terminals/{name}": Gives(a.Terminal, (e.NotFound,)),
    "DELETE /api/v2/terminals/{name}": Gives(a.Terminal, (e.NotFound, *STORED)),
    "GET /api/v2/terminals/{name}/events": Gives(a.Page, CURSOR, stream=True),
    "GET /api/v2/routes": Gives(a.Routes),
    "POST /api/v2/routes": Gives(a.Route, (*ROUTED, e.NameTaken, e.StateConflict)),
    "GET /api/v2/routes/{name}": Gives(a.Route, (e.NotFound,)),
    "PUT /api/v2/routes/{name}": Gives(a.Route, ROUTED),
    "DELETE /api/v2/routes/{name}": Gives(a.Route, (e.NotFound, *STORED)),
    "POST /api/v2/routes/{name}/send": STARTED_PLAN,
    "GET /api/v2/context/{peer}": Gives(a.Staged, PEER),
    "POST /api/v2/context/{peer}/stage": Gives(a.Staged, (*PEER, e.Unprocessable, *STORED)),
    "POST /api/v2/context/{peer}/promote": Gives(a.Staged, (*PEER, e.Unprocessable, *STORED)),
    "DELETE /api/v2/context/{peer}": Gives(a.Staged, (*PEER, *STORED)),
    "GET /api/v2/purposes": Gives(a.Purposes),
    "GET /api/v2/purposes/{peer}": Gives(a.Purpose, (e.UnknownPeer,)),
    "PUT /api/v2/purposes/{peer}": Gives(a.Purpose, (e.UnknownPeer, *STORED)),
    "DELETE /api/v2/purposes/{peer}": Gives(a.Purpose, (e.UnknownPeer, *STORED)),
    "GET /api/v2/history": Gives(a.History),
    "GET /api/v2/search": Gives(a.Hits),
}


def page(app: FastAPI) -> dict[str, Any]:
    """The description of all routes of the app."""
    if app.openapi_schema is None:
        app.openapi_schema = _completed(app.openapi())
    return app.openapi_schema


def _completed(page: dict[str, Any]) -> dict[str, Any]:
    for path, methods in page["paths"].items():
        for method, operation in methods.items():
            _complete(operation, OPERATIONS[f"{method.upper()} {path}"])
    schemas = page["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.update(_shapes())
    page["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return page


def _complete(operation: dict[str, Any], gives: Gives) -> None:
    operation["security"] = [] if operation[POLICY] == Policy.PUBLIC else [{"token": []}]
    refusals = [*EVERYWHERE, *gives.refusals, e.RateExceeded]
    if operation.get("parameters") or "requestBody" in operation:
        refusals.append(e.Unprocessable)
    if "requestBody" in operation:
        refusals.append(e.UnsupportedMedia)
    if gives.stream:
        refusals.append(e.TooManyConnections)
    answers = {str(gives.status.value): _answer(gives)}
    if gives.at_once is not None:
        later = replace(gives, shape=gives.at_once, status=HTTPStatus.ACCEPTED)
        answers[str(later.status.value)] = _answer(later)
    operation["responses"] = {**answers, **_refusals(refusals)}


def _answer(gives: Gives) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if gives.shape is not None:
        shape: dict[str, Any] = {"$ref": f"#/components/schemas/{_name(gives.shape)}"}
        content[JSON] = {"schema": {"type": "array", "items": shape} if gives.many else shape}
    elif gives.is_binary:
        content[ANY] = {"schema": {"type": "string", "format": "binary"}}
    elif gives.text:
        content[TEXT] = {"schema": {"type": "string"}}
    elif not gives.stream and gives.status is HTTPStatus.OK:
        content[JSON] = {"schema": {"type": "object"}}
    if gives.stream:
        content[SSE] = {"schema": {"$ref": f"#/components/schemas/{_name(a.Frame)}"}}
    answer: dict[str, Any] = {"description": gives.status.phrase}
    if content:
        answer["content"] = content
    if gives.headers:
        answer["headers"] = {name: {"schema": {"type": "string"}} for name in gives.headers}
    return answer


def _refusals(refusals: Iterable[type[e.RhetorError]]) -> dict[str, Any]:
    """By status, with the codes that it may have."""
    codes: dict[int, list[str]] = {}
    for error in dict.fromkeys(refusals):
        codes.setdefault(error.status, []).append(error.code)
    schema = {"schema": {"$ref": f"#/components/schemas/{_name(a.Problem)}"}}
    return {
        str(status): {"description": ", ".join(names), "content": {problems.MEDIA_TYPE: schema}}
        for status, names in sorted(codes.items())
    }


def _name(shape: type[BaseModel]) -> str:
    return shape.__name__


def _shapes() -> dict[str, Any]:
    used: list[type[BaseModel]] = [
        a.Problem,
        a.Frame,
        *(shape for g in OPERATIONS.values() for shape in (g.shape, g.at_once) if shape is not None),
    ]
    _, found = models_json_schema(
        [(shape, "serialization") for shape in dict.fromkeys(used)],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = found["$defs"]
    return definitions
