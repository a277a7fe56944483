"""What a message may carry besides its content, the same in all APIs: parts, a model, a system prompt and the
schema of its answer, and whether it waits for the peer's machine."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from rhetor.codec.forms import PLAIN, form
from rhetor.codec.typed_json import Object, kept, nothing, starts_with, unprocessable
from rhetor.domain.parts import MOST_PARTS, GivenPart
from rhetor.domain.plan import IfOffline

MEDIA_TYPE = r"^[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}( *;[^\x00-\x1f\x7f-\x9f]*)?$(?!\n)"
A_TYPE = "must be a media type such as image/png"
BLOB_ID = r"^[0-9a-f]{64}$(?!\n)"
Model = Annotated[str, Meta(min_length=1, max_length=200, pattern=PLAIN)]


class PartBody(msgspec.Struct, frozen=True):
    """One part. One of the type `text` has `text`, and follows the content. Any other has exactly one of
    `blob_id` (see `POST /api/v2/blobs`), `data` (base64) and `url` (read by the hub)."""

    type: Literal["text", "image", "audio", "file"]
    text: str | None = None
    media_type: Annotated[str, form(MEDIA_TYPE, A_TYPE, max_length=255)] | None = None
    name: Annotated[str, Meta(max_length=200, pattern=PLAIN)] | None = None
    blob_id: Annotated[str, form(BLOB_ID, "must be the blob_id of an upload")] | None = None
    data: bytes | None = None
    url: Annotated[str, Meta(min_length=1, max_length=4096, pattern=PLAIN)] | None = None

    def given(self, where: str) -> GivenPart:
        """Return the part as a value.

        Raises:
            Unprocessable: it has none, or more than one, of `blob_id`, `data` and `url`.
        """
        kind = self.type
        if kind == "text" or sum(each is not None for each in (self.blob_id, self.data, self.url)) != 1:
            raise unprocessable(where, "exactly one of blob_id, data and url is required")
        return GivenPart(
            kind,
            self.media_type or "",
            self.name or "",
            self.blob_id or "",
            self.data or b"",
            self.url or "",
        )


Parts = Annotated[list[PartBody], Meta(max_length=MOST_PARTS)]


class Extras(msgspec.Struct, frozen=True, kw_only=True):
    """The members of a message that may stand beside its content. `model` (`auto` or `provider/model`) and
    `system` (a prompt) replace those of a specialist for this message; `response_schema` is the JSON Schema
    of its answer. `if_offline`: whether a message to a peer whose machine is not connected waits for it
    (`queue`), or is rejected (`refuse`)."""

    parts: Parts | None = None
    model: Model | None = None
    system: str | None = None
    response_schema: Object = msgspec.field(default_factory=nothing)
    if_offline: IfOffline = "refuse"

    def whole(self, content: str) -> str:
        """Return the content, followed by the parts that are text."""
        if not self.parts:
            return content
        return "\n\n".join(filter(None, (content, *(each.text for each in self.parts))))

    def extras(self, where: str = "body") -> dict[str, Any]:
        """Return the fields of a command for these members.

        Raises:
            Unprocessable: a part or the schema is invalid.
        """
        waits: dict[str, Any] = {} if self.if_offline == "refuse" else {"if_offline": self.if_offline}
        if not (self.parts or self.model or self.system or self._has_schema):
            return waits
        return {
            **waits,
            "model": self.model or UNSET,
            "system": self.system or UNSET,
            "parts": self._given(f"{where}.parts"),
            "response_schema": self._schema(f"{where}.response_schema"),
        }

    @property
    def _has_schema(self) -> bool:
        return not starts_with(self.response_schema, b"n")

    def _given(self, where: str) -> tuple[GivenPart, ...] | UnsetType:
        numbered = [
            (n, each) for n, each in enumerate(self.parts or ()) if not _is_text(each, f"{where}.{n}")
        ]
        return tuple(each.given(f"{where}.{n}") for n, each in numbered) or UNSET

    def _schema(self, where: str) -> dict[str, Any] | UnsetType:
        return kept(self.response_schema, where) if self._has_schema else UNSET


def _is_text(part: PartBody, where: str) -> bool:
    if part.type != "text":
        return False
    if part.text is None:
        raise unprocessable(where, "text is required")
    return True
