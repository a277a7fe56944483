"""Opens a text in the user's editor."""

import os

from aish import exits
from aish.exits import Failure


def edited(text: str) -> str:
    """Return the text as the user saved it in $VISUAL, $EDITOR or vi.

    Raises:
        Failure: the editor cannot be started, or ends with an error.
    """
    import shlex
    import subprocess
    import tempfile

    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="aish-") as folder:  # only its owner can read it
        path = f"{folder}/message.md"
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        try:
            code = subprocess.run([*shlex.split(command), path], check=False).returncode
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Failure(f"cannot start {command}: {reason}", hint="set $VISUAL or $EDITOR") from None
        if code:
            raise Failure(f"{command} ended with {code}, so nothing was sent", exits.FAILED)
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
