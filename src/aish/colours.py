"""Keeps colours (SGR, ECMA-48 8.3.117) from hiding text: concealed, or in the colour of its background."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CONCEAL = "8"
_COLOURS = {"38": "text", "48": "ground"}
_LENGTHS = {"5": 1, "2": 3}  # how many numbers follow `38;5` and `38;2`


class Colours:
    """The colours of a text, as far as its sequences have set them."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}

    def visible(self, parameters: str) -> str | None:
        """Return the parameters without those that would hide the text that follows; None if none is left."""
        kept = [each for each in _attributes(parameters) if self._shows(each)]
        return ";".join(kept) if kept else None

    def _shows(self, attribute: str) -> bool:
        numbers = [number.lstrip("0") or "0" for number in attribute.replace(":", ";").split(";")]
        if numbers[0] == _CONCEAL:
            return False
        if numbers[0] == "0":
            self._now.clear()
            return True
        place, colour = _colour(numbers)
        if place and colour and colour == self._now.get("ground" if place == "text" else "text"):
            return False
        if place:
            self._now[place] = colour
        return True


def _attributes(parameters: str) -> "Iterator[str]":
    """Yield each attribute with the numbers that belong to it: `1`, `38;5;196`."""
    words = iter(parameters.split(";"))
    for word in words:
        if word not in _COLOURS and word != "58":
            yield word
            continue
        kind = next(words, "")
        yield ";".join([word, kind, *(next(words, "") for _ in range(_LENGTHS.get(kind, 0)))])


def _colour(numbers: "list[str]") -> tuple[str, str]:
    """Return what an attribute colours (`text`, `ground` or nothing), and the colour; empty: the default."""
    first, rest = numbers[0], numbers[1:]
    if first in _COLOURS:
        return _COLOURS[first], ";".join(number for number in rest if number)
    code = int(first)
    for place, begin in (("text", 30), ("ground", 40)):
        if begin <= code <= begin + 7:
            return place, f"5;{code - begin}"
        if begin + 60 <= code <= begin + 67:
            return place, f"5;{code - begin - 52}"
        if code == begin + 9:
            return place, ""
    return "", ""
