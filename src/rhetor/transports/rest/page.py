"""`GET /`: a page without scripts for a browser that has logged in, with the peers and the open sessions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from rhetor.transports.server.call import Call

from .management import active
from .peers import list_peers

STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui;margin:2em}table{border-collapse:collapse}"
    "td,th{text-align:left;vertical-align:top;padding:.2em 2em .2em 0;border-bottom:1px solid #8884}"
    "th,td:not(:last-child){white-space:nowrap}"
)


async def front(call: Call) -> Response:
    """Return a page with the peers and the sessions of the caller that have not ended."""
    peers = (await list_peers(call))["peers"]
    sessions = (await active(call))["sessions"]
    body = (
        f"<h1>rhetor {_escaped(call.node.version)}</h1>"
        f"<h2>Peers</h2>{_table(peers, ('id', 'kind', 'status', 'description'))}"
        f"<h2>Sessions</h2>{_table(sessions, ('id', 'specialist_id', 'name', 'owner', 'state', 'used_at'))}"
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>rhetor</title>'
        f"<style>{STYLE}</style>{body}</html>"
    )
    allowed = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; frame-ancestors 'none'"
    headers = {"cache-control": "no-store", "content-security-policy": policy}
    return Response(page, headers=headers, media_type="text/html")


def _table(rows: Iterable[dict[str, Any]], columns: tuple[str, ...]) -> str:
    head = "".join(f"<th>{_escaped(column.replace('_', ' '))}</th>" for column in columns)
    found = ("".join(f"<td>{_escaped(str(row[column] or ''))}</td>" for column in columns) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{cells}</tr>' for cells in found)}</table>"


def _escaped(text: str) -> str:
    from html import escape  # half a megabyte of names of characters, which no other route needs

    return escape(text)
