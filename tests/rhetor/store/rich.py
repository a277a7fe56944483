"""A store with everything that a store can have, and what a reader sees of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rhetor.domain.event import Position
from rhetor.store.base import Addition, Draft, Expect, Key, Row, SourceOffset, Store
from tests.contracts.store_kit import answer, chunk, question

STREAMS = ("talk", "fork", "short", "hub")
ODD = "a\x00b \U0001f600 e\u0301 ' \\ \x7f"


async def fill(store: Store) -> None:
    """Write events of forked, restored, folded and truncated streams, rows, sums, keys and offsets."""
    for number in range(30):
        turn = f"turn_{number}"
        drafts: Sequence[Draft] = [
            question(f"question {number} {ODD}", turn),
            *(chunk(f"chunk {n} ", turn) for n in range(5)),
            answer(f"answer {number} about apples", turn),
        ]
        row = Row("turn", turn, "completed", b'{"peer":"apollo"}', owner="me", parent="talk", at=number)
        key = Key("me", f"key-{number}", f"fingerprint-{number}", b'{"turn_id":1}')
        await store.commit("talk", drafts, key=key, rows=[row], sources=[SourceOffset("spool", number * 7)])
    await store.fold("talk", "turn_8")
    await store.truncate("talk", 40)
    head = await store.head("talk")
    assert head is not None
    await store.commit("fork", [question("of the fork", "f_1")], base=("talk", Position(head.epoch, 50)))
    await store.commit("talk", [question("after a restore", "r_1")], base=("talk", Position(head.epoch, 90)))
    await store.commit("short", [])
    rows = [
        Row("session", "s_2", "idle", b"{}", owner="me", name="second", at=5),
        Row("session", "s_1", "idle", b'{"a":"\\u0000"}', owner="me", name="\u00e4rger", at=5),
        Row("signing_key", "k_1", "kept", b'{"secret":"s3cret"}'),
        Row("session", "B", "idle", b"{}", owner="you", name="second", at=4),
        Row("session", "a", "idle", b"{}", owner="you", at=4),
    ]
    done = await store.commit("hub", [], rows=rows, adds=[Addition("usage", "u", (1, Decimal("0.25")))])
    await store.commit("hub", [], adds=[Addition("usage", "u", (2, Decimal("-0.05")))])
    expects = [Expect("session", "B", version=done.version)]
    await store.commit("hub", [], drop=[("session", "s_2")], expects=expects)


async def seen(store: Store) -> Mapping[str, Any]:
    """Return all that a reader of the store sees."""
    found: dict[str, Any] = {}
    for stream in STREAMS:
        head = await store.head(stream)
        assert head is not None
        found[f"head {stream}"] = head
        found[f"events {stream}"] = await store.page(stream, Position(head.epoch, head.earliest - 1), 1_000)
        found[f"spoken {stream}"] = await store.spoken(stream, 1_000, answered=False)
    for kind in ("turn", "session", "signing_key", "usage"):
        found[f"rows {kind}"] = await store.find(kind)
    found["search"] = {(hit.turn_id, hit.position.seq) for hit in await store.search("apples", limit=100)}
    found["recent"] = await store.recent(100)
    found["summaries"] = await store.summaries(STREAMS)
    found["offset"] = await store.offset("spool")
    found["all"] = await store.of_types(["message.accepted"], limit=1_000)
    return found


async def check_continues(store: Store, before: Mapping[str, Any]) -> None:
    """Check that commands repeat their first results, and that new events and rows continue the numbers."""
    key = Key("me", "key-3", "fingerprint-3")
    repeated = await store.commit("talk", [question("again", "turn_3")], key=key)
    assert (repeated.replayed, repeated.first, repeated.last) == (True, 22, 28)
    assert repeated.result == b'{"turn_id":1}'
    head = before["head fork"]
    done = await store.commit("fork", [question("goes on", "f_2")])
    assert (done.epoch, done.first) == (head.epoch, head.head + 1)
    newest = max(row.version for kind in ("turn", "session", "usage") for row in before[f"rows {kind}"])
    done = await store.commit("new", [], rows=[Row("session", "s_9", "idle", b"{}")])
    assert done.version > newest
    assert done.epoch not in {before[f"head {stream}"].epoch for stream in STREAMS}
    assert [hit.turn_id for hit in await store.search("goes on")] == ["f_2"]
