"""Lets the user edit a text in the program that `$VISUAL` or `$EDITOR` names."""

import os

from aish import exits
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_USUAL = ("sensible-editor", "editor", "nano", "vim", "vi")


class Draft:
    """A text that is being edited, in a file that only the user can read. `suffix`: of the file's name."""

    def __init__(self, folder: str, text: str, suffix: str) -> None:
        import tempfile

        try:
            os.makedirs(folder, 0o700, exist_ok=True)  # noqa: PTH103
            descriptor, self.path = tempfile.mkstemp(suffix, "edit-", folder)
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise Failure(f"cannot write a file in {folder}: {error.strerror}") from None

    def edit(self) -> str:
        """Return the text after the user has edited it.

        Raises:
            Failure: there is no editor, or it failed.
        """
        command = editor_command()
        code = _run([*command, self.path])
        if code:
            raise Failure(f"the editor {command[0]} failed with exit status {code}; nothing was changed")
        try:
            with open(self.path, encoding="utf-8", newline="") as file:
                return file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"cannot read {self.path}: {error}") from None

    def remove(self) -> None:
        try:
            os.unlink(self.path)  # noqa: PTH108
        except OSError:
            pass


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


def can_ask() -> bool:
    """Return whether there is a terminal on which a person can answer."""
    return os.isatty(0) and os.isatty(2)


def confirm(question: str) -> bool:
    """Ask a question on the terminal; return whether the answer is yes, which Enter stands for."""
    from aish.output import write

    write(2, f"{question} [Y/n] ".encode())
    line = os.read(0, 1024)
    if not line.endswith(b"\n"):
        write(2, b"\n")
    return bool(line) and line.strip().lower() in (b"", b"y", b"yes")
