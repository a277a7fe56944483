"""The names that the prompt completes: as of the last line, although they are fetched in the background."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from aish.live import Hub
from aish.terminal.hub_feed import HubFeed
from aish.terminal.names import PromptNames
from aish.turns.background import Background

if TYPE_CHECKING:
    from aish.terminal.hub_feed import Work


class ScriptedHub:
    """Has one alias, whose name changes. Answers only while `answers` is set."""

    def __init__(self) -> None:
        self.alias = "old"
        self.answers = threading.Event()
        self.answers.set()

    async def request(self, method: str, path: str) -> dict[str, Any]:
        if path != "/api/v2/aliases":
            return defaultdict(list)  # all other lists are empty
        self.answers.wait()
        return {"aliases": [{"name": self.alias, "command": ""}]}


class Feed(HubFeed):
    def __init__(self, background: Background, hub: ScriptedHub) -> None:
        super().__init__(background, "")
        self._scripted = hub
        self._at = background

    def start(self, work: Work, what: str) -> None:
        self._at.start(work(cast(Hub, self._scripted)), what)


@contextmanager
def prompt_names(hub: ScriptedHub) -> Iterator[PromptNames]:
    with Background() as background:
        yield PromptNames(Feed(background, hub))


def test_the_first_tab_after_a_line_knows_what_the_line_has_changed() -> None:
    hub = ScriptedHub()
    with prompt_names(hub) as names:
        assert names.names("ALIAS", ()) == [("old", "")]
        hub.alias = "new"
        names.refresh()
        assert names.names("ALIAS", ()) == [("new", "")]


def test_tab_does_not_wait_for_a_hub_that_does_not_answer() -> None:
    hub = ScriptedHub()
    with prompt_names(hub) as names:
        assert names.names("ALIAS", ()) == [("old", "")]
        hub.answers.clear()
        names.refresh()
        assert names.names("ALIAS", ()) == [("old", "")]
        hub.answers.set()
