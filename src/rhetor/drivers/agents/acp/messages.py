"""Decides by the ids of an ACP agent's messages to which turn a piece of text belongs.

The protocol does not say to which prompt an update belongs. But some agents give each message an id
(https://agentclientprotocol.com/rfds/message-id), as claude-agent-acp 0.100 and opencode 1.18 do. A message
that began in an earlier turn, or between turns, remains a part of that turn, however late the rest of it
arrives. Text without an id belongs to the running turn: nothing better can be known.
"""

from __future__ import annotations

from collections.abc import Iterable

from rhetor.domain.output import Late, Plain, Text

MAX_MESSAGES = 1000  # messages of earlier turns that are remembered; the oldest is forgotten first


class Messages:
    """The messages of one conversation.

    An agent may use an id again, although it must not. So the text of an earlier message is held back until
    the turn has text of its own. If the turn ends without such text, the agent's ids are not unique, and
    they are ignored from then on.
    """

    def __init__(self) -> None:
        self._current: set[str] = set()
        self._earlier: dict[str, str] = {}  # the messages of earlier turns, and these turns
        self._held: list[tuple[Text, str]] = []
        self._has_text = False
        self._are_unique = True

    def take(self, piece: Text, id: str, turn: str, *, in_turn: bool) -> list[Plain]:
        """Return the outputs for a piece of the message with this id (empty if it has none).

        `turn`: the turn that runs, or ran last.
        """
        of = self._earlier.get(id) if self._are_unique else None
        if not in_turn:
            is_new = bool(id) and of is None
            self._remember([id] if is_new else [], turn)
            late = Late(piece.text, is_new, turn if of is None else of)
            return [late] if piece.channel == "answer" else [piece]
        if of is not None:
            self._held.append((piece, of))
            return []
        if id:
            self._current.add(id)
        self._has_text = self._has_text or piece.channel == "answer"
        return [*(self._released() if self._has_text else ()), piece]

    def over(self, turn: str, *, answered: bool) -> list[Plain]:
        """End the turn, and return what was held back. `answered`: it has not failed."""
        own: list[Plain] = []
        if answered and not self._has_text and self._held:
            self._are_unique = False
            own, self._held = [piece for piece, _ in self._held], []
        late = self._released()
        self._remember(self._current, turn)
        self._current.clear()
        self._has_text = False
        return [*late, *own]

    def _released(self) -> list[Plain]:
        held, self._held = self._held, []
        return [Late(piece.text, turn=of) for piece, of in held if piece.channel == "answer"]

    def _remember(self, ids: Iterable[str], turn: str) -> None:
        self._earlier |= dict.fromkeys(ids, turn)
        for id in list(self._earlier)[:-MAX_MESSAGES]:
            del self._earlier[id]
