"""The names of a client's tools as a provider takes them: some APIs take longer names than others, or other
characters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INVALID = re.compile(r"[^A-Za-z0-9_-]")


class ToolNames:
    """Translates names in both directions. Names that all providers take stay as they are."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._own = {sent: name for name in names if (sent := self.sent(name)) != name}

    def sent(self, name: str) -> str:
        """Return the name for the provider."""
        if _NAME.fullmatch(name):
            return name
        return f"{_INVALID.sub('_', name)[:47]}_{sha256(name.encode()).hexdigest()[:16]}"

    def own(self, sent: str) -> str:
        """Return the client's name."""
        return self._own.get(sent, sent)
