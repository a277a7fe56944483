"""The small models on the disk: for each a GGUF file, and a note of what it is and where it is from."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from rhetor.errors import NameTaken, NotFound, Unprocessable

from .gguf import NotGguf, context_length

MODEL = "local model"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
Note = Callable[[int, int | None], None]
"""How many megabytes are done, and how many there are."""
MEGABYTE = 1_000_000
_PIECE = 1 << 20
GIVEN_UP = 86_400.0  # seconds; a download that is continued later begins anew
UNPACKING = ".pull-"  # with which the names of temporary folders of downloads begin


class ModelFile(msgspec.Struct, frozen=True):
    """A model. `source`: the package or the URL that it is from. `context`: the tokens for which it was
    trained, if its file says it. `pulled_at`: Unix time in seconds."""

    name: str
    bytes: int
    sha256: str
    source: str
    context: int | None
    pulled_at: float


class ModelFiles:
    """The models in one folder, which is created with the first one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.gguf"

    def listed(self) -> list[ModelFile]:
        """Return all models, by name. A note without a file, or one that cannot be read, is left out."""
        found = (self.find(path.stem) for path in sorted(self.folder.glob("*.json")))
        return [each for each in found if each is not None]

    def find(self, name: str) -> ModelFile | None:
        if not NAME.fullmatch(name):
            return None
        try:
            noted = msgspec.json.decode(self._note(name).read_bytes(), type=ModelFile)
            return noted if self.path(name).stat().st_size == noted.bytes else None
        except (OSError, msgspec.DecodeError):
            return None

    def part(self, sha256: str) -> Path:
        """Return the file for a download that is not complete. Its name is the digest of the whole one, so
        that a later download continues it. Others that were given up are removed."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self.folder / f"{sha256}.part"
        self.remove_given_up(but=part)
        return part

    def remove_given_up(self, but: Path | None = None) -> None:
        """Remove downloads, except `but`, that got nothing for `GIVEN_UP` seconds, and folders of downloads
        that were killed. Call this only while no download runs."""
        for part in self.folder.glob("*.part"):
            if part != but and time.time() - part.stat().st_mtime > GIVEN_UP:
                part.unlink(missing_ok=True)
        for folder in self.folder.glob(f"{UNPACKING}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def adopt(self, name: str, part: Path, sha256: str, source: str, note: Note | None) -> ModelFile:
        """Make a complete download the model called `name`. If it is not what it should be, it is removed.

        Raises:
            Unprocessable: it has another digest, or is not a model.
            NameTaken: another model has this name.
        """
        try:
            found = digest_of(part, note)
            if found != sha256:
                raise Unprocessable(f"{source} has the SHA-256 {found}, not {sha256}; the file was deleted")
            try:
                context = context_length(part)
            except NotGguf as error:
                raise Unprocessable(f"{source} is not a GGUF model: {error}; the file was deleted") from error
        except Unprocessable:
            part.unlink(missing_ok=True)
            raise
        self.require_free(name, sha256)
        part.chmod(0o600)
        model = ModelFile(name, part.stat().st_size, sha256, source, context, time.time())
        part.replace(self.path(name))
        self._write(model)
        return model

    def require_free(self, name: str, sha256: str) -> None:
        """Check that no other model has the name.

        Raises:
            NameTaken: one has it.
        """
        there = self.find(name)
        if there is not None and there.sha256 != sha256:
            raise NameTaken(MODEL, name)

    def remove(self, name: str) -> None:
        """Remove a model.

        Raises:
            NotFound: there is none of this name.
        """
        if self.find(name) is None:
            raise NotFound(MODEL, name)
        self._note(name).unlink(missing_ok=True)
        self.path(name).unlink(missing_ok=True)

    def _note(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _write(self, model: ModelFile) -> None:
        draft = self.folder / f".{model.name}.json"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(model))
        draft.replace(self._note(model.name))


def digest_of(path: Path, note: Note | None = None) -> str:
    """Return the SHA-256 of a file."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size // MEGABYTE
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            done += len(piece)
            if note is not None:
                note(done // MEGABYTE, total)
    return digest.hexdigest()
