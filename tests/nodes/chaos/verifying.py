"""What must be true at the end, by the database and the provider."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from .clients import Crowd, Follower, digest
from .database import ENDS, turns_of
from .following import Carried, Row

MESSAGE = re.compile(r"[mv]\d+-\d+ tell me what comes next(?: \d+| and then)*")
PROGRAM = re.compile(r"p\d+-\d+ write this down")
AFTER_THE_END = ("output.partial", "usage.reported")


def require_digests(followers: Sequence[Follower], logs: Mapping[str, list[Row]]) -> None:
    """Each client has seen the log of its session, as its API shows it."""
    wanted: dict[tuple[str, str], str] = {}
    for follower in followers:
        session, way = follower.session.id, follower.way
        shown = [what for row in logs[session] for what in way.shows(row)]
        expected = wanted.setdefault((session, way.name), digest(shown))
        same = digest(follower.seen) == expected
        assert same, f"{follower.name} differs from the log: {_difference(follower.seen, shown)}"


def _difference(
    seen: Sequence[Carried], log: Sequence[Carried]
) -> tuple[int, Sequence[Carried], Sequence[Carried]]:
    """Return where the two begin to differ, with some frames from there."""
    at = next((n for n, pair in enumerate(zip(seen, log, strict=False)) if pair[0] != pair[1]), len(seen))
    return at, seen[at : at + 3], log[at : at + 3]


def require_logs(crowd: Crowd, logs: Mapping[str, list[Row]]) -> Counter[str]:
    """Nothing that was acknowledged is lost, and each turn ended once. Return how the turns ended."""
    turns = turns_of(logs)
    of_texts = Counter(turn.text for turn in turns.values())
    for text, id in crowd.turns.items():
        assert id in turns, f"the turn {id} of {text!r} was acknowledged, and is not in the log"
        assert (turns[id].text, of_texts[text]) == (text, 1), (text, turns[id], of_texts[text])
    for text, said in crowd.said:
        turn = turns[said.turn]
        assert said.session == turn.session, text
        assert said.text is None or said.text == turn.answer, f"{text!r}: {said.text!r}, log: {turn.answer!r}"
    outcomes: Counter[str] = Counter()
    for id, turn in turns.items():
        assert turn.text in crowd.sent, f"nobody sent {turn.text!r}"
        ends = [type for type in ENDS for _ in range(turn.types[type])]
        assert len(ends) == 1, f"the turn {id} of {turn.text!r} ended {len(ends)} times: {ends}"
        assert turn.types["turn.started"] <= 1, f"the turn {id} of {turn.text!r} started twice"
        outcomes[f"{ends[0]} {turn.code}".strip()] += 1
        if ends[0] != "turn.completed" and MESSAGE.fullmatch(turn.text):
            known = [row for row in logs[turn.session] if row.turn_id == id]
            assert _partial(known) == _said(known), f"the turn {id} broke off without what it said: {known}"
    for stream, rows in logs.items():
        ended = set[str]()
        for row in rows:
            late = row.turn_id in ended and row.type not in AFTER_THE_END
            assert not late, f"{stream} has {row} after the end of the turn"
            if row.type in ENDS and row.turn_id:
                ended.add(row.turn_id)
    return outcomes


def _said(turn: Sequence[Row]) -> str:
    """Return the answer of a turn in pieces, put together."""
    return "".join(row.data["text"] for row in turn if row.type == "output.delta")


def _partial(turn: Sequence[Row]) -> str:
    return "".join(row.data["text"] for row in turn if row.type == "output.partial")


def require_calls(
    calls: Sequence[Mapping[str, Any]], logs: Mapping[str, list[Row]], fences: int
) -> Counter[str]:
    """The provider was called once for each turn that has completed, and for no turn twice; and always by the
    node that owned the session, which changes only with a fence. `fences`: the sum of all. Return how many
    calls each node made, by its key."""
    called = Counter(text for call in calls if (text := _message_of(call["body"])))
    twice = {text: count for text, count in called.items() if count > 1}
    assert not twice, f"these turns ran more than once: {twice}"
    for id, turn in turns_of(logs).items():
        if turn.answer is not None and MESSAGE.fullmatch(turn.text):
            assert called[turn.text] == 1, f"the turn {id} of {turn.text!r} has no call"
    callers = {_message_of(call["body"]): call["headers"]["authorization"] for call in calls}
    for stream, rows in logs.items():
        texts = [row.data["content"] for row in rows if row.type == "message.accepted"]
        owners = [key for key, _ in groupby(callers[text] for text in texts if text in callers)]
        assert len(owners) <= fences, f"{stream} was run by {owners}"
    return Counter(callers.values())


def require_heard(crowd: Crowd, heard: Mapping[str, int], logs: Mapping[str, list[Row]]) -> None:
    """No message reached a program twice, and each that was answered has reached it."""
    twice = {text: count for text, count in heard.items() if count > 1 or text not in crowd.sent}
    assert not twice, f"programs got these messages more than once, or nobody sent them: {twice}"
    for id, turn in turns_of(logs).items():
        if turn.answer is not None and PROGRAM.fullmatch(turn.text):
            assert heard[turn.text] == 1, f"the turn {id} of {turn.text!r} was answered, but not heard"


def _message_of(body: Any) -> str | None:
    """Return the last message of a user in a call, without what the hub puts around it."""
    messages = [each for each in (body or {}).get("messages", ()) if each["role"] == "user"]
    found = MESSAGE.findall(str(messages[-1]["content"])) if messages else []
    return found[-1] if found else None
