"""Connects to an MCP server: starts it as a program, or calls its URL."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from rhetor.domain.program_keys import ProgramKeys
from rhetor.drivers.model_tools.mcp_stdio import Program, allowed
from rhetor.drivers.models.urls import Reach, Resolve, pin

if TYPE_CHECKING:
    import httpx2
    from mcp.client import Transport

HTTP_SECONDS = 60.0  # without data


class ServerEntry(msgspec.Struct, frozen=True):
    """A configured server: a `command` or a `url`. Its program gets the variables in `env` and those that
    `pass_env` names from the hub's environment. `approve`: the tools that need a person's approval."""

    command: tuple[str, ...] = ()
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    pass_env: tuple[str, ...] = ()
    url: str | None = None
    allow_private: bool = False
    approve: tuple[str, ...] | Literal["all"] = ()

    def asks(self, tool: str) -> bool:
        return self.approve == "all" or tool in self.approve


class ServerAccess:
    """How to connect to one server. `program` is set once the server has been started as a program.
    `is_added`: it was added at run time."""

    def __init__(
        self,
        server: str,
        entry: ServerEntry,
        environment: Mapping[str, str],
        folder: str,
        resolve: Resolve,
        keys: ProgramKeys,
        *,
        is_added: bool = False,
    ) -> None:
        self.entry = entry
        self.program: Program | None = None
        self._server = server
        self._environment = allowed(environment, entry.pass_env, entry.env)
        self._folder = folder
        self._resolve = resolve
        self._keys = keys
        self._is_added = is_added

    @property
    def hint(self) -> str:
        """What to do if the server cannot be used. A server that was added is not in the configuration."""
        private = bool(self.entry.url) and not self.entry.allow_private
        if self._is_added:
            hint = f"to change it, remove it (aish mcp remove {self._server}) and add it again"
            return f"{hint}; for a private address, with --private" if private else hint
        key = f"mcp_servers.{self._server}"
        if self.entry.command:
            return f"check {key}.command by running it"
        hint = f"check {key}.url"
        return f"{hint}; for a private address, set {key}.allow_private: true" if private else hint

    def transport(self, over: asyncio.Event) -> Transport:
        """Return a context manager that connects. `over` is set if the server's program ends.

        Raises:
            FileNotFoundError: the program is not on the PATH that it would get.
        """
        if self.entry.url is not None:
            return _called(self.entry.url, Reach(private=self.entry.allow_private), self._resolve)
        name, *arguments = self.entry.command
        # on the PATH that the program itself gets, which may differ from the hub's
        found = shutil.which(name, path=self._environment.get("PATH", ""))
        if found is None:
            raise FileNotFoundError(f"no program {name!r} on the PATH")
        return self._run([found, *arguments], over)

    @asynccontextmanager
    async def _run(self, argv: list[str], over: asyncio.Event) -> AsyncIterator[tuple[Any, Any]]:
        """Run the program. Its key names the server, which is no peer."""
        variables, digest = self._keys.issue(f"mcp:{self._server}")
        self.program = Program(argv, {**self._environment, **variables}, self._folder, over)
        try:
            async with self.program.transport() as streams:
                yield streams
        finally:
            self._keys.end(digest)


@asynccontextmanager
async def _called(url: str, reach: Reach, resolve: Resolve) -> AsyncIterator[tuple[Any, Any]]:
    from mcp.client.streamable_http import streamable_http_client

    async with (
        _http_client(reach, resolve) as client,
        streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams


def _http_client(reach: Reach, resolve: Resolve) -> httpx2.AsyncClient:
    import httpx2

    async def prepare(request: httpx2.Request) -> None:
        await pin(request, reach, resolve)

    return httpx2.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(HTTP_SECONDS),
        event_hooks={"request": [prepare]},
    )
