"""JSON and server-sent events, as far as the shell needs them.

The `json` module imports `re` and `enum`, which takes as long as half a start of Python; what does the work
in it are two functions of C, and they are used here directly. A Python without them gets the module.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_FRAME_BYTES = 16 * 1024 * 1024
_SPACE = " \t\r\n"


class _Standard:
    """The settings that the scanner reads: those of `json.loads`."""

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
    """The value of one JSON text.

    Raises:
        ValueError: it is not JSON, or not UTF-8.
    """
    text = (data if isinstance(data, str) else str(data, "utf-8")).strip(_SPACE)
    try:
        value, end = _scan(text, 0)
    except (StopIteration, SystemError, RecursionError):
        # SystemError: the C function looks for the class of its error in a module that is not imported
        raise ValueError("not JSON") from None
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value


def encode(value: "Any") -> bytes:
    """`value` (None, bool, int, float, str, and lists and dicts of such) as JSON."""
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
    """Bytes of an argument that were not UTF-8 come as lone surrogates, which JSON cannot carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text


class Frames:
    """Bytes of an event stream, cut anywhere → the data of its events, in order, without ids and names."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> "list[bytes]":
        """The data of the events that `chunk` completes.

        Raises:
            ValueError: an event is larger than any that the hub sends.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_FRAME_BYTES:
            raise ValueError("an event without end")
        complete: list[bytes] = []
        for line in lines:
            line = line.removesuffix(b"\r")
            if line[:5] == b"data:":
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                complete.append(b"\n".join(self._data))
                self._data = []
        return complete
