"""Text files that follow a message (`-f`), each attributed and with its name."""

# ruff: noqa: PTH111, PTH119
import os

from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NONCE_BYTES = 8


def with_files(text: str, paths: "Sequence[str]") -> str:
    """Return the text, followed by the content of the files between fence lines that no file can forge.

    Raises:
        Failure: a file cannot be read, or is not text.
    """
    parts = [text] if text else []
    for path in paths:
        fence = f"--- {os.urandom(_NONCE_BYTES).hex()} ---"
        parts.append(f"[File {os.path.basename(path)}]\n{fence}\n{_read(path)}\n{fence}")
    return "\n\n".join(parts)


def _read(path: str) -> str:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            data = file.read()
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Failure(f"{path} is not a text file in UTF-8")
    return text.removesuffix("\n")
