"""Downloads large files over HTTP. A download that was cut off continues where it stopped."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from msgspec.structs import replace

from rhetor.drivers.models.network import certificates
from rhetor.drivers.models.urls import Reach, Resolve, check_url, is_loopback, pin, resolved
from rhetor.errors import DownloadFailed, Unprocessable

from .files import MEGABYTE, Note
from .gguf import MAGIC

if TYPE_CHECKING:
    import httpx2

SECONDS = 30.0  # to connect, and between two pieces
ATTEMPTS = 5  # in a row that bring nothing
PAUSE = 0.5  # seconds after such an attempt
REDIRECTS = 5
SPARE = 256 * MEGABYTE  # bytes that the disk must keep free
_PIECE = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_MOVED = (301, 302, 303, 307, 308)


async def fetch(
    url: str, part: Path, reach: Reach, note: Note | None = None, resolve: Resolve = resolved
) -> None:
    """Write the content of a URL to `part`, after what it already has. `reach` must allow the address of each
    host, also after redirects.

    Raises:
        Unprocessable: the URL may not be called, or is not that of a GGUF file.
        DownloadFailed: the content did not arrive.
    """
    import httpx2

    try:
        await check_url(url, reach, resolve)
    except Unprocessable as error:
        raise Unprocessable(f"url: {error.detail}", **error.data) from error
    await asyncio.to_thread(part.touch, 0o600)
    fruitless = 0
    trusted = await asyncio.to_thread(certificates)
    async with httpx2.AsyncClient(trust_env=False, verify=trusted, timeout=SECONDS) as client:
        while True:
            before = _size(part)
            try:
                await _continue(client, url, part, reach, note, resolve)
                return
            except (httpx2.HTTPError, TimeoutError) as error:
                fruitless = 0 if _size(part) > before else fruitless + 1
                if fruitless >= ATTEMPTS:
                    reason = str(error) or type(error).__name__
                    raise DownloadFailed(f"{url} cannot be downloaded: {reason}") from error
            await asyncio.sleep(PAUSE * fruitless)


async def _continue(
    client: httpx2.AsyncClient, url: str, part: Path, reach: Reach, note: Note | None, resolve: Resolve
) -> None:
    """Request what is missing, and write it. Return when the content is complete."""
    import httpx2

    size = _size(part)
    async with _answer(client, url, size, reach, resolve) as response:
        if response.status_code == 416 and size:
            await asyncio.to_thread(_cut, part, 0)  # start again: the content may have changed
            raise httpx2.RemoteProtocolError("the server rejected the range of the missing bytes")
        begin, total = _place(response, url)
        if begin != size:  # the server sends the whole content
            size = 0
        _require_space(part, 0 if total is None else total - size)
        await _write(response, url, part, size, total, note)
        if total is not None and _size(part) < total:
            raise httpx2.RemoteProtocolError("the connection closed before the end")


@asynccontextmanager
async def _answer(
    client: httpx2.AsyncClient, url: str, begin: int, reach: Reach, resolve: Resolve
) -> AsyncIterator[httpx2.Response]:
    """Yield the response to a request for the content from `begin` on, after all redirects."""
    began_here = is_loopback(url)  # another server must not lead to one on this machine
    headers = {"accept-encoding": "identity", **({"range": f"bytes={begin}-"} if begin else {})}
    for _ in range(REDIRECTS + 1):
        await check_url(url, reach, resolve)
        request = client.build_request("GET", url, headers=headers)
        await pin(request, reach, resolve)
        response = await client.send(request, stream=True)
        try:
            if response.status_code not in _MOVED:
                yield response
                return
            url = urljoin(url, response.headers.get("location", ""))
            reach = replace(reach, loopback=reach.loopback and began_here)
        finally:
            await response.aclose()
    raise DownloadFailed(f"{url} redirects more than {REDIRECTS} times")


def _place(response: httpx2.Response, url: str) -> tuple[int, int | None]:
    """Return where the response begins within the content, and the length of the content, if it is known."""
    status, length = response.status_code, response.headers.get("content-length", "")
    if status == 206 and (found := _RANGE.fullmatch(response.headers.get("content-range", ""))):
        return int(found[1]), int(found[2]) if found[2].isdigit() else None
    if status != 200:
        hint = "check the URL" if status < 500 else ""
        raise DownloadFailed(f"{url} answered with status {status}", **({"hint": hint} if hint else {}))
    if response.headers.get("content-encoding", "identity") != "identity":
        raise DownloadFailed(f"{url} was sent compressed; use a URL that sends the file itself")
    return 0, int(length) if length.isdigit() else None


async def _write(
    response: httpx2.Response, url: str, part: Path, size: int, total: int | None, note: Note | None
) -> None:
    held = bytearray()

    async def flush() -> None:
        nonlocal size
        if not size and not held.startswith(MAGIC):
            raise Unprocessable(f"{url} is not a GGUF model: it does not begin with GGUF")
        if total is None:  # nobody knows how much will come
            _require_space(part, len(held))
        await asyncio.to_thread(_cut, part, size, bytes(held))
        size += len(held)
        held.clear()
        if note is not None:
            note(size // MEGABYTE, None if total is None else total // MEGABYTE)

    try:
        async for piece in response.aiter_raw():
            held += piece
            if len(held) >= _PIECE:
                await flush()
    finally:
        if len(held) >= len(MAGIC) or (held and size):  # what has arrived is kept
            await flush()


def _cut(part: Path, size: int, more: bytes = b"") -> None:
    """Keep so many bytes of the file, and write others after them."""
    with part.open("r+b") as file:
        file.seek(size)
        file.truncate()
        file.write(more)


def _require_space(part: Path, more: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if more + SPARE > free:
        needed = more // MEGABYTE
        hint = "remove files, or local models (aish models remove NAME)"
        raise DownloadFailed(
            f"the disk has {free // MEGABYTE:,} MB free; the file needs {needed:,} MB", hint=hint
        )


def _size(part: Path) -> int:
    return part.stat().st_size
