"""An MCP server whose tools models may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field


class ToolServer(Struct, frozen=True, gc=False):
    """A `command` (a program and its arguments) or a `url`. The program gets the variables in `env` and those
    that `pass_env` names from the hub's environment. `approve`: the tools that need a person's approval.
    `allow_private`: the URL may be in a private network."""

    name: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    pass_env: tuple[str, ...] = ()
    url: str | None = None
    allow_private: bool = False
    approve: tuple[str, ...] | Literal["all"] = ()

    @property
    def transport(self) -> str:
        return "stdio" if self.command else "http"
