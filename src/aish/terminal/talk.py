"""One conversation at a prompt: sends messages, and runs the commands that begin with a slash."""

import os

from aish import exits
from aish.client.failures import say_failure
from aish.client.hub import Hub, quote
from aish.exits import Failure
from aish.output import STDERR, STDOUT, say, write
from aish.screen.tables import wrapped
from aish.terminal.slash import command_in, message_in, overview
from aish.terminal.tty import window_size
from aish.turns.message import Turn
from rhetor.domain.grammar import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_EXIT_WORDS = ("exit", "quit")
_DEFAULT = "default"
_ALL_MESSAGES = 100_000
_SHOWN = 10  # files that an undo would change
_SPECIALIST = "specialist"  # a kind of peer
_WRAPPED = ("terminal", "stdio")  # drivers


class Talk:
    """A conversation with one peer. `peer` is the peer as the hub describes it. `ask` reads the user's answer
    to a question; None: nobody can be asked."""

    def __init__(
        self, hub: Hub, peer: "dict[str, Any]", options: Options, ask: "Callable[[str], str] | None"
    ) -> None:
        self._hub = hub
        self._peer = str(peer["id"])
        self._is_specialist = peer.get("kind") == _SPECIALIST
        self._options = options
        self._ask = ask
        self._files: list[str] = []  # for the next message
        self._typed = ""  # the last message, without its files
        self._sent = ""  # the last message as it was sent

    def take(self, text: str) -> bool:
        """Send the text, or run the command in it. Return whether the conversation continues."""
        if text.strip() in (*_EXIT_WORDS, "/exit"):
            return False
        try:
            if (command := command_in(text)) is None:
                self._say(message_in(text))
            else:
                _RUN[command[0]](self, command[1])
        except Failure as failure:
            say_failure(failure)
        except KeyboardInterrupt:
            write(STDOUT, b"\n")
        return True

    def _say(self, text: str) -> None:
        """Send a message with the files that wait for it."""
        from aish.turns.attached import with_files

        content = with_files(text, self._files) if self._files else text
        self._send(content)
        self._typed, self._files = text, []

    def _send(self, content: str) -> None:
        turn = Turn(self._hub, self._peer, self._options)
        try:
            turn.run(content)
        finally:
            if turn.session_id:
                self._options = Options(session_id=turn.session_id).over(self._options)
            if turn.was_accepted:
                self._sent = self._typed = content
                self._files = []

    def help(self, _: str) -> None:
        say(wrapped(overview(), window_size(STDERR)[1]))

    def model(self, name: str) -> None:
        """Show or set the model of the next messages."""
        self._set("model", name, f"{self._peer} chooses its own model")

    def system(self, text: str) -> None:
        """Show or set the system prompt of the next messages."""
        self._set("system", text, f"{self._peer} has no system prompt")

    def _set(self, option: str, value: str, why_not: str) -> None:
        if not self._is_specialist:
            raise Failure(why_not, exits.USAGE)
        if value:
            kept = self._options.without(option)
            chosen = Options(model=value) if option == "model" else Options(system=value)
            self._options = kept if value == _DEFAULT else chosen.over(kept)
        say(f"{option}: {getattr(self._options, option) or f'the default of {self._peer}'}")

    def file(self, names: str) -> None:
        """Add files to the next message, or list them."""
        import shlex

        from aish.turns.attached import with_files

        try:
            paths = shlex.split(names)
        except ValueError as error:
            raise Failure(f"/file: {error}", exits.USAGE) from None
        with_files("", paths)  # fails if one cannot be read
        self._files += [path for path in paths if path not in self._files]
        said = ", ".join(self._files)
        say(f"with the next message: {said}" if said else "no files; type /file FILE")

    def edit(self, _: str) -> None:
        """Let the user edit the last message, and send the result."""
        from aish.terminal.text_editor import edited

        before = self._typed or self._last_question()
        text = edited(before)
        if not text.strip() or text.strip() == before.strip():
            say("nothing was sent: the message is empty or unchanged (/retry sends it again)")
            return
        write(STDOUT, f"{text.rstrip()}\n".encode("utf-8", "replace"))
        self._say(text.rstrip("\n"))

    def save(self, words: str) -> None:
        """Write the conversation to a file."""
        from aish.turns.transcript import titled

        first, _, rest = words.partition(" ")
        replaces = first == "-f"
        name = os.path.expanduser(rest.strip() if replaces else words)  # noqa: PTH111
        if not name:
            raise Failure("name a file: /save FILE", exits.USAGE)
        text = titled(self._hub.ask("GET", f"{self._path()}?messages={_ALL_MESSAGES}"))
        try:
            with open(name, "w" if replaces else "x", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except FileExistsError:
            raise Failure(f"{name} exists", exits.USAGE, hint=f"to replace it: /save -f {name}") from None
        except (OSError, ValueError) as error:
            raise Failure(f"cannot write {name}: {getattr(error, 'strerror', error)}") from None
        say(f"✓ Saved the conversation to {name}")

    def undo(self, _: str) -> None:
        """Take back the last message and its answer."""
        taken = self._take_back()
        if taken is not None:
            first = " ".join(taken.split())
            say(f"✓ Took back: {first if len(first) <= 60 else f'{first[:59]}…'}")
            self._typed = self._sent = ""

    def retry(self, _: str) -> None:
        """Take back the last answer, and ask again."""
        typed, sent = self._typed, self._sent
        taken = self._take_back()
        if taken is not None:
            self._send(sent or taken)
            self._typed = typed or taken

    def _take_back(self) -> "str | None":
        """Return the session to the place before the last message, and return that message; None if the user
        did not want that.

        Raises:
            Failure: there is no such message, or a program keeps its own state.
        """
        from aish.progress import ask_with_progress

        driver = self._hub.ask("GET", f"/api/v2/ai/{quote(self._peer)}/status").get("driver")
        if driver in _WRAPPED:
            raise Failure(f"{self._peer} keeps its own state and cannot take back messages", exits.USAGE)
        path, place = f"{self._path()}/restore", {"at": "-1"}
        try:
            shown = ask_with_progress(self._hub, "comparing", path, {**place, "dry_run": True})
        except Failure as failure:
            if failure.problem != "not_found":
                raise
            raise Failure("there is no message to take back", exits.UNKNOWN) from None
        if shown["changed"] and not self._allows(shown["changed"]):
            say("nothing was changed")
            return None
        done = ask_with_progress(self._hub, "restore", path, place)
        if not self._is_specialist and not done["changed"]:
            say("files that it changed were not restored")
        if done["retold"]:
            say(f"aish: {self._peer} begins a new conversation, and receives the earlier one")
        asked = [each["content"] for each in done["changed_messages"] if each["role"] == "user"]
        return str(asked[-1]) if asked else ""

    def _allows(self, changed: "list[dict[str, Any]]") -> bool:
        """Show which files a checkpoint would change, and ask whether to do it."""
        for each in changed[:_SHOWN]:
            say(f"  {each['change']}  {each['path']}")
        if len(changed) > _SHOWN:
            say(f"  and {len(changed) - _SHOWN} more")
        if self._ask is None:
            raise Failure("this would also restore files, and nobody can confirm that here", exits.USAGE)
        return self._ask("These files are restored, too. Continue? [y/N] ").strip().lower() in ("y", "yes")

    def _last_question(self) -> str:
        """Return the last message of the session, or an empty text."""
        if not self._options.session_id:
            return ""
        session = self._hub.ask("GET", f"{self._path()}?messages=20")
        asked = [each["content"] for each in session["messages"] if each["role"] == "user"]
        return str(asked[-1]) if asked else ""

    def _path(self) -> str:
        if not self._options.session_id:
            raise Failure("no message was sent in this conversation yet", exits.USAGE)
        return f"/api/v2/sessions/{quote(self._options.session_id)}"


_RUN: "dict[str, Callable[[Talk, str], None]]" = {
    "/help": Talk.help,
    "/model": Talk.model,
    "/system": Talk.system,
    "/file": Talk.file,
    "/edit": Talk.edit,
    "/save": Talk.save,
    "/retry": Talk.retry,
    "/undo": Talk.undo,
}
