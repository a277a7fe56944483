"""Where the settings of one hub come from: a file, the environment, and the flags of its start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rhetor.errors import InvalidSettings

from .origins import origins
from .reading import invalid, read_settings
from .sections import Settings
from .validation import Keys


class Source:
    """`flags`: values for keys of `hub`; None means that a flag is not set."""

    def __init__(self, path: Path, flags: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.path = path
        self._flags = flags

    def read(self, text: str | None = None) -> Settings:
        """Return the settings. `text`: read this instead of the file's own text.

        Raises:
            InvalidSettings: a value is invalid; `detail` says where.
        """
        return read_settings(self.path, self._flags, text)

    def invalid(self, keys: Keys, reason: str, text: str | None = None) -> InvalidSettings:
        """Return the error for a value that only the running hub can check."""
        return invalid(self.path, keys, reason, text)

    def shown(self, settings: Settings) -> Sequence[tuple[str, Any, str]]:
        """Return the settings with their origins, and without secrets."""
        return origins(settings, self.path)
