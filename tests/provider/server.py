"""The provider as an HTTP server on loopback: routes, keys, the queue of scripts, the record of calls."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

from tests.provider import anthropic_messages, gemini, openai_chat, openai_responses
from tests.provider.dialect import Counting, Dialect
from tests.provider.gate import Gate
from tests.provider.reply import damaged, stream
from tests.provider.script import Asked, Failure, Script, echo, recalled

Decide = Callable[[Asked], Script]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Call:
    """One request, and its outcome: open, answered (cut short or not), refused, or left (the caller
    disconnected first). `port`: the caller's, which is the same for all calls over one connection."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any] | None
    port: int
    outcome: str = "open"
    _ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False, compare=False)

    @property
    def key(self) -> str:
        """The key of the caller, or "" if there is none."""
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return bearer or self.headers.get("x-api-key", "") or self.headers.get("x-goog-api-key", "")

    def end(self, outcome: str) -> None:
        """Set the outcome."""
        self.outcome = outcome
        self._ended.set()

    async def ended(self) -> str:
        """Wait until the call has ended, and return its outcome."""
        await self._ended.wait()
        return self.outcome


class _Control(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_script`."""

    queue: list[Script] = []
    default: Script | None = None


class ProviderServer:
    """An OpenAI, Anthropic and Gemini provider; `url` is its root, to which a client adds `/v1` (or
    `/v1beta`).

    Each call uses up the next script, in order of arrival; when none is left,
    `default` decides. `models` are listed at `/v1/models`. `key` is what a call without a script must
    show: None any key, "" none, anything else that one.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        models: tuple[str, ...] = ("test-model",),
        key: str | None = None,
        default: Decide = echo,
    ) -> None:
        self.models = models
        self.default = self._first_default = default
        self.calls: list[Call] = []
        self.url = ""
        self._port = port
        self._key = key
        self._queue: deque[Script] = deque()
        self._gates: dict[str, Gate] = {}
        self._arrived = asyncio.Condition()
        # short, so that connections that a test left open are cut soon
        self._runner = web.AppRunner(
            self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies of all calls that had one, in order of arrival."""
        return [call.body for call in self.calls if call.body is not None]

    def script(self, *scripts: Script) -> None:
        """Put scripts at the end of the queue."""
        self._queue.extend(scripts)

    def gate(self, name: str) -> Gate:
        """Return the gate of that name, which is created on first use by either side."""
        return self._gates.setdefault(name, Gate())

    async def received(self, count: int) -> list[Call]:
        """Wait until `count` calls have arrived, and return all of them."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.calls) >= count)
        return self.calls

    def _application(self) -> web.Application:
        # the hub's largest prompts exceed aiohttp's default limit
        app = web.Application(client_max_size=1 << 26)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._serve(openai_chat)),
                web.post("/v1/responses", self._serve(openai_responses)),
                web.post("/v1/messages", self._serve(anthropic_messages)),
                web.post("/v1beta/models/{model:[^:]+}:generateContent", self._serve(gemini)),
                web.post("/v1beta/models/{model:[^:]+}:{stream:streamGenerateContent}", self._serve(gemini)),
                web.post("/v1/messages/count_tokens", self._count(anthropic_messages)),
                web.post("/v1beta/models/{model:[^:]+}:countTokens", self._count(gemini)),
                web.get("/v1/models", self._list_models),
                web.get("/v1beta/models", self._list_models),
                web.post("/_script", self._control),
                web.delete("/_script", self._begin_anew),
                web.get("/_requests", self._recorded),
                web.delete("/_requests", self._forget),
                web.get("/_gates/{name}", self._await_gate),
                web.post("/_gates/{name}", self._release_gate),
            ]
        )
        return app

    def _serve(self, dialect: Dialect) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            call = await self._record(request)
            # parameters in the path are handled like members of the body
            asked = dialect.asked((call.body or {}) | dict(request.match_info))
            script = self._queue.popleft() if self._queue else self.default(asked)
            script = recalled(script, msgspec.json.encode(call.body).decode())
            return await self._settle(call, self._answer(request, call, dialect, asked, script))

        return handler

    async def _settle(self, call: Call, answering: Awaitable[web.StreamResponse]) -> web.StreamResponse:
        """Run the answer, and record how the call ended."""
        try:
            response = await answering
        except (asyncio.CancelledError, ConnectionError):
            call.end("left")
            raise
        call.end("answered" if response.status < 400 else "refused")
        return response

    async def _answer(
        self, request: web.Request, call: Call, dialect: Dialect, asked: Asked, script: Script
    ) -> web.StreamResponse:
        await self._before_headers(script)
        if refused := self._refusal(call, script):
            return _failed(refused, dialect)
        if not asked.stream:
            await asyncio.sleep(script.first_delay)
            return web.Response(body=dialect.answer(script, asked), content_type="application/json")
        return await stream(
            request, script, damaged(script, dialect.frames(script, asked), dialect), self.gate
        )

    async def _before_headers(self, script: Script) -> None:
        if script.head_delay:
            await asyncio.sleep(script.head_delay)
        if -1 in script.hold:
            await self.gate(script.hold[-1]).passed()

    def _refusal(self, call: Call, script: Script) -> Failure | None:
        wanted = self._key if script.key is None else script.key
        if (not call.key) if wanted is None else (wanted not in ("", call.key)):
            return Failure(401)
        return script.failure if script.error_after is None else None

    async def _record(self, request: web.Request) -> Call:
        body = msgspec.json.decode(await request.read()) if request.can_read_body else None
        headers = {name.lower(): value for name, value in request.headers.items()}
        peer = request.transport.get_extra_info("peername") if request.transport else None
        call = Call(len(self.calls), request.path, headers, body, peer[1] if peer else 0)
        self.calls.append(call)
        async with self._arrived:
            self._arrived.notify_all()
        return call

    async def _list_models(self, request: web.Request) -> web.Response:
        call = await self._record(request)
        dialect: Dialect = anthropic_messages if "anthropic-version" in request.headers else openai_chat
        if request.path.startswith("/v1beta/"):
            dialect = gemini
        if refused := self._refusal(call, Script()):
            call.end("refused")
            return _failed(refused, dialect)
        call.end("answered")
        return web.Response(body=dialect.models(self.models), content_type="application/json")

    def _count(self, dialect: Counting) -> Handler:
        """Count tokens, without using up a script, unless the next one is a failure."""

        async def handler(request: web.Request) -> web.StreamResponse:
            call = await self._record(request)
            asked = dialect.asked((call.body or {}) | dict(request.match_info))
            fails = self._queue and self._queue[0].failure is not None
            script = self._queue.popleft() if fails else Script()
            if refused := self._refusal(call, script):
                call.end("refused")
                return _failed(refused, dialect)
            call.end("answered")
            return web.Response(body=dialect.counted(asked), content_type="application/json")

        return handler

    async def _control(self, request: web.Request) -> web.Response:
        try:
            control = msgspec.json.decode(await request.read(), type=_Control)
        except msgspec.DecodeError as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from error
        self.script(*control.queue)
        if (default := control.default) is not None:
            self.default = lambda asked: default
        return web.Response(status=204)

    async def _recorded(self, request: web.Request) -> web.Response:
        rows = [
            {"number": call.number, "path": call.path, "headers": call.headers, "body": call.body}
            | {"outcome": call.outcome}
            for call in self.calls
        ]
        return web.Response(body=msgspec.json.encode(rows), content_type="application/json")

    async def _begin_anew(self, request: web.Request) -> web.Response:
        self.default = self._first_default
        self._gates.clear()
        return await self._forget(request)

    async def _forget(self, request: web.Request) -> web.Response:
        self.calls.clear()
        self._queue.clear()
        return web.Response(status=204)

    async def _await_gate(self, request: web.Request) -> web.Response:
        await self.gate(request.match_info["name"]).reached()
        return web.Response(status=204)

    async def _release_gate(self, request: web.Request) -> web.Response:
        self.gate(request.match_info["name"]).release()
        return web.Response(status=204)


def _failed(failure: Failure, dialect: Dialect) -> web.Response:
    body = dialect.refusal(failure) if failure.body is None else failure.body.encode()
    headers = {"content-type": "application/json"} | failure.headers
    return web.Response(status=failure.status, headers=headers, body=body)
