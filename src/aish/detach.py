"""Ctrl-] in what a person types: as a byte, and as newer terminals write it. Pure: keys in, keys out."""

import re

DETACH_SECONDS = 0.03  # after which what has begun like Ctrl-] is another key

# kitty's `ESC[93;5u`, with other keys, a press and a text at will; xterm's `ESC[27;5;93~`.
_FORMS = re.compile(rb"\x1d|\x1b\[93(?::[\d:]*)?;(\d+)(?::1)?(?:;[\d:]*)?u|\x1b\[27;(\d+);93~")
_BEGUN = re.compile(rb"\x1b(?:\[(?:9(?:3(?:[:;][\d:;]*)?)?|2(?:7(?:;[\d;]*)?)?)?)?\Z")
_MAX_HELD_BYTES = 64
_CONTROL, _LOCKS = 4, 64 | 128


class Keys:
    """What is typed, in any pieces → what the program is given, up to the Ctrl-].

    `held`: what may be the beginning of one. Where nothing follows in `DETACH_SECONDS`, call `release`.
    """

    def __init__(self) -> None:
        self.held = b""
        self.has_left = False

    def feed(self, typed: bytes) -> bytes:
        """What is to be sent now; nothing more once `has_left`."""
        if self.has_left:
            return b""
        data, self.held = self.held + typed, b""
        for found in _FORMS.finditer(data):
            if _is_control(found):
                self.has_left = True
                return data[: found.start()]
        begun = _BEGUN.search(data)
        if begun is None or len(begun[0]) > _MAX_HELD_BYTES:
            return data
        self.held = begun[0]
        return data[: begun.start()]

    def release(self) -> bytes:
        """What was held: nothing came that makes it a Ctrl-]."""
        held, self.held = self.held, b""
        return held


def _is_control(found: "re.Match[bytes]") -> bool:
    modifiers = found[1] or found[2]
    return modifiers is None or (int(modifiers) - 1) & ~_LOCKS == _CONTROL
