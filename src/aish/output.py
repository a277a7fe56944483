"""Where answers go, and where everything else goes.

An answer is written to a descriptor at once and whole. To a terminal it goes through a filter; to anything
else its bytes pass as they are.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from aish import render

_OFFLINE = """\
No model provider is configured: the embedded offline model answers. To add one, set OPENAI_API_KEY,
ANTHROPIC_API_KEY or OPENROUTER_API_KEY, or run Ollama, LM Studio, llama.cpp or vLLM on this machine, or log
in with claude, codex or gemini, or name one under `providers:` in config.yaml."""
_told: set[str] = set()

STDOUT, STDERR = 1, 2


def write(descriptor: int, data: bytes) -> None:
    """All of `data`, also where the system takes it in pieces or the descriptor does not block.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            import select

            select.select([], [descriptor], [])


def say(text: str) -> None:
    """A line for the person, on stderr. Nobody reading it is no reason to stop."""
    if os.isatty(STDERR):
        from aish.render import cleaned

        text = cleaned(text)
    try:
        write(STDERR, f"{text}\n".encode("utf-8", "replace"))
    except OSError:
        pass


class Sink:
    """What takes the text of answers: it ends each with a newline where the answer has none.

    `dim` shows it as something on the way, where the descriptor is a terminal.
    """

    def __init__(self, descriptor: int = STDOUT, *, dim: bool = False) -> None:
        self._descriptor = descriptor
        self._at_line_start = True
        self._filter: render.Filter | None = None
        if os.isatty(descriptor):
            from aish.render import Filter

            self._filter = Filter(dim=dim)

    def write(self, text: str) -> None:
        """Raises:
        BrokenPipeError: nobody reads any more.
        """
        if self._filter is not None:
            text = self._filter.feed(text)
        if text:
            self._at_line_start = text[-1] == "\n"
            self._put(text)

    def pass_on(self, data: bytes) -> None:
        """Bytes of the hub's own, which need no filter.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        write(self._descriptor, data)

    def break_line(self) -> None:
        """Where a person looks: what is said beside the answer begins a line of its own."""
        if self._filter is not None and not self._at_line_start:
            self._put("\n")
            self._at_line_start = True

    def end(self) -> None:
        """The answer is over, whole or not."""
        left = self._filter.end() if self._filter is not None else ""
        if not self._at_line_start:
            left += "\n"
        if left:
            self._put(left)
        self._at_line_start = True

    def _put(self, text: str) -> None:
        write(self._descriptor, text.encode("utf-8", "replace"))


def tell_offline() -> None:
    """Once in the life of a shell."""
    if "offline" not in _told:
        _told.add("offline")
        say(_OFFLINE)


def tell_permission_asked(peer: str, data: "dict[str, Any]") -> None:
    """A peer waits for a person."""
    request, tool = data.get("request_id", ""), data.get("tool", "a tool")
    say(f"aish: {peer} asks to use {tool} (aish approve {request} · aish deny {request})")
