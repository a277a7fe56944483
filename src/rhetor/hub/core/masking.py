"""Masks known secrets in the outputs of a turn, or between turns, before they are logged."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from msgspec.structs import replace

from rhetor.domain.event import Channel
from rhetor.domain.output import Done, Late, Output, Plain, Record, Spooled, Text
from rhetor.domain.secrets import MaskedText, Secrets


class MaskedOutputs:
    """The outputs of one turn, or those between turns. Text that may be the beginning of a secret is passed
    on with the next text of its channel, or at the end."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._channels: dict[Channel, MaskedText] = {}
        self._late: _MaskedLate | None = None

    @property
    def holds(self) -> bool:
        """Whether text is held back."""
        is_late = self._late is not None and self._late.holds
        return is_late or any(masked.holds for masked in self._channels.values())

    def take(self, output: Output) -> Sequence[Output]:
        """Return the outputs to log for this one."""
        if not self._secrets:
            return (output,)
        if isinstance(output, Spooled):
            return (replace(output, outputs=tuple(o for each in output.outputs for o in self._masked(each))),)
        return self._masked(output)

    def settle(self) -> list[Text | Late]:
        """Return what stands for the text that is held back, because no more outputs follow, or nothing has
        followed for a while."""
        texts = [Text(masked.settle(), channel) for channel, masked in self._channels.items()]
        late = self._late.settle() if self._late else []
        return [*(text for text in texts if text.text), *late]

    def _masked(self, output: Plain) -> Sequence[Plain]:
        match output:
            case Text(text, channel):
                masked = self._channels.get(channel)
                if masked is None:
                    masked = self._channels[channel] = MaskedText(self._secrets)
                said = masked.feed(text)
                return (replace(output, text=said),) if said else ()
            case Late():
                return self._masked_late(output)
            case Record(raw=str(raw)):
                return (replace(output, raw=self._masked_bytes(raw)),)
            case Done():
                return (*self.settle(), output)
        return (output,)

    def _masked_late(self, late: Late) -> Sequence[Plain]:
        before: list[Late] = []
        if self._late is None or self._late.turn != late.turn:
            before = self._late.settle() if self._late else []
            self._late = _MaskedLate(late.turn, self._secrets)
        return [*before, *self._late.take(late)]

    def _masked_bytes(self, raw: str) -> str:
        """Mask a line that is no JSON, in base64."""
        return base64.b64encode(self._secrets.mask_json(base64.b64decode(raw))).decode()


class _MaskedLate:
    """The late text of one turn. A piece that begins a message does so even if all of it is held back."""

    def __init__(self, turn: str, secrets: Secrets) -> None:
        self.turn = turn
        self._masked = MaskedText(secrets)
        self._is_new = False

    @property
    def holds(self) -> bool:
        return self._masked.holds

    def take(self, late: Late) -> list[Late]:
        before = self.settle() if late.new else []
        self._is_new = self._is_new or late.new
        return [*before, *self._said(self._masked.feed(late.text))]

    def settle(self) -> list[Late]:
        return self._said(self._masked.settle())

    def _said(self, text: str) -> list[Late]:
        if not text:
            return []
        is_new, self._is_new = self._is_new, False
        return [Late(text, is_new, self.turn)]
