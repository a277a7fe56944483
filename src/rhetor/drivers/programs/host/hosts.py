"""The hosts of a hub: starts them detached, finds them after a restart, and removes what they left.

It knows folders, identities and processes. The requests over a host's socket are in `link.py`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from pathlib import Path

from rhetor.codec import host_frames as frames
from rhetor.domain.secrets import Secrets, secret_values
from rhetor.errors import InvalidSettings, KeysUnavailable, ProgramMissing, ProgramRefused, SealBroken

from .failures import HostIdTaken, HostLost, HostRefused, HostSilent, ProgramAlive
from .folder import HostFolder, boot_id, processes_of, runs, start_time
from .link import LOOK_SECONDS, HostLink
from .reach import LocalReach
from .spec import HostIdentity, Limits, ProgramSpec, request
from .spool_keys import SpoolKeys, library
from .values import Chunk, Exited

_log = logging.getLogger(__name__)

LONGEST_SOCKET_PATH = 100
START_SECONDS = 30.0

# run as a file, not as a module, so that a host imports only what it needs
_HOST = Path(__file__).parents[3] / "host" / "__main__.py"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class HostGone:
    """A host that is gone. `exited`: how its program ended; None if it was lost together with its host."""

    def __init__(self, host_id: str, folder: HostFolder) -> None:
        self.host_id = host_id
        self.exited: Exited | None = folder.exited()
        self._folder = folder

    @property
    def lost(self) -> bool:
        return self.exited is None

    def link(self) -> HostLink | None:
        """Return a link that reads what the host has left; None if the host failed before it recorded its
        identity."""
        identity = self._folder.identity()
        return HostLink(LocalReach(identity, self._folder), None) if identity else None

    def read(self, offset: int) -> AsyncGenerator[Chunk | Exited, None]:
        """Yield the output that is left from `offset` on. Exited is the last item.

        Raises:
            HostLost: after the last piece, if the program was lost.
        """
        return self._folder.read(offset)


class Hosts:
    """The hosts with folders in `folder`. If the path of a socket there is too long, it goes to `sockets`.
    Both folders are created when needed, with mode 0700. The `secrets`, and those in a program's environment,
    are masked in its spool. `keys`: open sealed spools; if they are active, those of all programs are
    sealed."""

    def __init__(
        self,
        folder: Path,
        sockets: Path,
        *,
        python: str = sys.executable,
        orphan_seconds: float = 86400.0,
        reap_after: float = 10.0,
        spool_limit: int = 256 << 20,
        keep_bytes: int = 1 << 20,
        segment_bytes: int = 16 << 20,
        secrets: Secrets | None = None,
        keys: SpoolKeys | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._sockets = sockets.absolute()
        self._python = python
        self._secrets = Secrets() if secrets is None else secrets
        self._keys = keys
        self._sealing = keys if keys is not None and keys.active else None
        self._limits = Limits(orphan_seconds, reap_after, spool_limit, keep_bytes, segment_bytes)

    async def start(self, host_id: str, spec: ProgramSpec) -> HostLink:
        """Start a program under a host of its own. `host_id`: 1–64 letters, digits, `-` and `_`.

        Raises:
            ProgramMissing: the executable does not exist.
            ProgramRefused: the program cannot be started for another reason.
            HostIdTaken: a folder for this id already exists.
        """
        folder = self._new_folder(host_id)
        try:
            socket = self._socket(host_id)
            masked = sorted({*self._secrets.texts, *secret_values(spec.env)}, key=len, reverse=True)
            key = await asyncio.to_thread(self._sealing.create, folder) if self._sealing else None
            asked = request(
                *(spec, self._limits, str(folder), str(socket), secrets.token_bytes(16), masked),
                seal_key=key,
                library=library() if key else "",
            )
            answer = dict(frames.unpack_fields(await self._launch(asked, spec)))
            _check_started(answer, spec)
            return await self._link(host_id)
        except BaseException:  # also if the caller is cancelled
            self._undo(host_id)
            raise

    def _undo(self, host_id: str) -> None:
        """End the host if it is running already, and remove its folder."""
        folder = self.folder_of(host_id)
        identity = folder.identity()
        if identity is not None and runs(identity):
            with suppress(ProcessLookupError):
                os.kill(identity.host_pid, signal.SIGTERM)
                os.kill(identity.host_pid, signal.SIGCONT)
        shutil.rmtree(folder.path, ignore_errors=True)

    def _new_folder(self, host_id: str) -> Path:
        folder = self.folder_of(host_id).path
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise HostIdTaken(host_id) from None
        return folder

    def _socket(self, host_id: str) -> Path:
        near = self._folder / host_id / "sock"
        if len(os.fsencode(near)) <= LONGEST_SOCKET_PATH:
            return near
        self._sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        far = self._sockets / f"{host_id}.host"
        if len(os.fsencode(far)) > LONGEST_SOCKET_PATH:
            raise InvalidSettings(
                f"{far}: this path is too long for a socket; set RHETOR_HOME to a shorter path"
            )
        return far

    async def _launch(self, asked: bytes, spec: ProgramSpec) -> bytes:
        """Run the launcher, which exits as soon as the program runs or cannot be started.

        The host is not a child of the hub: it outlives the hub, and the hub need not wait for it.
        """
        launcher = await asyncio.create_subprocess_exec(
            *(self._python, "-I", "-S", str(_HOST)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                answer, _ = await launcher.communicate(asked)
        except TimeoutError:
            raise _refused(spec, f"it did not start within {START_SECONDS:.0f} s") from None
        finally:
            if launcher.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(launcher.pid, signal.SIGKILL)
                await launcher.wait()
        return answer

    async def _link(self, host_id: str) -> HostLink:
        folder = self.folder_of(host_id)
        identity = folder.identity()
        assert identity is not None
        return await HostLink.open(LocalReach(identity, folder))

    async def find(self, host_id: str) -> HostLink | HostGone:
        """Find the host with this id. Its pid, start time, boot id and nonce must be those of the process
        that was started. If the host was killed, remaining processes of its program are killed. A host that
        does not answer within `LOOK_SECONDS` is returned as a link that is not `connected` yet.

        Raises:
            HostRefused: the process is the same, but the nonce is wrong (its folder was tampered with).
        """
        folder = self.folder_of(host_id)
        identity = folder.identity()
        if identity is None:
            return HostGone(host_id, folder)
        if runs(identity):
            reach = LocalReach(identity, folder)
            # the host may exit before it answers
            with suppress(ConnectionError, EOFError):
                try:
                    return await self._sealed(await HostLink.open(reach, LOOK_SECONDS))
                except HostSilent:
                    return HostLink(reach, None)
        if folder.exited() is None:
            _sweep(identity)
        return HostGone(host_id, folder)

    async def _sealed(self, link: HostLink) -> HostLink:
        """Have a host seal its spool that was started before sealing was switched on."""
        if self._sealing is None:
            return link
        folder = self.folder_of(link.host_id).path
        try:
            key = await asyncio.to_thread(self._sealing.of, folder)
            await link.seal(key, library())
        except (HostRefused, HostSilent, HostLost, KeysUnavailable, SealBroken) as error:
            # the program is worth more than its spool; `reason` says what to do
            _log.warning(
                "a program's output stays unsealed", extra={"host": link.host_id, "reason": str(error)}
            )
        return link

    def renew_keys(self) -> None:
        """Seal the keys of all hosts with the current data key.

        Raises:
            KeysUnavailable, SealBroken: the key of a host cannot be opened or stored.
        """
        if self._keys is not None:
            for host_id in self.known():
                self._keys.renew(self.folder_of(host_id).path)

    def known(self) -> Sequence[str]:
        """Return the ids of all hosts that have a folder, sorted."""
        if not self._folder.is_dir():
            return ()
        return sorted(entry.name for entry in self._folder.iterdir() if _ID.fullmatch(entry.name))

    def forget(self, host_id: str) -> None:
        """Remove the folder of a host whose program has ended, including unread output.

        Raises:
            ProgramAlive: the program is still running.
        """
        folder = self.folder_of(host_id)
        identity = folder.identity()
        if identity is not None:
            if runs(identity):
                if folder.exited() is None:
                    raise ProgramAlive(host_id)
                with suppress(ProcessLookupError):
                    os.kill(identity.host_pid, signal.SIGTERM)
                    os.kill(identity.host_pid, signal.SIGCONT)
            elif folder.exited() is None:
                _sweep(identity)
            Path(identity.socket).unlink(missing_ok=True)
        shutil.rmtree(folder.path, ignore_errors=True)

    def folder_of(self, host_id: str) -> HostFolder:
        """Return the folder of a host, which may not exist.

        Raises:
            HostRefused: the id is invalid.
        """
        if not _ID.fullmatch(host_id):
            raise HostRefused(host_id[:64], "a host id must have 1–64 letters, digits, - and _")
        return HostFolder(self._folder / host_id, self._keys)


def _check_started(answer: dict[str, bytes], spec: ProgramSpec) -> None:
    if "started" in answer:
        return
    name = answer.get("errno", b"").decode()
    stage = answer.get("stage", b"").decode()
    reason = answer.get("reason", b"its host exited without a report").decode()
    if stage == "exec" and name in ("ENOENT", "ENOTDIR"):
        raise ProgramMissing(spec.argv[0])
    raise _refused(spec, f"{stage}: {reason}" if stage else reason, name)


def _refused(spec: ProgramSpec, reason: str, errno: str = "") -> ProgramRefused:
    executable = spec.argv[0] if spec.argv else ""
    detail = f"{executable} cannot be started: {reason}"
    return ProgramRefused(detail, executable=executable, reason=reason, errno=errno)


def _sweep(identity: HostIdentity) -> None:
    """Kill what a killed host has left: its program died with it, but descendants may still run."""
    if identity.boot_id != boot_id():
        return
    if start_time(identity.program_pid) not in (None, identity.program_start):
        return  # the pid was reused
    for pid in processes_of(identity.program_pid):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
