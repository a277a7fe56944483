"""One message to one peer: `git diff | aish apollo "review this"`. What most runs of the shell are.

Nothing is imported here that such a run can do without; options, plans, terminals and the start of the hub
are loaded when they are met.
"""

import os
from time import monotonic

from aish import exits
from aish.client.hub import Hub, quote
from aish.client.json_sse import decode
from aish.exits import Failure
from aish.output import STDERR, STDOUT, Sink, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from aish.client.response import Stream
    from rhetor.domain.grammar import Options

    AnyOptions: TypeAlias = "Options | type[NoOptions]"

STDIN = 0
NAME = "AISH_NAME"  # what this terminal is called, for what runs in it
# The hub takes no body over 8 MiB; what a pipe holds beyond that need not be read.
MAX_INPUT_BYTES = 8 * 1024 * 1024
_INTERRUPT_SECONDS = 2.0
RAW_EVENTS = "text/event-stream; events=raw"


class NoOptions:
    """What `Options()` of the grammar says, without loading the grammar."""

    context_window: int | None = None
    session_id: str | None = None
    execute = False
    delimiter: str | None = None
    if_busy = "queue"
    timeout: float | None = None
    json = False
    no_stream = False
    quiet = False
    usage = False


def talk(hub: Hub, peer: str, text: str, options: "AnyOptions" = NoOptions) -> int:
    """Send what was typed and what is piped in; the answer to stdout as it comes. The exit code.

    Raises:
        Failure: there is nothing to send, or the hub or the peer fails.
        KeyboardInterrupt: the user stopped the answer; the peer was told.
    """
    content = joined(text, read_input())
    if not content:
        hub.ask("GET", f"/api/v2/ai/{quote(peer)}")  # a word that is nobody's name is told so first
        raise no_message(peer)
    return Turn(hub, peer, options).run(content)


class Turn:
    """A message and its answer. `session_id` is where they are kept, once the hub has said so."""

    def __init__(
        self, hub: Hub, peer: str, options: "AnyOptions" = NoOptions, out: Sink | None = None
    ) -> None:
        self._hub = hub
        self._peer = peer
        self._options = options
        self._out = out or Sink(STDOUT)
        self._err = Sink(STDERR)
        self._held: list[str] = []
        self.session_id = options.session_id

    def run(self, content: str) -> int:
        """As `talk`, with a content that is whole."""
        options = self._options
        self._hub.deadline = monotonic() + options.timeout if options.timeout else None
        answer = None
        try:
            answer = self._hub.stream(
                f"/api/v2/ai/{quote(self._peer)}/stream",
                {"content": content, **sender(), **message_fields(options)},
                accept=RAW_EVENTS if options.json else "",
            )
            self._begun(answer)
            return self._print_events(answer) if options.json else self._print_answer(answer)
        except BrokenPipeError:
            self._stop()
            return exits.DONE
        except KeyboardInterrupt:
            self._stop()
            raise
        except Failure as failure:
            if failure.code == exits.TIMED_OUT and not failure.status:
                self._stop()
            raise
        finally:
            self._hub.deadline = None
            if answer is not None:
                answer.close()

    def _begun(self, answer: "Stream") -> None:
        kept = answer.headers.get("x-session-id")
        asked_to_keep = self._options.context_window is not None and not self.session_id
        self.session_id = kept or self.session_id
        if self._options.quiet:
            return
        tell_notice(answer)
        if asked_to_keep and kept:
            say(f"Session {kept} (go on with --session-id {kept})")

    def _print_answer(self, answer: "Stream") -> int:
        try:
            for data in answer.events():
                frame = understood(data)
                kind = frame.get("type")
                if kind == "content":
                    self._show(frame)
                elif kind == "done":
                    self._out.write("".join(self._held))
                    self._out.end()
                    if self._options.usage:
                        tell_usage(self._peer, frame, frame.get("execution_time"))
                    return exits.DONE
                elif kind == "error":
                    self._out.write("".join(self._held))
                    raise turn_failure(self._peer, frame)
                elif kind == "permission":
                    self._out.break_line()
                    tell_permission(self._peer, frame)
        finally:
            self._err.end()
            self._out.end()
        raise broken_off()

    def _show(self, frame: "dict[str, Any]") -> None:
        channel = frame.get("channel", "answer")
        if channel == "stderr":
            self._err.write(frame["data"])
        elif channel == "answer" and self._options.no_stream:
            self._held.append(frame["data"])
        elif channel == "answer":
            self._out.write(frame["data"])

    def _print_events(self, answer: "Stream") -> int:
        for data in answer.events():
            self._out.pass_on(data + b"\n")
            event = understood(data)
            if event.get("type") == "turn.completed":
                return exits.DONE
            if event.get("type") in ("turn.failed", "turn.cancelled", "turn.interrupted"):
                raise turn_failure(self._peer, event["data"])
        raise broken_off()

    def _stop(self) -> None:
        """Tell the peer that nobody waits any more. It is a courtesy: that it fails is not said."""
        if self.session_id:
            stop_quietly(self._hub, "POST", f"/api/v2/sessions/{quote(self.session_id)}/interrupt")


