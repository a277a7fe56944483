"""`python -m tests.provider`: the provider in its own process, for end-to-end tests and benchmarks."""

import argparse
import asyncio
import signal
import sys

import uvloop
from msgspec.structs import replace

from tests.provider.script import Script, echo
from tests.provider.server import Decide, ProviderServer


def main() -> None:
    """Serve until SIGINT or SIGTERM; the first line on stdout is the URL."""
    uvloop.run(_serve(_arguments()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chunks", type=int, help="answer every call with so many chunks")
    parser.add_argument("--chunk-bytes", type=int, default=16, help="length of each of them")
    parser.add_argument("--interval", type=float, default=0.0, help="seconds between two chunks")
    parser.add_argument("--burst", type=int, default=1, help="chunks in one write")
    parser.add_argument("--model", action="append", help="a name to list at /v1/models")
    parser.add_argument("--key", help='the key to ask for; "" asks for none')
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    models = tuple(arguments.model or ["test-model"])
    async with ProviderServer(
        port=arguments.port, models=models, key=arguments.key, default=_default(arguments)
    ) as server:
        sys.stdout.write(f"listening on {server.url}\n")
        sys.stdout.flush()
        await stop.wait()


def _default(arguments: argparse.Namespace) -> Decide:
    if arguments.chunks is None:
        return lambda asked: replace(echo(asked), delay=arguments.interval)
    word = "x" * (arguments.chunk_bytes - 1) + " "
    script = Script(chunks=(word,) * arguments.chunks, delay=arguments.interval, burst=arguments.burst)
    return lambda asked: script


if __name__ == "__main__":
    main()
