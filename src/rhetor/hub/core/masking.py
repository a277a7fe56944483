"""Masks known secrets in the outputs of a turn, or between turns, before they are logged."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rhetor.domain.event import Channel
from rhetor.domain.output import Done, Output, Plain, Spooled, Text
from rhetor.domain.secrets import MaskedText, Secrets


class MaskedOutputs:
    """The outputs of one turn, or those between turns. Text that may be the beginning of a secret is passed
    on with the next text of its channel, or at the end."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._channels: dict[Channel, MaskedText] = {}

    @property
    def holds(self) -> bool:
        """Whether text is held back."""
        return any(masked.holds for masked in self._channels.values())

    def take(self, output: Output) -> Sequence[Output]:
        """Return the outputs to log for this one."""
        if not self._secrets:
            return (output,)
        if isinstance(output, Spooled):
            return (replace(output, outputs=tuple(o for each in output.outputs for o in self._masked(each))),)
        return self._masked(output)

    def finish(self) -> list[Text]:
        """Return the text that is held back, when no more outputs follow."""
        left = [Text(masked.finish(), channel) for channel, masked in self._channels.items()]
        return [text for text in left if text.text]

    def settle(self) -> list[Text]:
        """Return what stands for the text that is held back, because nothing has followed for a while."""
        left = [Text(masked.settle(), channel) for channel, masked in self._channels.items()]
        return [text for text in left if text.text]

    def _masked(self, output: Plain) -> Sequence[Plain]:
        if isinstance(output, Text):
            masked = self._channels.setdefault(output.channel, MaskedText(self._secrets))
            text = masked.feed(output.text)
            return (replace(output, text=text),) if text else ()
        return (*self.finish(), output) if isinstance(output, Done) else (output,)
