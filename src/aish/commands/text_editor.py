"""Lets the user edit a text of the hub, which is kept if it cannot be used."""

import os

from aish.exits import Failure


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
        from aish.terminal.text_editor import open_editor

        open_editor(self.path, "nothing was changed")
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
