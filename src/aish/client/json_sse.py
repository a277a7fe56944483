"""The parts of JSON and of server-sent events that the shell needs.

The `json` module imports `re` and `enum`, which takes half as long as the start of Python. Its work is done
by two C functions, which this module uses directly. A Python without them uses `json`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_FRAME_BYTES = 16 * 1024 * 1024
_SPACE = " \t\r\n"


class _Standard:
    """The settings of `json.loads`, as the scanner reads them."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _functions() -> "tuple[Callable[[str, int], tuple[Any, int]], Callable[[str], str]]":
    try:
        from _json import encode_basestring, make_scanner
    except ImportError:
        from json import JSONDecoder
        from json.encoder import py_encode_basestring

        return JSONDecoder().raw_decode, py_encode_basestring
    return make_scanner(_Standard), encode_basestring  # type: ignore[arg-type]  # any object with these names


_scan, _quote = _functions()


def decode(data: bytes | str) -> "Any":
    """Return the value of one JSON text.

    Raises:
        ValueError: the text is not JSON, or not UTF-8.
    """
    text = (data if isinstance(data, str) else str(data, "utf-8")).strip(_SPACE)
    try:
        value, end = _scan(text, 0)
    except (StopIteration, SystemError, RecursionError):
        # SystemError: the C function looks up its exception class in a module that is not imported
        raise ValueError("not JSON") from None
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value


def encode(value: "Any") -> bytes:
    """Encode a value as JSON: None, bool, int, float, str, or lists and dicts of these."""
    return _encoded(value).encode()


def _encoded(value: "Any") -> str:
    if isinstance(value, str):
        return _quote(_encodable(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_encoded(str(key))}:{_encoded(item)}" for key, item in value.items()) + "}"
    return "[" + ",".join(map(_encoded, value)) + "]"


def _encodable(text: str) -> str:
    """Replace lone surrogates, which JSON cannot encode. They stand for bytes of an argument that are not
    UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text


class Frames:
    """Splits the bytes of an event stream, which arrive in any pieces, into the data of its events."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> "list[bytes]":
        """Return the data of the events that `chunk` completes, in order.

        Raises:
            ValueError: an event is larger than the hub's events can be.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_FRAME_BYTES:
            raise ValueError("the event is too large")
        complete: list[bytes] = []
        for line in lines:
            line = line.removesuffix(b"\r")
            if line[:5] == b"data:":
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                complete.append(b"\n".join(self._data))
                self._data = []
        return complete
