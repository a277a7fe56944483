"""A conversation as a client of a stateless API gives it with each of its messages: everything that was said,
with the client's own tools and options.

It is the same for all APIs and providers. A part is named as in `GivenPart`; once the conversation is stored,
each part is a blob.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from .parts import GivenPart

Role = Literal["user", "assistant"]
Vendor = Literal["openai", "anthropic"]
Choice = Literal["auto", "none", "required"]
CacheTime = Literal["", "5m", "1h"]  # how long a provider may keep what was said up to here; empty: unmarked

# the member with arguments that are not a JSON object, for APIs that take only objects; the name is from
# Anthropic's documentation
INVALID_JSON = "INVALID_JSON"


class SaidText(Struct, frozen=True, tag="text", omit_defaults=True):
    """Text. `cache`: the client marks the end of what the provider should cache."""

    text: str
    cache: CacheTime = ""


class SaidPart(Struct, frozen=True, tag="part", omit_defaults=True):
    """An image, audio or a file."""

    part: GivenPart
    cache: CacheTime = ""


class SaidCall(Struct, frozen=True, tag="call", omit_defaults=True):
    """A call of one of the client's tools. `id`: the client's id of the call. `arguments`: JSON text."""

    id: str
    name: str
    arguments: str
    cache: CacheTime = ""


class SaidResult(Struct, frozen=True, tag="result", omit_defaults=True):
    """The result of a call. `id`: that of the call."""

    id: str
    content: tuple[SaidText | SaidPart, ...] = ()
    is_error: bool = False
    cache: CacheTime = ""


class SaidReasoning(Struct, frozen=True, tag="reasoning", omit_defaults=True):
    """Reasoning of the model. `data`: the object that the vendor's API needs again, unchanged; it is of no
    use to another vendor."""

    text: str = ""
    vendor: Vendor = "openai"
    data: dict[str, Any] = field(default_factory=dict)


Block = SaidText | SaidPart | SaidCall | SaidResult | SaidReasoning


class GivenMessage(Struct, frozen=True):
    """What one side said. Results of tools are said by the user."""

    role: Role
    blocks: tuple[Block, ...]

    @property
    def parts(self) -> tuple[GivenPart, ...]:
        """Its images, audio and files, with those in the results of tools."""
        found: list[GivenPart] = []
        for block in self.blocks:
            if isinstance(block, SaidPart):
                found.append(block.part)
            elif isinstance(block, SaidResult):
                found += [each.part for each in block.content if isinstance(each, SaidPart)]
        return tuple(found)

    @property
    def text(self) -> str:
        """Its text, without the other blocks."""
        return "\n\n".join(block.text for block in self.blocks if isinstance(block, SaidText))


class GivenTool(Struct, frozen=True, omit_defaults=True):
    """A tool that the client runs. `parameters`: a JSON Schema of an object. `raw`: a tool of another kind,
    as the client gave it, which only a provider with the API of `CallOptions.vendor` understands."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    strict: bool | None = None
    cache: CacheTime = ""
    raw: dict[str, Any] | None = None


class CallOptions(Struct, frozen=True, omit_defaults=True):
    """How the model is to answer. What is not set is left to the provider.

    `tool_choice`: how tools are used, or `tool` names the one to call. `schema`: the JSON Schema of the
    answer; `schema_strict`: whether the provider is to enforce it; `json`: any JSON object. `effort`: how
    much to reason, as the vendor names it; `thinking_tokens`: how many tokens to reason with. `more`:
    parameters as the client gave them, for providers with the API of `vendor`.
    """

    vendor: Vendor = "openai"
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    tool_choice: Choice = "auto"
    tool: str = ""
    parallel_calls: bool | None = None
    schema: dict[str, Any] | None = None
    schema_name: str = ""
    schema_strict: bool | None = None
    json: bool = False
    effort: str = ""
    thinking_tokens: int | None = None
    more: dict[str, Any] = field(default_factory=dict)


class KeptWithTurn(Struct, frozen=True):
    """What an API stores with a message, to answer later requests about it. `shared`: what is mostly the same
    in all requests of a client, and is stored once; `own`: the rest."""

    shared: dict[str, Any]
    own: dict[str, Any]


class GivenConversation(Struct, frozen=True):
    """A conversation up to the message that is to be answered, which is the last one, and the user's.

    `system`: the client's system text; a specialist's own prompt comes before it.
    """

    messages: tuple[GivenMessage, ...]
    system: tuple[SaidText, ...] = ()
    tools: tuple[GivenTool, ...] = ()
    options: CallOptions = CallOptions()

    @property
    def new(self) -> tuple[GivenMessage, ...]:
        """The messages after the last one of the assistant."""
        said = self.messages
        begins = len(said)
        while begins and said[begins - 1].role == "user":
            begins -= 1
        return said[begins:]

    @property
    def earlier(self) -> tuple[GivenMessage, ...]:
        """The messages before the new ones."""
        return self.messages[: len(self.messages) - len(self.new)]


def arguments_text(arguments: Any) -> str:
    """Return the arguments of a call as JSON text. Those that are text are what the model said."""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
