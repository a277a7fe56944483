"""One answer of a model: its text so far, and whether its end is that of a real answer."""

from __future__ import annotations

from rhetor.codec.lenient_json import Mender
from rhetor.domain.output import Done, Output, Text
from rhetor.drivers.models import errors
from rhetor.drivers.models.lenient import is_broken
from rhetor.drivers.models.target import Target

_EXCERPT = 200  # characters of an event that was not understood


class Answer:
    """`finish`: why the model stopped, as OpenAI names it; None until the provider says so. `refused`: the
    text is a refusal. `has_calls`: the model called tools. `takes_calls`: the caller has tools, so that an
    answer may have calls instead of text. `stop_sequence`: that which the model ended with."""

    def __init__(self, target: Target) -> None:
        self.finish: str | None = None
        self.refused = False
        self.has_calls = False
        self.takes_calls = False
        self.has_text = False
        self.stop_sequence = ""
        self._target = target
        self._text = Mender()
        self._thoughts = Mender()
        self._strange = ""

    def plain(self, text: str) -> tuple[Output, ...]:
        """Do the same as `text`, for text that is valid Unicode."""
        return self.text(text) if self._text.holds or not self.has_text else (Text(text),)

    def text(self, text: str) -> tuple[Output, ...]:
        """Return the output for a piece of the answer."""
        text = self._text.feed(text)
        if not self.has_text:
            self.has_text = bool(text.strip())
        return (Text(text),) if text else ()

    def thought(self, text: str) -> tuple[Output, ...]:
        """Return the output for a piece of the model's reasoning."""
        text = self._thoughts.feed(text)
        return (Text(text, "reasoning"),) if text else ()

    def see(self, data: bytes, *, understood: bool) -> None:
        """Keep the first event that was not understood, for the error of an answer without text."""
        if not (understood or self._strange):
            self._strange = data[:_EXCERPT].decode("utf-8", "replace")

    def end(self, *, over: bool) -> tuple[tuple[Output, ...], Done]:
        """Return the rest of the text, and the end. `over`: the provider says that the answer is complete.

        Raises:
            ProviderCut: the answer is not complete.
            EmptyAnswer: it has no text, and no calls that the caller takes.
        """
        rest = (*self._thought_end(), *self._text_end())
        if not over and self.finish is None:
            raise errors.cut(self._target, "the stream ended early")
        if is_broken(self.finish):
            raise errors.cut(self._target, f"the provider ended it with {self.finish!r}")
        reason = self.finish or "stop"
        if self.refused and reason == "stop":
            reason = "refusal"
        if self.takes_calls and reason in ("stop", "tool_calls"):
            reason = "tool_calls" if self.has_calls else "stop"
        if not (self.has_text or (self.takes_calls and self.has_calls)):
            raise errors.empty(self._target, reason, self._strange, has_calls=self.has_calls)
        return rest, Done(reason, self.stop_sequence if reason == "stop" else "")

    def _text_end(self) -> tuple[Output, ...]:
        text = self._text.end()
        self.has_text = self.has_text or bool(text)
        return (Text(text),) if text else ()

    def _thought_end(self) -> tuple[Output, ...]:
        text = self._thoughts.end()
        return (Text(text, "reasoning"),) if text else ()
