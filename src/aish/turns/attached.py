"""The files of a message: text files that follow it (`-f`), attachments (`-a`) and the schema of its answer.

An attachment is uploaded before the message is sent. The hub decides whether the peer takes it. URLs are read
by the hub.
"""

# ruff: noqa: PTH111, PTH119
import os

from aish import exits
from aish.client.hub import Binary, Hub, quote
from aish.client.json_sse import decode
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rhetor.domain.grammar import Options

MOST_BYTES = 16 << 20
PIPED = "-"  # stands for standard input
_NONCE_BYTES = 8
_URLS = ("http://", "https://")
_BLOB = "blob:"  # before the id of an attachment that was uploaded
_UNKNOWN = "application/octet-stream"
# by the extension; of any other file, the hub looks at the content
_MEDIA_TYPES = {
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "mp3": "audio/mpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webp": "image/webp",
}


def with_files(text: str, paths: "Sequence[str]") -> str:
    """Return the text, followed by the content of the files between fence lines that no file can forge.

    Raises:
        Failure: a file cannot be read, or is not text.
    """
    parts = [text] if text else []
    for path in paths:
        fence = f"--- {os.urandom(_NONCE_BYTES).hex()} ---"
        parts.append(f"[File {_on_one_line(os.path.basename(path))}]\n{fence}\n{_read(path)}\n{fence}")
    return "\n\n".join(parts)


def _on_one_line(name: str) -> str:
    """Return the name of a file as it can stand before its fence, where only the user speaks."""
    return "".join(char if char.isprintable() else "?" for char in name)


def _read(path: str) -> str:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            data = file.read(MOST_BYTES + 1)  # some files never end
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    if len(data) > MOST_BYTES:
        raise Failure(f"{path} is larger than 16 MiB", exits.USAGE)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Failure(f"{path} is not a text file in UTF-8")
    return text.removesuffix("\n")


def with_contents(hub: Hub, options: "Options") -> "Options":
    """Return the options with attachments that are uploaded, and with the schema itself.

    Raises:
        Failure: a file cannot be read, is too large or is rejected; or the schema is not a JSON object.
    """
    uploaded = [_uploaded(hub, place) for place in options.attachments]
    changed = options.without("attachments", "schema")
    fields = {name: getattr(changed, name) for name in changed.__slots__}
    schema = None if options.schema is None else _schema(options.schema)
    return type(options)(**{**fields, "attachments": tuple(uploaded), "schema": schema})


def part_fields(attachments: "Sequence[str]", schema: str | None) -> "dict[str, Any]":
    """Return the members of a request for attachments that are uploaded and a schema that is read."""
    parts = [
        {"type": "file", "blob_id": place.removeprefix(_BLOB)}
        if place.startswith(_BLOB)
        else {"type": "file", "url": place}
        for place in attachments
    ]
    fields: dict[str, Any] = {"parts": parts} if parts else {}
    if schema is not None:
        fields["response_schema"] = decode(schema)
    return fields


def _uploaded(hub: Hub, place: str) -> str:
    if place.startswith(_URLS):
        return place
    name = "" if place == PIPED else os.path.basename(place)
    content = _piped() if place == PIPED else _content(place)
    if not content:
        raise Failure(f"{place} is empty", exits.USAGE)
    media_type = _MEDIA_TYPES.get(name.rpartition(".")[2].lower(), _UNKNOWN)
    path = f"/api/v2/blobs?name={quote(name)}" if name else "/api/v2/blobs"
    return _BLOB + str(hub.ask("POST", path, Binary(content, media_type))["blob_id"])


def _content(path: str) -> bytes:
    """Return the whole content of a file that does not change meanwhile."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            before = os.fstat(file.fileno())
            if before.st_size > MOST_BYTES:
                raise Failure(f"{path} is larger than 16 MiB", exits.USAGE)
            content = file.read(MOST_BYTES + 1)
            after = os.fstat(file.fileno())
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not same or (before.st_size and len(content) != before.st_size):
        raise Failure(f"{path} changed while it was read; send it again when it is complete")
    return content


def _piped() -> bytes:
    """Return what is piped in."""
    if os.isatty(0):
        raise Failure("-a - reads standard input; pipe the file in", exits.USAGE)
    content = bytearray()
    while len(content) <= MOST_BYTES and (piece := os.read(0, 1 << 20)):
        content += piece
    if len(content) > MOST_BYTES:
        raise Failure("standard input is larger than 16 MiB", exits.USAGE)
    return bytes(content)


def _schema(given: str) -> str:
    """Return the text of a schema, which is given itself or as the path of its file."""
    is_file = not given.lstrip().startswith("{")
    text = _read(given) if is_file else given
    try:
        found = decode(text.encode())
    except ValueError:
        raise Failure(f"{given if is_file else 'the schema'} is not valid JSON", exits.USAGE) from None
    if not isinstance(found, dict):
        raise Failure(f"{given} is not a JSON Schema: it must be an object", exits.USAGE)
    return text
