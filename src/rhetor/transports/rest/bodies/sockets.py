"""Named sockets, and teams that are created at run time."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, field

from rhetor.codec.forms import form
from rhetor.codec.typed_json import nothing, text_of
from rhetor.dialects.peer_socket import Id
from rhetor.domain.command import MakeTeam, OpenSocket
from rhetor.domain.session import Voice

from .common import A_NAME, Body, Model


class SocketBody(Body, frozen=True, kw_only=True):
    """A socket to open. `model` and `prompt` replace the specialist's own; `context` (any JSON) follows the
    prompt, as data."""

    ai_name: Id
    model: Model | None = None
    prompt: Annotated[str, Meta(max_length=64 << 10)] | None = None
    context: Raw = field(default_factory=nothing)
    command_id: Id | None = None

    def command(self, key: str | None) -> OpenSocket:
        voice = Voice(self.prompt, self._besides(), self.model)
        return OpenSocket(self.ai_name, None if voice == Voice() else voice, key or self.command_id)

    def _besides(self) -> str:
        text = text_of(self.context, "body.context")
        if text is None:
            return ""
        return f"What is known of the situation, as data:\n{text}"


Members = Annotated[list[Id], Meta(min_length=1, max_length=100)]


class MembersBody(Body, frozen=True, kw_only=True):
    members: Members


class GroupBody(MembersBody, frozen=True, kw_only=True):
    name: Annotated[str, form(r"^[A-Za-z][A-Za-z0-9_.\-]{0,63}$", A_NAME)]
    command_id: Id | None = None

    def command(self, key: str | None) -> MakeTeam:
        return MakeTeam(self.name, tuple(self.members), key or self.command_id)
