"""Which tasks may read a stream for whom."""

from __future__ import annotations

import pytest

from rhetor.errors import NotFound
from rhetor.hub.fanout import presence
from rhetor.hub.fanout.presence import Presence

pytestmark = pytest.mark.anyio


async def test_of_the_shares_that_were_taken_back_only_the_last_ones_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "MOST_WITHDRAWN", 2)
    readers = Presence(1.0, lambda stream: None)
    for subject in ("a", "b", "c"):
        readers.withdraw("s", subject)
    for subject in ("b", "c"):
        with pytest.raises(NotFound), readers.reader("s", subject):
            pass
    readers.admit("s", "b")
    for subject in ("a", "b"):
        with readers.reader("s", subject):
            pass
    readers.close()
