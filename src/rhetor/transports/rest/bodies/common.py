"""What the bodies and queries of several nouns share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from rhetor.codec.forms import form
from rhetor.codec.typed_json import unprocessable
from rhetor.dialects.event_filter import PATTERN
from rhetor.dialects.extras import Model as Model
from rhetor.dialects.peer_socket import Id
from rhetor.errors import Malformed
from rhetor.hub.core.checks import NAME

# What the hub checks itself, with an error of its own, is only described here, by `extra_json_schema`.
NOT_BLANK = r"[^\s\x1c-\x1f\x85]"
Text = Annotated[str, Meta(extra_json_schema={"pattern": NOT_BLANK})]
_CURSOR = "[0-9A-Za-z]{32}:[0-9]{1,18}"
Cursor = Annotated[str, Meta(min_length=1, max_length=200, extra_json_schema={"pattern": f"^{_CURSOR}$"})]
Before = Annotated[str, Meta(extra_json_schema={"pattern": f"^({_CURSOR}|end)?$"})]
After = Annotated[str, Meta(extra_json_schema={"pattern": f"^({_CURSOR})?$"})]  # "" counts as absent
NewName = Annotated[
    str, Meta(min_length=1, max_length=200, extra_json_schema={"pattern": f"^{NAME.pattern}$"})
]
Name = Id
AN_URL = "must be an http or https URL, without a user name"
A_NAME = "must be a letter, and up to 63 letters, digits, `_`, `.` or `-`"
Purpose = Annotated[str, Meta(max_length=4096, extra_json_schema={"pattern": f"^$|{NOT_BLANK}"})]
Folder = Annotated[str, form(r"^/[^\x00]*$", "must be an absolute path", max_length=4096)]
Time = Annotated[str, Meta(max_length=40, extra_json_schema={"format": "date-time"})]


def milliseconds(time: str) -> int:
    """Return an RFC 3339 time as Unix time in milliseconds. Without an offset, it is in UTC.

    Raises:
        Malformed: it is none.
    """
    try:
        given = datetime.fromisoformat(time)
        return int((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise Malformed(f"{time!r} is not an RFC 3339 time") from error


class Body(Struct, frozen=True, kw_only=True):
    """The base of all bodies. Members that a body does not name are ignored. `constraints`: what its JSON
    Schema says about several members together."""

    constraints: ClassVar[dict[str, Any]] = {}


def one_of(**members: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of an object in which exactly one of the members is as given here."""
    return {"oneOf": [{"required": [name], "properties": {name: of}} for name, of in members.items()]}


def some_of(*members: str) -> dict[str, Any]:
    """Return the JSON Schema of an object that has at least one of the members, which is not null."""
    given = {"not": {"type": "null"}}
    return {"anyOf": [{"required": [name], "properties": {name: given}} for name in members]}


def requires(*members: str) -> dict[str, Any]:
    """Return the JSON Schema of an object that has these members. The hub checks that itself."""
    return {"required": list(members)}


class TextBody(Body, frozen=True, kw_only=True):
    text: Text


class Query(Struct, frozen=True, kw_only=True):
    """The base of all queries. Parameters that a query does not name are ignored."""


Limit = Annotated[int, Meta(ge=1, le=1000)]


class EventsQuery(Query, frozen=True, kw_only=True):
    """Which events to send. `events`: names of types, or families such as `tool.*`, separated by commas."""

    events: Annotated[str, Meta(max_length=4096, extra_json_schema={"pattern": PATTERN})] | None = None


class AfterQuery(EventsQuery, frozen=True, kw_only=True):
    """Where to read events. `after`: the cursor after which they begin."""

    after: After | None = None


class PageQuery(AfterQuery, frozen=True, kw_only=True):
    """Which page of events to read. `before`: the cursor before which it ends, or `end` for the last page."""

    before: Before | None = None
    limit: Limit = 500

    @property
    def ends_before(self) -> str | None:
        """Where the page ends; None if the query says where it begins.

        Raises:
            Unprocessable: the query says both.
        """
        if self.before and self.after:
            raise unprocessable("query", "give after or before, not both")
        return self.before or None


class AuditQuery(Query, frozen=True, kw_only=True):
    """Which entries of the audit to return: those with numbers above `after` and below `before`, of a
    `node`."""

    node: Annotated[str, Meta(max_length=300)] | None = None
    after: Annotated[int, Meta(ge=0)] | None = None
    before: Annotated[int, Meta(ge=0)] | None = None
    limit: Limit = 100


class AuditNoteBody(Body, frozen=True, kw_only=True):
    """A command that the owner runs beside the hub."""

    action: Literal["backup", "export"]
    target: Annotated[str, Meta(max_length=200)] = ""
