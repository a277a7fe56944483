"""Which names have changed since a moment."""

from __future__ import annotations

from typing import Any

from rhetor.hub.core import changes as module
from rhetor.hub.core.changes import Changes


def test_names_come_once_with_their_last_value_and_the_last_change_first() -> None:
    changes: Changes[int] = Changes()
    with changes.watched():
        moment = changes.now
        for value, name in enumerate(("a", "b", "a")):
            changes.note(name, value)
        assert list((changes.since(moment) or {}).items()) == [("a", 2), ("b", 1)]
        later = changes.now
        changes.note("c", 3)
        assert changes.since(later) == {"c": 3}
        assert changes.since(changes.now) == {}


def test_what_happened_while_nobody_watched_is_not_known() -> None:
    changes: Changes[None] = Changes()
    with changes.watched():
        moment = changes.now
    changes.note("a", None)
    with changes.watched():
        assert changes.since(moment) is None
        assert changes.since(changes.now) == {}


def test_a_second_watcher_forgets_nothing_of_the_first() -> None:
    changes: Changes[None] = Changes()
    with changes.watched():
        moment = changes.now
        changes.note("a", None)
        with changes.watched():
            pass
        assert changes.since(moment) == {"a": None}


def test_a_reader_far_behind_reads_everything_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "MOST_NAMES", 2)
    changes: Changes[None] = Changes()
    with changes.watched():
        moment = changes.now
        for name in ("a", "b", "c"):
            changes.note(name, None)
        assert changes.since(moment) is None
        assert changes.since(moment + 1) == {"b": None, "c": None}


def test_everything_may_have_changed() -> None:
    changes: Changes[None] = Changes()
    with changes.watched():
        moment, woken = changes.now, changes.next()
        changes.note_all()
        assert woken.is_set()
        assert changes.since(moment) is None
