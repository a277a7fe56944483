"""Third-party clients that tests run."""

from __future__ import annotations

import fcntl
import os
import subprocess
from functools import cache
from pathlib import Path

from tests.needs import lacking, needs

CACHE = Path(os.environ.get("AISH_CLIENTS") or Path.home() / ".cache" / "aish-clients")
WS = "ws@8"
SOCKETIO = "socket.io-client@4"
NODE = "node@22"  # for clients that need a newer Node than a distribution has
INSPECTOR = "@modelcontextprotocol/inspector@2"
CONFORMANCE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
AXE = "axe-core@4.14.1"  # checks pages for people who use a screen reader, or see less
INSTALL_SECONDS = 120.0
# AISH_BROWSER=chromium-headless-shell draws pages only, and takes a seventh of the time. The others draw
# whole windows, and know more of what a desktop's browser does.
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSERS = (*filter(None, [os.environ.get("AISH_BROWSER")]), *_BROWSERS)


def node_with_ws() -> tuple[str, Path]:
    """Return the path of Node, and a folder in which it finds `ws`; see `tests.needs` if one is missing."""
    return needs("node"), folder_with(WS)


def node_with_socketio() -> tuple[str, Path]:
    """Do the same with `socket.io-client`."""
    return needs("node"), folder_with(SOCKETIO)


def folder_with(*packages: str) -> Path:
    """Return a folder in which npm has installed these packages. It has the name of the first of them."""
    name = packages[0].rpartition("@")[0]
    if why := _is_missing(name, packages):
        lacking(why)
    return _folder(name)


def _folder(name: str) -> Path:
    return CACHE / name.replace("/", "_")


@cache
def _is_missing(name: str, packages: tuple[str, ...]) -> str:
    """Return why npm cannot install the packages into the cache, or ""; tried once per run."""
    folder = _folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes that install into one folder break each other
        if (folder / "complete").exists():
            return ""
        if why := _install(folder, packages):
            return why
        (folder / "complete").touch()
    return ""


def _install(folder: Path, packages: tuple[str, ...]) -> str:
    command = [needs("npm"), "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--no-progress"]
    try:
        subprocess.run(
            [*command, "--fetch-retries=0", "--fetch-timeout=15000", *packages],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.SubprocessError as error:
        return f"npm could not install {' and '.join(packages)} ({type(error).__name__})"
    return ""
