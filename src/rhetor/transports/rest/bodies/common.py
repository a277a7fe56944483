"""What the bodies and queries of several nouns share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from rhetor.dialects.peer_socket import Id

Name = Id
Purpose = Annotated[str, Meta(max_length=4096)]
Folder = Annotated[str, Meta(max_length=4096, pattern=r"^/[^\x00]*$")]


class Body(Struct, frozen=True, kw_only=True):
    """The base of all bodies. Members that a body does not name are ignored."""


class TextBody(Body, frozen=True, kw_only=True):
    text: str


class Query(Struct, frozen=True, kw_only=True):
    """The base of all queries. Parameters that a query does not name are ignored."""


Limit = Annotated[int, Meta(ge=1, le=1000)]


class EventsQuery(Query, frozen=True, kw_only=True):
    """Which events to send. `events`: names of types, or families such as `tool.*`, separated by commas."""

    events: Annotated[str, Meta(max_length=4096)] | None = None


class AfterQuery(EventsQuery, frozen=True, kw_only=True):
    """Where to read events. `after`: the cursor after which they begin; the hub checks it."""

    after: Annotated[str, Meta(extra_json_schema={"pattern": r"^([0-9A-Za-z]{32}:[0-9]{1,18})?$"})] | None = (
        None
    )


class PageQuery(AfterQuery, frozen=True, kw_only=True):
    limit: Limit = 500
