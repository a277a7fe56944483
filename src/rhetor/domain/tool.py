"""A tool that a model may call, as its provider describes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from rhetor.errors import Unprocessable

MOST = 128
# the names that both large providers accept; others are less strict
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

ALLOW, DENY = "allow", "deny"


class Tool(Struct, frozen=True, gc=False):
    """A tool. `parameters`: a JSON Schema of an object. `needs_approval`: a person must approve each call."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    needs_approval: bool = False


def check_tools(tools: Sequence[Tool]) -> None:
    """Check the tools of a session.

    Raises:
        Unprocessable: there are too many; a name is invalid or used twice; or the parameters do not describe
            an object.
    """
    if len(tools) > MOST:
        raise Unprocessable(f"a session can have at most {MOST} tools, not {len(tools)}")
    seen: set[str] = set()
    for tool in tools:
        if not NAME.fullmatch(tool.name):
            raise Unprocessable(
                "a tool's name must have 1 to 64 letters, digits, _ or -", tool=tool.name[:100]
            )
        if tool.name in seen:
            raise Unprocessable(f"two tools are called {tool.name!r}", tool=tool.name)
        seen.add(tool.name)
        if tool.parameters.get("type", "object") != "object":
            raise Unprocessable("a tool's parameters must be a JSON Schema of type object", tool=tool.name)
