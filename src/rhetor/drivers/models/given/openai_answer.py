"""An answer of chat completions that may have calls of the client's tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rhetor.codec.sse import ServerSentEvent
from rhetor.domain.output import Output, Reasoned, ToolUse
from rhetor.drivers.models import errors, openai_chat
from rhetor.drivers.models.given.arguments import Allowance, kept, new_id
from rhetor.drivers.models.given.names import ToolNames
from rhetor.drivers.models.given.reasoning_details import Details
from rhetor.drivers.models.target import Target
from rhetor.drivers.models.tool_call_pieces import Called


class Completion(openai_chat.Completion):
    """Decodes the events of one answer."""

    def __init__(self, target: Target, names: ToolNames) -> None:
        super().__init__(target)
        self._answer.takes_calls = True
        self._names = names
        self._allowance = Allowance()
        self._details = Details() if target.provider.kind == "openrouter" else None

    def take(self, event: ServerSentEvent) -> Sequence[Output]:
        """Implement `Parser.take`."""
        if self._details is not None:
            self._details.take(event.data)
        return super().take(event)

    def _said(self, choice: Any, delta: Any) -> Sequence[Output]:
        for piece in delta.tool_calls or ():
            self._allowance.take(piece["function"]["arguments"], piece["index"] + 1)
        return super()._said(choice, delta)

    def _last(self) -> Sequence[Output]:
        details = self._details.all if self._details is not None else []
        reasoned = [Reasoned("openai", {"reasoning_details": details})] if details else []
        return (*reasoned, *map(self._use, self._repair.calls))

    def _use(self, call: Called) -> ToolUse:
        if not call.name:
            raise errors.cut(self._target, "a tool call has no name")
        return ToolUse(new_id(), self._names.own(call.name), kept(call.arguments), "caller")
