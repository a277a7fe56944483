"""CPU time of the hub for a call of a client of MCP, compared with a bare server of the MCP library.

The bare server has the same tools, with constant results. The calls follow one another on one connection, and
the benchmark alternates between the servers. Up to 2025-11-25 a client has a session, and the library answers
with an event stream; since 2026-07-28 each request stands alone. `ask_peer` asks the offline model, and
includes its whole turn with the log. The last rows show what remains without the cost of the same request
through REST, which is what MCP itself costs.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from bench.disk import disk_figure
from bench.load import Plan, post, put_load
from bench.mcp_bare import running_bare_server
from bench.process import cpu, running_hub
from bench.table import Figure

ROUNDS, CALLS = 5, 200
LEGACY, MODERN, REST = "2025-11-25", "2026-07-28", "REST"
LIMIT_MS = 1.0
CALLED: dict[str, tuple[str, dict[str, Any]]] = {
    "tools/list": ("tools/list", {}),
    "list_peers": ("tools/call", {"name": "list_peers", "arguments": {}}),
    "ask_peer": ("tools/call", {"name": "ask_peer", "arguments": {"peer": "apollo", "message": "hi"}}),
}


@dataclass(slots=True)
class Side:
    """A server, and the milliseconds of CPU time per call so far, by revision and call."""

    pid: int
    port: int
    token: str = ""
    sessions: dict[str, str] = field(default_factory=dict)
    spent: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def request(self, version: str, called: str) -> str:
        """Return the text of a request."""
        method, params = CALLED[called]
        if version == MODERN:
            own = "io.modelcontextprotocol/"
            meta = {f"{own}protocolVersion": version, f"{own}clientCapabilities": {}}
            params = {**params, "_meta": meta}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        head = {**self.headers(version), "Content-Length": str(len(body))}
        if version == MODERN:
            head |= {"Mcp-Method": method} | ({"Mcp-Name": called} if method == "tools/call" else {})
        lines = [f"{name}: {value}\r\n" for name, value in head.items()]
        return f"POST /mcp HTTP/1.1\r\n{''.join(lines)}\r\n{body}"

    def headers(self, version: str) -> dict[str, str]:
        found = {
            "Host": f"127.0.0.1:{self.port}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Mcp-Protocol-Version": version,
        }
        if self.token:
            found["Authorization"] = f"Bearer {self.token}"
        if version in self.sessions:
            found["Mcp-Session-Id"] = self.sessions[version]
        return found

    def begin(self) -> None:
        """Open a session of the older revision."""
        client = {"name": "bench", "version": "1"}
        hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client}
        self.sessions[LEGACY] = self._posted("initialize", hello, 1)
        self._posted("notifications/initialized", {})

    def _posted(self, method: str, params: Mapping[str, Any], id: int | None = None) -> str:
        """Send a message of the older revision, and return the id of the session."""
        message = {"jsonrpc": "2.0", "method": method, "params": params, **({"id": id} if id else {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/mcp", json.dumps(message), self.headers(LEGACY))
            answer = connection.getresponse()
            said = answer.read()
            if answer.status >= 300:
                raise RuntimeError(said.decode())
            return answer.headers.get("mcp-session-id") or ""
        finally:
            connection.close()

    def measure(self, version: str, called: str) -> None:
        request = self.request(version, called)
        before = cpu(self.pid)
        put_load(Plan(request, '"isError":false' if "/" not in called else '"tools":', CALLS, port=self.port))
        each = (cpu(self.pid) - before) / CALLS * 1e3
        self.spent.setdefault((version, called), []).append(each)

    def measure_rest(self) -> None:
        """Measure what `ask_peer` and `list_peers` do, through REST."""
        host = f"127.0.0.1:{self.port}"
        message = post("/api/v2/ai/apollo/message", {"content": "hi"}, self.token, host)
        head = f"Host: {host}\r\nAuthorization: Bearer {self.token}\r\n"
        listing = f"GET /api/v2/ai HTTP/1.1\r\n{head}\r\n"
        for called, request, part in (
            ("ask_peer", message, '"response":'),
            ("list_peers", listing, '"peers":'),
        ):
            before = cpu(self.pid)
            put_load(Plan(request, part, CALLS, port=self.port))
            self.spent.setdefault((REST, called), []).append((cpu(self.pid) - before) / CALLS * 1e3)

    def least(self, version: str, called: str) -> float:
        return min(self.spent[version, called])


def run() -> list[Figure]:
    with ExitStack() as stack:
        hub = stack.enter_context(running_hub({"RHETOR_MODELS__DEFAULT": "offline"}))
        ours = Side(hub.pid, hub.port, hub.token)
        results = {name: _result(ours, name) for name in CALLED if "/" not in name}
        bare = stack.enter_context(running_bare_server(results))
        theirs = Side(bare.pid, bare.port)
        for side in (ours, theirs):
            side.begin()
        for _ in range(ROUNDS):
            ours.measure_rest()
            for version in (LEGACY, MODERN):
                for called in CALLED:
                    for side in (ours, theirs):
                        side.measure(version, called)
    rows = [_figure(version, called, ours, theirs) for version in (LEGACY, MODERN) for called in CALLED]
    added = [_added(ours, *each) for each in product((LEGACY, MODERN), ("list_peers", "ask_peer"))]
    return [disk_figure(), *rows, *added]


def _result(side: Side, tool: str) -> Any:
    """Return the hub's result of a tool."""
    connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=30)
    try:
        head, body = side.request(MODERN, tool).split("\r\n\r\n")
        lines = (line.partition(": ") for line in head.split("\r\n")[1:])
        connection.request("POST", "/mcp", body, {name: value for name, _, value in lines})
        return json.loads(connection.getresponse().read())["result"]
    finally:
        connection.close()


def _added(ours: Side, version: str, called: str) -> Figure:
    """Return the row that shows what MCP adds to a request."""
    rest = ours.least(REST, called)
    added = ours.least(version, called) - rest
    measured = f"{added:.2f} ms (through REST: {rest:.2f} ms)"
    return Figure(f"… {version}, {called}, more than through REST", measured, *_limit(added))


def _limit(spent: float) -> tuple[str, bool]:
    return f"≤{LIMIT_MS:g} ms", spent <= LIMIT_MS


def _figure(version: str, called: str, ours: Side, theirs: Side) -> Figure:
    spent, base = ours.least(version, called), theirs.least(version, called)
    measured = f"{spent:.2f} ms (the bare server: {base:.2f} ms; {spent / base:.2f}×)"
    limit = _limit(spent) if (REST, called) not in ours.spent else ("", None)
    return Figure(f"CPU a call, {version}, {called}", measured, *limit)
