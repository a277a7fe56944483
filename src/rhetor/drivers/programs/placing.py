"""Whether a program draws its screen, told from how it moves the cursor."""

from __future__ import annotations

from rhetor.codec.ansi import Csi


class Placing:
    """Counts the sequences that only programs use which draw: the cursor put anywhere, a scroll region, and
    going up after erasing a line, as those do that draw anew what they drew last."""

    def __init__(self) -> None:
        self.count = 0
        self._erased = False

    def take(self, token: Csi) -> None:
        if token.prefix:
            return
        if token.final in "Hfr" or (token.final == "A" and self._erased):
            self.count += 1
        self._erased = token.final == "K" and token.parameters == "2"
