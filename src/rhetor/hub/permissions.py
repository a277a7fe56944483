"""A caller's requests for permission as they come and go, in all of its sessions and plans.

It is no log: who comes back is told which wait now. What was asked and answered is in the streams.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rhetor.domain.command import Principal

from .answering import open_permissions
from .asked import ENDED, Asked

if TYPE_CHECKING:
    from .state import State


class PermissionWatch:
    """Tells each request once that it waits, and once that it does no more. One that came and went between
    two looks is not told."""

    def __init__(self, state: State, principal: Principal) -> None:
        self._state = state
        self._principal = principal
        self._known: dict[str, Asked] = {}
        self._heard = state.asked.heard()

    async def look(self) -> tuple[list[Asked], list[Asked]]:
        """Those that wait since the last look, the oldest first, and those that do no more, each with its
        `answer`."""
        self._heard = self._state.asked.heard()
        now = {asked.row_id: asked for asked in await open_permissions(self._state, self._principal)}
        gone = [await self._ended(asked) for id, asked in self._known.items() if id not in now]
        new = [asked for id, asked in now.items() if id not in self._known]
        self._known = now
        return new, gone

    async def wait(self) -> None:
        """Until another look may find something."""
        await self._heard.wait()

    async def _ended(self, asked: Asked) -> Asked:
        row = await self._state.store.get("permission", asked.row_id)
        ended = asked if row is None else Asked.of(row)
        return ended if ended.answer else replace(ended, answer={"option_id": None, "by": ENDED})
