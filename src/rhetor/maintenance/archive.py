"""The file of a backup: a tar file whose last member lists the others with their digests.

Any program can look into it. A file that was cut, or of which a byte differs, is recognized. The keys of
sealed content, if they are in it, are never written to the disk as they are.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO, TypeVar

import msgspec
from msgspec import Struct

from rhetor.errors import RhetorError
from rhetor.sealing.age import NotOpened
from rhetor.sealing.portable import PortableKeys

FORMAT = 1
HEADER, KEYS, CONTENTS = "backup.json", "keys.json", "contents.json"
DATABASE = "hub.db"
DISTRIBUTION = "tekton-aish"
_NAME = re.compile(r"hub\.db|blobs/[0-9a-f]{64}|checkpoints/(objects\.db|[0-9]{1,19}\.pack)")
_PIECE = 1 << 20
_MOST_JSON = 1 << 30
T = TypeVar("T", "Header", "Contents", PortableKeys)


class InvalidBackup(RhetorError):
    """The file is not a complete and unchanged backup, or one that this version cannot read."""

    code, status = "invalid_backup", 422


class Header(Struct, frozen=True):
    """The first member. `at`: Unix time in milliseconds."""

    format: int
    at: int
    rhetor: str


class Member(Struct, frozen=True):
    """A file in the backup. `sha256`: its digest in hexadecimal."""

    name: str
    bytes: int
    sha256: str


class Contents(Struct, frozen=True):
    """The last member. `missing`: the files that the state folder should have had and had not."""

    files: Sequence[Member]
    missing: Sequence[str] = ()


class Writer:
    """Writes a backup. `progress` is called with the number of further bytes that were written."""

    def __init__(self, file: IO[bytes], at: int, progress: Callable[[int], None]) -> None:
        self._tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)
        self._at = at
        self._progress = progress
        self._members: list[Member] = []
        self._add(HEADER, msgspec.json.encode(Header(FORMAT, at, version(DISTRIBUTION))))

    def add(self, name: str, path: Path) -> None:
        """Add a file.

        Raises:
            FileNotFoundError: it does not exist; nothing was added.
            OSError: it cannot be read, or the backup cannot be written.
        """
        with path.open("rb") as source:
            info = self._info(name, path.stat().st_size)
            hashed = _Hashed(source, self._progress)
            self._tar.addfile(info, hashed)
        self._members.append(Member(name, info.size, hashed.digest.hexdigest()))

    def finish(self, missing: Sequence[str], keys: PortableKeys | None = None) -> None:
        """Write the keys of sealed content, and the list of contents, without which the backup is not
        complete."""
        if keys is not None:
            self._members.append(self._add(KEYS, msgspec.json.encode(keys)))
        self._add(CONTENTS, msgspec.json.encode(Contents(self._members, missing)))
        self._tar.close()

    def _add(self, name: str, data: bytes) -> Member:
        self._tar.addfile(self._info(name, len(data)), io.BytesIO(data))
        return Member(name, len(data), hashlib.sha256(data).hexdigest())

    def _info(self, name: str, size: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, self._at // 1000
        return info


class _Hashed(io.RawIOBase):
    """Reads a file, and computes its digest."""

    def __init__(self, source: IO[bytes], progress: Callable[[int], None]) -> None:
        self._source = source
        self._progress = progress
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        self._progress(len(data))
        return data


class Extracted(Struct, frozen=True):
    """The description of a backup in its own file. `keys`: of the sealed content in it; None if it has
    none."""

    header: Header
    contents: Contents
    keys: PortableKeys | None


def extract(path: Path, file: IO[bytes], folder: Path, progress: Callable[[int], None]) -> Extracted:
    """Write the files of a backup into an empty folder, and check them. `path`: as errors name it.

    Raises:
        InvalidBackup: the file is not a complete and unchanged backup, or of a newer format.
        OSError: a file cannot be read or written.
    """
    try:
        with tarfile.open(fileobj=file, mode="r|") as tar:
            extracted = _extract(path, tar, folder, progress)
        while file.read(_PIECE):
            pass  # the end of a sealed file says that it is complete
    except NotOpened as error:
        raise InvalidBackup(f"{path} is damaged: {error}") from error
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise InvalidBackup(f"{path} is not a backup, or it is damaged: {error}") from error
    return extracted


def _extract(path: Path, tar: tarfile.TarFile, folder: Path, progress: Callable[[int], None]) -> Extracted:
    header: Header | None = None
    keys: PortableKeys | None = None
    found: list[Member] = []
    for info in tar:
        if header is None:
            header = _header(path, tar, info)
        elif info.name == KEYS:
            member, data = _small(path, tar, info)
            found.append(member)
            keys = _json(path, info, data, PortableKeys)
        elif info.name == CONTENTS:
            contents = _json(path, info, _small(path, tar, info)[1], Contents)
            if sorted(contents.files, key=_by_name) != sorted(found, key=_by_name):
                raise InvalidBackup(f"{path} is damaged: its files are not those that it lists")
            if DATABASE not in {member.name for member in found}:
                raise InvalidBackup(f"{path} contains no {DATABASE}")
            return Extracted(header, contents, keys)
        else:
            found.append(_write(path, tar, info, folder, progress))
    raise InvalidBackup(f"{path} is incomplete: it has no {CONTENTS}; use another backup")


def _by_name(member: Member) -> str:
    return member.name


def _header(path: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> Header:
    if info.name != HEADER:
        raise InvalidBackup(f"{path} is not a backup of rhetor")
    header = _json(path, info, _small(path, tar, info)[1], Header)
    if header.format != FORMAT:
        raise InvalidBackup(
            f"{path} has format {header.format}, but this version of rhetor reads only format {FORMAT}; "
            f"install rhetor {header.rhetor}"
        )
    return header


def _small(path: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> tuple[Member, bytes]:
    """Return a member and its content."""
    file = tar.extractfile(info)
    if file is None or info.size > _MOST_JSON:
        raise InvalidBackup(f"{path} is damaged: {info.name} is not a file")
    data = file.read()
    return Member(info.name, len(data), hashlib.sha256(data).hexdigest()), data


def _json(path: Path, info: tarfile.TarInfo, data: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.DecodeError as error:
        raise InvalidBackup(f"{path} is damaged: {info.name}: {error}") from error


def _write(
    path: Path, tar: tarfile.TarFile, info: tarfile.TarInfo, folder: Path, progress: Callable[[int], None]
) -> Member:
    source = tar.extractfile(info)
    if source is None or not _NAME.fullmatch(info.name):
        raise InvalidBackup(f"{path} is damaged: {info.name!r} is not a file of a backup")
    target = folder / info.name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while piece := source.read(_PIECE):
            file.write(piece)
            digest.update(piece)
            progress(len(piece))
    return Member(info.name, target.stat().st_size, digest.hexdigest())
