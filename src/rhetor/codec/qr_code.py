"""QR codes, as the modules that a screen shows."""

from __future__ import annotations


def modules_of(text: str) -> list[str]:
    """Return the rows of a QR code (ISO/IEC 18004), in which `1` is a dark module, without the light border
    of four modules that it needs. 15 % of it may be unreadable. Importing the library takes time, so call
    this in a thread."""
    import segno

    code = segno.make(text, error="m", micro=False)
    return ["".join(map(str, row)) for row in code.matrix]
