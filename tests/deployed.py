"""The configurations on the pages about deployment, for the real programs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.certificates import Issued
from tests.needs import lacking

SECONDS = 60.0  # a limit for hanging tests
PAGES = Path(__file__).parents[1] / "docs/how-to"


def block(page: str, language: str) -> str:
    """Return the one block of code in this language on a page."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)
    return str(found)


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """Return the text with these changes, each at its only place."""
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def installed(name: str) -> str:
    """Return the path of a program that may be where only root looks."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or lacking(f"{name} is not installed")


def nginx(folder: Path, issued: Issued, text: str, port: int) -> list[str]:
    """Return the command of nginx with a page's configuration, without its defaults for root."""
    server = replaced(
        text,
        {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/ssl/certs/hub.crt": str(issued.files.certificate),
            "/etc/ssl/private/hub.key": str(issued.files.key),
        },
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        f"pid {folder}/pid; error_log stderr; daemon off; master_process off; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{server}}}\n"
    )
    return [installed("nginx"), "-p", str(folder), "-c", str(config), "-e", "stderr"]


async def until_it_listens(process: asyncio.subprocess.Process, port: int) -> None:
    """Wait until a proxy accepts connections."""
    async with asyncio.timeout(SECONDS):
        while True:
            assert process.returncode is None, "the proxy has ended; its output says why"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
