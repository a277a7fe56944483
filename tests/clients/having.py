"""Third-party clients that tests run."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from tests.needs import lacking, needs

CACHE = Path(os.environ.get("AISH_CLIENTS") or Path.home() / ".cache" / "aish-clients")
WS = "ws@8"
SOCKETIO = "socket.io-client@4"
INSTALL_SECONDS = 60.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def node_with_ws() -> tuple[str, Path]:
    """Return the path of Node, and a folder in which it finds `ws`; see `tests.needs` if one is missing."""
    return _node_with("ws", WS)


def node_with_socketio() -> tuple[str, Path]:
    """Do the same with `socket.io-client`."""
    return _node_with("socket.io-client", SOCKETIO)


def _node_with(name: str, package: str) -> tuple[str, Path]:
    node = needs("node")
    if why := _is_missing(name, package):
        lacking(why)
    return node, CACHE / name


@cache
def _is_missing(name: str, package: str) -> str:
    """Return why npm cannot install the package into the cache, or ""; tried once per run."""
    folder = CACHE / name
    if (folder / "node_modules" / name / "package.json").exists():
        return ""
    npm = needs("npm")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--no-progress"]
    try:
        subprocess.run(
            [*command, "--fetch-retries=0", "--fetch-timeout=15000", package],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.SubprocessError as error:
        return f"npm could not install {package} ({type(error).__name__})"
    return ""
