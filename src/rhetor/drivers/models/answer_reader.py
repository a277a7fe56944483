"""Reads the body of an answer, split anywhere: bytes in, outputs and one typed error out. It does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

from rhetor.codec.sse import ServerSentEvent
from rhetor.domain.event import Channel
from rhetor.domain.output import Output, Text
from rhetor.drivers.models import errors
from rhetor.drivers.models.answer_body import AnswerBody
from rhetor.drivers.models.target import Target
from rhetor.errors import ProviderFailed, TooLarge


class Parser(Protocol):
    """Turns the events of one answer into outputs, for one provider's API."""

    over: bool
    """Whether the provider has said that the answer is complete."""

    @property
    def finished(self) -> bool:
        """Whether the model has finished: only the usage and the end may follow."""
        ...

    @property
    def cache_written(self) -> int:
        """How many tokens of the input the provider has written to its cache."""
        ...

    def take(self, event: ServerSentEvent) -> Sequence[Output]:
        """Return the outputs of one event.

        Raises:
            ProviderFailed: the event is an error or cannot be read.
        """
        ...

    def end(self) -> Sequence[Output]:
        """Return the last outputs, after the last event. The last one is `Done`.

        Raises:
            ProviderCut: the answer is not complete.
            EmptyAnswer: it has no text.
        """
        ...


class AnswerReader:
    """`failure` is the error that ends the answer after the outputs that were returned, if there is one."""

    def __init__(self, target: Target, parser: Parser) -> None:
        self.failure: ProviderFailed | None = None
        self._target = target
        self._parser = parser
        self._body = AnswerBody()

    @property
    def over(self) -> bool:
        """Whether the provider has said that the answer is complete."""
        return self._parser.over

    @property
    def finished(self) -> bool:
        """Whether the model has finished: only the usage and the end may follow."""
        return self._parser.finished

    @property
    def lines(self) -> int:
        """How many complete lines, or pieces of a whole body, were read."""
        return self._body.lines

    def feed(self, piece: bytes) -> list[Output]:
        """Return the outputs that a piece of the body completes."""
        try:
            events = self._body.feed(piece)
        except TooLarge as error:
            self.failure = errors.cut(self._target, error.detail)
            return []
        return self._taken(events)

    def end(self) -> list[Output]:
        """Return the last outputs, at the end of the body or of the answer. The last one is `Done`, unless
        `failure` is set."""
        outputs: list[Output] = [] if self._parser.over else self._taken(self._body.end())
        if self.failure is not None:
            return outputs
        try:
            if not (self._parser.over or self._parser.finished or self._body.is_stream):
                raise errors.not_an_answer(self._target, self._body.excerpt)
            outputs += self._parser.end()
        except ProviderFailed as failure:
            self.failure = failure
        return outputs

    def _taken(self, events: Sequence[ServerSentEvent]) -> list[Output]:
        outputs: list[Output] = []
        try:
            for event in events:
                if self._parser.over:
                    break  # some relays add events of their own
                outputs += self._parser.take(event)
        except ProviderFailed as failure:
            self.failure = failure
        except (ValueError, RecursionError) as error:
            self.failure = errors.cut(self._target, f"unreadable event: {error}")
        return _joined(outputs) if len(outputs) > 1 else outputs


def _joined(outputs: list[Output]) -> list[Output]:
    """Return the outputs with adjacent pieces of text joined: what arrives together is passed on together."""
    found: list[Output] = []
    for channel, run in groupby(outputs, _channel):
        if channel is None:
            found += run
        else:
            found.append(Text("".join(piece.text for piece in run if isinstance(piece, Text)), channel))
    return found


def _channel(output: Output) -> Channel | None:
    return output.channel if isinstance(output, Text) else None