def folder() -> "dict[str, str]":
    """Where the person is: programs that run in their caller's folder run there."""
    try:
        return {"cwd": os.getcwd()}  # noqa: PTH109
    except OSError:  # it is no more
        return {}


def sender() -> "dict[str, str]":
    """Where the person is, and how the terminal is called that they sit at."""
    name = os.environ.get(NAME)
    return {**folder(), "from": name} if name else folder()


def message_fields(options: "AnyOptions") -> "dict[str, Any]":
    """The members of a request that `options` ask for."""
    asked = {
        "session_id": options.session_id,
        "context_window": options.context_window,
        "delimiter": options.delimiter,
        "execute": options.execute or None,
        "if_busy": options.if_busy if options.if_busy != "queue" else None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def read_input(descriptor: int = STDIN) -> str:
    """All that is piped in, without one newline at its end; nothing where a person sits there.

    Raises:
        Failure: it is more than the hub takes.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        while not os.isatty(descriptor) and (piece := os.read(descriptor, 65536)):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_INPUT_BYTES:
                raise Failure(f"the input is larger than {MAX_INPUT_BYTES} bytes", exits.USAGE)
    except OSError as error:  # closed, or a folder
        if size:
            raise Failure(f"the input cannot be read: {error.strerror}") from None
    return as_text(b"".join(pieces))


def as_text(data: bytes) -> str:
    """What a program wrote, as input of a peer."""
    return data.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")


def joined(text: str, given: str) -> str:
    """A message with what was piped in behind it; empty where neither says anything."""
    return "\n\n".join(part for part in (text, given) if part.strip())


def no_message(peer: str) -> Failure:
    return Failure(f"aish: no message for {peer}: say something or pipe something in", exits.USAGE)


def understood(data: bytes) -> "dict[str, Any]":
    """An event of the hub.

    Raises:
        Failure: it is none.
    """
    try:
        event = decode(data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise Failure("aish: the hub sent what cannot be read", exits.UNREACHABLE)
    return event


def turn_failure(peer: str, data: "dict[str, Any]") -> Failure:
    """Why a turn has no answer, from the event that says so."""
    detail = data.get("detail") or data.get("reason") or f"cancelled by {data.get('by', 'the hub')}"
    again = " (retryable)" if data.get("retryable") else ""
    return Failure(f"aish: {peer} failed: {detail}{again}", exits.exit_code(str(data.get("code", ""))))


def tell_usage(peer: str, data: "dict[str, Any]", seconds: "float | None") -> None:
    """What an answer took: `apollo: 120 tokens in (30 cached), 45 out, $0.0012, 1.3 s`. A price that is not
    known is said to be unknown: it is not nothing."""
    usage = data.get("usage") or {}
    tokens = "tokens unknown"
    if usage:
        cached = f" ({usage['cached_tokens']} cached)" if usage.get("cached_tokens") else ""
        tokens = f"{usage['input_tokens']} tokens in{cached}, {usage['output_tokens']} out"
    cost = data.get("cost")
    say(f"{peer}: {tokens}, {'cost unknown' if cost is None else f'${cost}'}, {seconds or 0.0:.1f} s")


def broken_off() -> Failure:
    return Failure("aish: the hub broke off before the answer was complete", exits.UNREACHABLE)


def stop_quietly(hub: Hub, method: str, path: str) -> None:
    hub.deadline = monotonic() + _INTERRUPT_SECONDS
    try:
        hub.ask(method, path)
    except Failure:
        pass
    finally:
        hub.deadline = None


def tell_notice(answer: "Stream") -> None:
    """What the hub wants the person to know, once a run."""
    if answer.headers.get("x-rhetor-notice") == "offline":
        from aish.output import tell_offline

        tell_offline()


def tell_permission(peer: str, data: "dict[str, Any]") -> None:
    from aish.output import tell_permission_asked

    tell_permission_asked(peer, data)
