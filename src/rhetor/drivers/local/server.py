"""The process that runs one small model: `python -P -m rhetor.drivers.local.server`.

It reads what to run as one line of JSON on stdin, and writes one line of JSON on stdout: the URL of its API,
or why it cannot start. It ends with the hub: when stdin ends, and on Linux also by a signal of the kernel. It
imports nothing else of the package, so that it starts fast.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

HOST = "127.0.0.1"
SLOTS = 2  # answers at once; more requests wait for one of them
CONNECTIONS = 32  # of clients that wait or read; each takes a thread
CACHE_MIB = 256  # for the prompts of earlier conversations
_ERRORS_ONLY = 1
_PDEATHSIG, _KILL = 1, 9


def threads(cores: int) -> int:
    """Return the number of threads that compute. Each layer waits for all of them, so if other programs keep
    one of the cores busy, a thread for each core makes answers many times slower."""
    return max(1, min(cores // 2, 8))


def main() -> None:
    """Run the model that stdin describes until stdin ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever the library prints is not an answer
    _die_with_parent()
    given = json.loads(_line())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        url = _serve(given)
    except Exception as error:  # noqa: BLE001  # the hub reports it
        os.write(answers, json.dumps({"error": str(error) or type(error).__name__}).encode() + b"\n")
        sys.exit(1)
    os.write(answers, json.dumps({"url": url}).encode() + b"\n")
    os.close(answers)
    threading.Event().wait()


_server: Any = None  # it stops when nothing refers to it


def _serve(given: dict[str, Any]) -> str:
    """Load the model, and return the URL of the API. This takes from half a second to minutes."""
    global _server
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = given["path"]
    params.model_alias = {given["name"]}
    params.hostnames, params.port, params.api_keys = [HOST], 0, [given["key"]]
    params.n_ctx, params.n_parallel, params.kv_unified = given["context"], SLOTS, True
    params.n_threads_http, params.cache_ram_mib = CONNECTIONS, CACHE_MIB
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads(os.cpu_count() or 1)
    params.n_predict = given["most_tokens"]
    # a prompt that is too long is an error, and never cut
    params.ctx_shift = False
    params.warmup, params.fit_params, params.ui = False, False, False
    params.cors_origins, params.cors_credentials = "", False
    params.verbosity = _ERRORS_ONLY
    for name, value in given["sampling"].items():
        setattr(params.sampling, name, value)
    _server = xllamacpp.Server(params)
    return str(_server.listening_address)


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        if not (piece := os.read(0, 1 << 16)):
            sys.exit(1)  # the hub has ended
        line += piece
    return line


def _end_with_stdin() -> None:
    while os.read(0, 1 << 16):
        pass
    os._exit(0)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PDEATHSIG, _KILL, 0, 0, 0)


if __name__ == "__main__":
    main()
