"""The colours of the shell's own lines. `NO_COLOR` turns all of them off."""

import os

_PALETTE = ("36", "35", "33", "34", "32", "96", "95", "93", "94", "92")
_GREEN, _RED, _BOLD, _CYAN = "32", "31", "1", "36"


def in_colour_of(peer: str, text: str) -> str:
    """Return the text in the colour of a peer, which is always the same."""
    return _in(_PALETTE[sum(peer.casefold().encode()) % len(_PALETTE)], text)


def good(text: str) -> str:
    return _in(_GREEN, text)


def failed(text: str) -> str:
    return _in(_RED, text)


def bold(text: str) -> str:
    return _in(_BOLD, text)


def place(text: str) -> str:
    return _in(_CYAN, text)


def _in(code: str, text: str) -> str:
    return text if not text or os.environ.get("NO_COLOR") else f"\x1b[{code}m{text}\x1b[0m"
