"""Runs the tool calls in one answer of a model, all at once: requests approvals, and returns the results."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Output, Permission, ToolResult, ToolUse
from rhetor.domain.tool import ALLOW, DENY
from rhetor.drivers.model_tools.toolbox import AvailableTool, Servers, Toolbox
from rhetor.drivers.models.deadline import Interrupted
from rhetor.drivers.models.given.arguments import LEVELS, is_deep
from rhetor.errors import ToolUnanswered

ANSWER_SECONDS = 3600.0  # the time limit for a client to return a tool's result
STOP_SECONDS = 1.0  # for telling the servers of a turn that ends that their calls are cancelled

OPTIONS = (
    PermissionOption(ALLOW, "Allow once", "allow_once"),
    PermissionOption(DENY, "Deny", "reject_once"),
)


class RequestedCall(msgspec.Struct, frozen=True):
    """A call that the model requests. `arguments` is the model's own text, which may not be valid JSON."""

    name: str
    arguments: str


class InvalidCall(Exception):
    """A call that cannot be run. The message is for the model."""


class Answers:
    """The answers that a turn waits for, tool results and permissions, each as a future."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._interrupted = False

    @contextmanager
    def expected(self, id: str) -> Iterator[asyncio.Future[Any]]:
        """Yield the future for the answer to `id`. Enter this before the request is output.

        Raises:
            Interrupted: `interrupt` was called.
        """
        if self._interrupted:
            raise Interrupted
        future = self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            yield future
        finally:
            del self._waiting[id]

    def give(self, id: str, value: Any) -> None:
        """Set the answer to `id`. If nothing waits for it, it is ignored."""
        future = self._waiting.get(id)
        if future is not None and not future.done():
            future.set_result(value)

    def interrupt(self) -> None:
        """Make everything that waits for an answer, now or later, raise `Interrupted`."""
        self._interrupted = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Interrupted())


class ToolCalls:
    """Runs the tool calls in one answer of a model.

    `results` is set when `outputs` has ended, in the order of the calls. `invalid`: the number of calls that
    could not be started. `seconds`: the time limit for a client to return a tool's result.
    """

    def __init__(
        self, toolbox: Toolbox, servers: Servers, answers: Answers, seconds: float = ANSWER_SECONDS
    ) -> None:
        self.results: list[ToolResult] = []
        self.invalid = 0
        self._toolbox = toolbox
        self._servers = servers
        self._answers = answers
        self._seconds = seconds
        # the queue has no bound, but each call puts at most four items
        self._said: asyncio.Queue[Output | None] = asyncio.Queue()

    async def outputs(self, requested: Sequence[RequestedCall]) -> AsyncGenerator[Output, None]:
        """Run the calls, and yield their outputs as they happen.

        Raises:
            ToolUnanswered: a client did not return a result in time.
            Interrupted: `Answers.interrupt` was called.
        """
        tasks = [asyncio.create_task(self._carry_out(wish), name=f"tool {wish.name}") for wish in requested]
        left = len(tasks)
        try:
            while left:
                said = await self._said.get()
                if said is not None:
                    yield said
                    continue
                left -= 1
                for task in tasks:
                    if task.done():
                        task.result()
            self.results = [await task for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            if tasks:  # a server that reads nothing cannot be told that its call is cancelled
                await asyncio.wait(tasks, timeout=STOP_SECONDS)

    async def _carry_out(self, wish: RequestedCall) -> ToolResult:
        call_id = f"call_{secrets.token_hex(8)}"
        try:
            return await self._called(call_id, wish)
        finally:
            # put after the task is done, so that `outputs` then finds its result or error
            asyncio.get_running_loop().call_soon(self._said.put_nowait, None)

    async def _called(self, call_id: str, wish: RequestedCall) -> ToolResult:
        try:
            available, arguments = self._understood(wish)
        except InvalidCall as why:
            self.invalid += 1
            self._say(ToolUse(call_id, wish.name, wish.arguments, "hub"))
            return self._told(_refusal(call_id, "not_understood", str(why)))
        if available.tool.needs_approval and not await self._approved(call_id, available, arguments):
            return _refusal(call_id, "denied", "nobody allowed this call")
        use = ToolUse(call_id, available.tool.name, arguments, available.runs_at)
        if available.server is None:
            return await self._by_client(use)
        self._say(use)
        return self._told(await self._servers.call(available.server, call_id, available.name, arguments))

    def _understood(self, wish: RequestedCall) -> tuple[AvailableTool, Any]:
        available = self._toolbox.get(wish.name)
        if available is None:
            raise InvalidCall(f"unknown tool {wish.name!r}; available: {', '.join(self._toolbox)}")
        return available, decoded(wish.arguments)

    async def _approved(self, call_id: str, available: AvailableTool, arguments: Any) -> bool:
        request_id = secrets.token_hex(8)
        detail = {"call_id": call_id, "arguments": arguments, "runs_at": available.runs_at}
        with self._answers.expected(request_id) as answer:
            self._say(Permission(request_id, available.tool.name, detail, OPTIONS))
            return bool(await answer == ALLOW)

    async def _by_client(self, use: ToolUse) -> ToolResult:
        with self._answers.expected(use.call_id) as answer:
            self._say(use)
            try:
                async with asyncio.timeout(self._seconds):
                    result: ToolResult = await answer
            except TimeoutError as error:
                detail = f"the client did not return the result of {use.name} within {self._seconds:g} s"
                raise ToolUnanswered(detail, retryable=True, tool=use.name, call_id=use.call_id) from error
        return result

    def _told(self, result: ToolResult) -> ToolResult:
        self._say(result)
        return result

    def _say(self, output: Output) -> None:
        self._said.put_nowait(output)


def decoded(arguments: str) -> dict[str, Any]:
    """Return the arguments of a call as an object; empty if there are none.

    Raises:
        InvalidCall: they are not a JSON object, are nested too deeply, or contain a lone surrogate.
    """
    try:
        value = msgspec.json.decode(arguments or "{}")
        msgspec.json.encode(value)
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise InvalidCall(f"the arguments are not JSON: {error}") from error
    except RecursionError as error:
        raise InvalidCall("the arguments are nested too deeply") from error
    if not isinstance(value, dict):
        raise InvalidCall("the arguments are not a JSON object")
    if is_deep(value):
        raise InvalidCall(f"the arguments are nested deeper than {LEVELS} levels")
    return value


def _refusal(call_id: str, code: str, detail: str) -> ToolResult:
    return ToolResult(call_id, {"code": code, "detail": detail}, is_error=True)
