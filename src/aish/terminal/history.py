"""The history of the prompt: in a file of the state folder, or kept by the hub if encryption is on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prompt_toolkit.history import FileHistory

from aish.client.hub import Hub
from aish.client.unexpected import SEALED
from aish.exits import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable


class PromptHistory(FileHistory):
    """Lines that begin with a space are not kept."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._sealed = os.path.join(os.path.dirname(path), SEALED)  # noqa: PTH118, PTH120

    def load_history_strings(self) -> Iterable[str]:
        if os.path.exists(self._sealed):  # noqa: PTH110
            try:
                lines: list[str] = Hub().ask("GET", "/api/v2/prompt")["lines"]
                return reversed(lines)
            except Failure:
                return ()  # the prompt says so when it sends a line
        return super().load_history_strings()

    def store_string(self, string: str) -> None:
        if string.startswith(" ") or self._is_kept_by_hub(string):
            return
        super().store_string(string)

    def _is_kept_by_hub(self, string: str) -> bool:
        if not os.path.exists(self._sealed):  # noqa: PTH110
            return False
        try:
            return bool(Hub().ask("POST", "/api/v2/prompt", {"line": string})["sealed"])
        except Failure:
            return True  # the line stays in the memory of this shell; it must not be written plain
