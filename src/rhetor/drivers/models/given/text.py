"""A given conversation for peers that take only text and attachments: the model of a specialist that is a
coding agent, the offline text, and models with tools of the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from rhetor.domain.given import CallOptions, GivenConversation, GivenMessage
from rhetor.domain.given_text import names_of, told
from rhetor.domain.peer import Peer
from rhetor.drivers.base import Attachment, PastMessage, Prompt
from rhetor.drivers.models.given.hints import HINTS, effective
from rhetor.drivers.models.given.parts import attachments, parts_of
from rhetor.drivers.models.given.refusals import no_parameter, unsupported
from rhetor.drivers.models.given.sides import system_texts
from rhetor.drivers.models.target import AgentTarget


class AsText(NamedTuple):
    """The peer, with the client's system text after its own prompt, the new messages as one, and the earlier
    ones."""

    peer: Peer
    message: Prompt
    history: Sequence[PastMessage]


def as_text(peer: Peer, message: Prompt, target: AgentTarget | None = None) -> AsText:
    """Return a conversation as text. `target`: the agent that gets it, if one does.

    Raises:
        InputUnsupported: the agent cannot do what the client asks for.
    """
    given = message.given
    assert given is not None
    if target is not None:
        _check(given, target)
    names = names_of(given.messages)
    texts = system_texts(given, peer.prompt, at_anthropic=False)
    prompt = "\n\n".join(each.text for each in texts)
    new = _joined(given.new, names, message.contents)
    history = [_joined([each], names, message.contents) for each in given.earlier]
    asked = replace(
        message,
        content=new.content,
        attachments=new.attachments,
        schema=message.schema or given.options.schema,
        given=None,
    )
    return AsText(replace(peer, prompt=prompt), asked, history)


def _joined(
    messages: Sequence[GivenMessage], names: dict[str, str], contents: Mapping[str, bytes]
) -> PastMessage:
    text = "\n\n".join(filter(None, (told(each, names) for each in messages)))
    role = messages[0].role if messages else "user"
    found: tuple[Attachment, ...] = ()
    if role == "user":
        found = attachments([part for each in messages for part in parts_of(each)], contents)
    return PastMessage(role, text, found)


def _check(given: GivenConversation, target: AgentTarget) -> None:
    if given.tools:
        hint = "leave out tools, or use a specialist whose model is that of a provider"
        raise unsupported(target, "tools", "is an agent, which has tools of its own", hint)
    for name in _ignored(given.options):
        raise no_parameter(target, name)


def _ignored(options: CallOptions) -> Iterator[str]:
    """Yield the options that an agent cannot follow. Anthropic's API requires a limit of tokens, so that one
    says little."""
    is_set = {
        "temperature": options.temperature is not None,
        "top_p": options.top_p is not None,
        "stop": bool(options.stop),
        "max_tokens": options.max_tokens is not None and options.vendor == "openai",
        "response_format": options.json,
    }
    yield from (name for name, found in is_set.items() if found)
    yield from (name for name, _ in effective(options.more) if name not in HINTS)
