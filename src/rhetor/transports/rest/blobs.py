"""Binary content for the parts of messages: `/api/v2/blobs`."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from rhetor.domain.command import UploadBlob
from rhetor.hub.sessions import blobs
from rhetor.hub.sessions.uploads import Uploaded
from rhetor.transports.server.call import Call

from .bodies import BlobQuery


async def upload(call: Call, content: bytes, query: BlobQuery) -> dict[str, Any]:
    """Store binary content (at most 16 MiB) for the parts of later messages.

    An upload that no message refers to is removed after an hour. The same content has the same `blob_id`.
    """
    given = call.headers.get("content-type", "")
    uploaded: Uploaded = await call.execute(UploadBlob(given, content, query.name or ""))
    return msgspec.structs.asdict(uploaded)


async def read_blob(call: Call, id: str) -> Response:
    """Return binary content, as a download."""
    blob = await blobs.owned_blob(call.hub.state, call.who, id)
    headers = {
        "content-disposition": f'attachment; filename="{id}"',
        "content-security-policy": "sandbox; default-src 'none'",
        "cache-control": "private, no-store",
        "content-type": blob.media_type,
    }
    return Response(blob.content, headers=headers)
