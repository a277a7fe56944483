"""What the shell shows of an error that it did not expect, instead of a traceback."""

import os
import traceback

from aish.client.home import state_home
from aish.exits import Failure

_LOG_BYTES = 256 * 1024
SEALED = "history.sealed"  # exists as long as the hub seals its files


def unexpected(error: Exception) -> Failure:
    """Return the failure for an error that no part of the shell handles, and add its traceback to `aish.log`
    in the hub's state folder, if that exists."""
    reason = " ".join(str(error).split())
    shown = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    path = os.path.join(state_home(), "aish.log")  # noqa: PTH118
    hint = f"the details are in {path}" if _add(path, "".join(_details(error))) else ""
    return Failure(f"unexpected error ({shown})", hint=hint)


def _details(error: Exception) -> "list[str]":
    """Return the traceback; without the message, which may quote the user, if the hub seals its files."""
    if not os.path.exists(os.path.join(state_home(), SEALED)):  # noqa: PTH110, PTH118
        return traceback.format_exception(error)
    return [*traceback.format_tb(error.__traceback__), f"{type(error).__name__}\n"]


def _add(path: str, text: str) -> bool:
    """Append the text; a file that has grown large is begun again. Return whether this worked."""
    try:
        begins_again = os.path.exists(path) and os.path.getsize(path) > _LOG_BYTES  # noqa: PTH110, PTH202
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if begins_again else os.O_APPEND)
        with open(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="replace") as log:
            log.write(text + "\n")
    except OSError:
        return False
    return True
