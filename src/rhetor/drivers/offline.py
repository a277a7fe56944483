"""The embedded offline model: what answers where no provider is configured.

It is honest about what it is, and deterministic: the same peer and message give the same words. So the
shell, a pipeline or a test works on a machine that has neither a key nor a network.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

from rhetor.domain.output import Began, Done, Output, Text, Usage
from rhetor.domain.peer import Peer
from rhetor.drivers.base import Prompt, Said

MODEL = "offline"
_WORDS_A_CHUNK = 6
_EXCERPT = 120  # characters of the message that are shown


class OfflineDriver:
    """Opens conversations that need nothing outside this process."""

    sessions: Literal["many", "one"] = "many"

    async def open(self, peer: Peer, resume: str | None = None) -> OfflineConversation:
        return OfflineConversation(peer)

    async def aclose(self) -> None:
        pass


class OfflineConversation:
    """Answers at once, in several chunks; nothing of it has to be ended or closed."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._interrupted = False

    async def send(self, message: Prompt, history: Sequence[Said]) -> AsyncGenerator[Output, None]:
        self._interrupted = False
        yield Began(MODEL)
        for chunk in _chunks(_words(self._peer, message.content, len(history))):
            if self._interrupted:
                return
            yield Text(chunk)
        yield Usage(MODEL, input_tokens=0, output_tokens=0, cost="0")
        yield Done("stop")

    async def answer(self, id: str, value: Any) -> None:
        """It asks for nothing, so there is nothing to answer."""

    async def interrupt(self) -> None:
        self._interrupted = True

    async def aclose(self) -> None:
        pass


def _words(peer: Peer, message: str, earlier: int) -> str:
    role = f" ({peer.role})" if peer.role else ""
    context = f" Earlier messages in view: {earlier}." if earlier else ""
    return (
        f"{peer.title}{role}, answering with the built-in offline model: no model provider is configured, "
        f"so these words are made without any. You asked: “{_excerpt(message)}”.{context} For real answers "
        "set OPENROUTER_API_KEY, ANTHROPIC_API_KEY or OPENAI_API_KEY, or start a model server on this "
        "machine (Ollama, LM Studio, llama.cpp, vLLM) and reload the hub."
    )


def _excerpt(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1].rstrip() + "…"


def _chunks(text: str) -> list[str]:
    return re.findall(rf"(?:\S+\s*){{1,{_WORDS_A_CHUNK}}}", text)
