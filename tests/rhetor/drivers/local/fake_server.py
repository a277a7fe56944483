"""A process that behaves like that of a model, as its arguments say: `ok`, `busy`, `fails` or `ends`."""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KIND = sys.argv[1]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        key = self.headers["authorization"] == f"Bearer {GIVEN['key']}"
        body = json.dumps([{"id": 0, "is_processing": KIND == "busy"}]).encode()
        self.send_response(200 if key else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


GIVEN: dict[str, Any] = json.loads(sys.stdin.readline())
with open(os.environ["TMPDIR"] + "/starts", "a") as file:
    file.write(f"{os.getpid()}\n")
if KIND == "ends":
    sys.stderr.write("loading\nbad file\n")
    sys.exit(3)
if KIND == "fails":
    sys.stdout.write(json.dumps({"error": "no memory"}) + "\n")
    sys.stdout.flush()
else:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}) + "\n")
    sys.stdout.flush()
    server.serve_forever()
