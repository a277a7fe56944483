"""Opens a text in the user's editor: the program that `$VISUAL` or `$EDITOR` names, or a usual one."""

import os

from aish import exits
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_USUAL = ("sensible-editor", "editor", "nano", "vim", "vi")


def edited(text: str) -> str:
    """Return the text as the user saved it.

    Raises:
        Failure: there is no editor, or it failed.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="aish-") as folder:  # only its owner can read it
        path = f"{folder}/message.md"
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        open_editor(path, "nothing was sent")
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()


def open_editor(path: str, otherwise: str) -> None:
    """Let the user edit a file. `otherwise`: what an error says has not happened.

    Raises:
        Failure: there is no editor, or it failed.
    """
    command = editor_command()
    code = _run([*command, path])
    if code:
        raise Failure(f"the editor {command[0]} failed with exit status {code}; {otherwise}")


def editor_command(environment: "Mapping[str, str]" = os.environ) -> "list[str]":
    """Return the program that edits texts, with its arguments.

    Raises:
        Failure: no variable names one, and there is no usual one or no terminal for it.
    """
    import shlex
    import shutil

    for name in ("VISUAL", "EDITOR"):
        if given := environment.get(name, "").strip():
            try:
                return shlex.split(given)
            except ValueError as error:
                raise Failure(f"${name} is not a command: {error}", exits.USAGE) from None
    if not (os.isatty(0) and os.isatty(1)):
        raise Failure("there is no terminal to edit in; set EDITOR to a program", exits.USAGE)
    found = next((name for name in _USUAL if shutil.which(name)), None)
    if found is None:
        raise Failure("no editor found; set EDITOR to the name of one", exits.USAGE)
    return [found]


def _run(command: "list[str]") -> int:
    """Run the editor to its end, and return its exit status. Ctrl-C belongs to the editor."""
    import signal
    import subprocess

    before = signal.signal(signal.SIGINT, lambda *_: None)  # a handler is not inherited, unlike SIG_IGN
    try:
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise Failure(f"cannot run the editor {command[0]}: {error.strerror}; set EDITOR") from None
    finally:
        signal.signal(signal.SIGINT, before)
