"""The embedded offline model, which answers if no provider is configured.

Its answer says that it is not a real model. The answer depends only on the peer, the message and the number
of earlier messages. So the shell, pipelines and tests work on a machine without a key and without a network.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

from rhetor.domain.output import Began, Done, Output, Text, Usage
from rhetor.domain.peer import Peer
from rhetor.drivers.base import PastMessage, Prompt

MODEL = "offline"
_WORDS_A_CHUNK = 6
_EXCERPT = 120  # characters of the message that are shown
_FENCE = re.compile(r"^--- [0-9a-f]+ ---$", re.MULTILINE)  # around text from another peer


class OfflineDriver:
    """Opens conversations with the offline model."""

    sessions: Literal["many", "one"] = "many"

    async def open(self, peer: Peer, resume: str | None = None) -> OfflineConversation:
        return OfflineConversation(peer)

    async def aclose(self) -> None:
        pass


class OfflineConversation:
    """A conversation with the offline model, which answers immediately, in several chunks."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._interrupted = False

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        self._interrupted = False
        yield Began(MODEL)
        for chunk in _chunks(_words(self._peer, message.content, len(history))):
            if self._interrupted:
                return
            yield Text(chunk)
        yield Usage(MODEL, input_tokens=0, output_tokens=0, cost="0")
        yield Done("stop")

    async def answer(self, id: str, value: Any) -> None:
        """Do nothing: the offline model has no requests to answer."""

    async def interrupt(self) -> None:
        self._interrupted = True

    async def aclose(self) -> None:
        pass


def _words(peer: Peer, message: str, earlier: int) -> str:
    role = f", {peer.role}" if peer.role else ""
    context = f" The conversation has {earlier} earlier messages." if earlier else ""
    return (
        f"{peer.title}{role} (embedded offline model): no model provider is configured, so this is not a "
        f"real answer. The message was: “{_excerpt(message)}”.{context} To add a provider, run `aish setup`."
    )


def _excerpt(message: str) -> str:
    line = " ".join(_FENCE.sub("", message).split())
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1].rstrip() + "…"


def _chunks(text: str) -> list[str]:
    return re.findall(rf"(?:\S+\s*){{1,{_WORDS_A_CHUNK}}}", text)
