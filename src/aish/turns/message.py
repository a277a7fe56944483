"""One message to one peer: `git diff | aish apollo "review this"`.

Most runs of the shell do only this, so this module imports nothing else. Options, plans, terminals and the
start of the hub are imported when they are needed.
"""

import os
from time import monotonic

from aish import exits
from aish.client.home import state_home
from aish.client.hub import Hub, quote
from aish.client.json_sse import decode
from aish.exits import Failure
from aish.output import (
    STDERR,
    STDOUT,
    OutputLost,
    Sink,
    say,
    show_local_notice,
    show_model_notice,
    show_offline_notice,
)
from aish.turns.input import read_input, return_input
from aish.turns.signals import Signals, Terminated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from aish.client.response import Stream
    from aish.screen.display import Display
    from aish.turns.asking import Asking
    from rhetor.domain.grammar import Options

    AnyOptions: TypeAlias = "Options | type[NoOptions]"

TERMINAL_NAME = "AISH_NAME"  # the variable with the name of this terminal, for programs that run in it
_CANCEL_TIMEOUT = 2.0  # seconds
RAW_EVENTS = "text/event-stream; events=raw"


class NoOptions:
    """The defaults of the grammar's `Options`, without importing the grammar."""

    context_window: int | None = None
    session_id: str | None = None
    execute = False
    delimiter: str | None = None
    if_busy = "queue"
    if_offline = "refuse"
    timeout: float | None = None
    json = False
    no_stream = False
    quiet = False
    raw = False
    usage = False
    model: str | None = None
    system: str | None = None
    files = ()
    attachments: "tuple[str, ...]" = ()
    schema: str | None = None
    continues = False


def send_message(hub: Hub, peer: str, text: str, options: "AnyOptions" = NoOptions) -> int:
    """Send the text and piped input, stream the answer to stdout, and return the exit code.

    Raises:
        Failure: there is nothing to send, or the hub or the peer fails.
        KeyboardInterrupt: the user stopped the answer; the turn was interrupted.
    """
    piped = read_input()
    content = join_message(text, piped)
    try:
        if not (content or options.execute or options.attachments):  # an empty message presses Enter
            hub.ask("GET", f"/api/v2/ai/{quote(peer)}")  # report an unknown peer first
            raise no_message(peer, options.session_id)
        return Turn(hub, peer, options).run(content, runs=bool(piped))
    except Failure as failure:
        if failure.problem == "unknown_peer":
            return_input()  # an alias may have the name
        raise


class Exchange:
    """One request and its streamed answer. The end of the `with` closes the answer.

    `timeout` limits the whole exchange, in seconds. If the user or a signal stops it, stdout is closed, or it
    times out, `cancel` is called. A closed stdout is not an error. `keeps`: the answer is kept in a session,
    and a signal does not stop it.
    """

    def __init__(
        self, hub: Hub, timeout: "float | None", cancel: "Callable[[], None]", *, keeps: bool = False
    ) -> None:
        self._hub = hub
        self._keeps = keeps
        self._timeout = timeout
        self._cancel = cancel
        self._answer: Stream | None = None
        self._signals = Signals()

    def open(self, path: str, body: "Any", *, accept: str = "") -> "Stream":
        """Post the request, and return the answer when its head has arrived."""
        self._answer = self._hub.stream(path, body, accept=accept)
        return self._answer

    def __enter__(self) -> "Exchange":
        self._hub.deadline = monotonic() + self._timeout if self._timeout else None
        self._signals.catch()
        return self

    def __exit__(self, kind: object, error: "BaseException | None", traceback: object) -> bool:
        try:
            stops = isinstance(error, BrokenPipeError | KeyboardInterrupt | OutputLost)
            if stops or _has_timed_out(error) or (isinstance(error, Terminated) and not self._keeps):
                self._cancel()
        finally:
            self._signals.restore()
            self._hub.deadline = None
            if self._answer is not None:
                self._answer.close()
        return isinstance(error, BrokenPipeError)


def _has_timed_out(error: "BaseException | None") -> bool:
    """Whether the shell stopped waiting, rather than the hub."""
    return isinstance(error, Failure) and error.code == exits.TIMED_OUT and not error.status


class Turn:
    """A message and its answer. `session_id` names the session that keeps them, once the hub has sent it.
    `request`: of a request whose answer it is, if it is not that to a message: the path, the `Accept`, and
    the peer whose answers it has."""

    def __init__(
        self,
        hub: Hub,
        peer: str,
        options: "AnyOptions" = NoOptions,
        out: Sink | None = None,
        request: "tuple[str, str, str] | None" = None,
    ) -> None:
        self._hub = hub
        self._request = request
        self._peer = peer
        self._options = options
        self._out = out or Sink(STDOUT)
        self._out.peer = peer
        self._err = Sink(STDERR)
        self._held: list[str] = []
        self.session_id = options.session_id
        self._turn_id = ""
        self._is_paused = False
        self._has_answered = False
        self._display: Display | None = None
        self._asking: Asking | None = None
        self._thoughts: Sink | None = None
        self._renders = False  # whether it is still to be decided that the answer is rendered

    @property
    def was_accepted(self) -> bool:
        """Whether the message is in the log."""
        return bool(self._turn_id)

    def run(self, content: str, *, runs: bool = False) -> int:
        """Send the complete content, show the answer, and return the exit code. `runs`: a wrapped program
        runs the content, also without `-x`. Raises as `send_message`."""
        if not self._options.json and (self._out.is_terminal or self._err.is_terminal):
            from aish.screen.display import Display

            self._display = Display.of(self._out, quiet=self._options.quiet)
        if self._display is None:
            return self._exchange(content, runs=runs)
        with self._display as display:
            display.waits_for(self._peer)
            self._renders = display.renders and not self._options.raw
            return self._exchange(content, runs=runs)

    def _exchange(self, content: str, *, runs: bool) -> int:
        options = self._options
        keeps = options.session_id is not None or options.context_window is not None
        with Exchange(self._hub, options.timeout, self._cancel, keeps=keeps) as exchange:
            if self._request:
                answer = exchange.open(self._request[0], {}, accept=self._request[1])
            else:
                answer = exchange.open(
                    f"/api/v2/ai/{quote(self._peer)}/stream",
                    {
                        "content": content,
                        **sender(),
                        **message_fields(options),
                        **({"execute": True} if runs else {}),
                    },
                    accept=RAW_EVENTS if options.json else "",
                )
            self._read_headers(answer)
            return self._print_events(answer) if options.json else self._print_answer(answer)
        return exits.DONE

    def _read_headers(self, answer: "Stream") -> None:
        session_id = answer.headers.get("x-session-id")
        self._turn_id = answer.headers.get("x-turn-id", "")
        is_new = self._options.context_window is not None and not self.session_id
        self.session_id = session_id or self.session_id
        if self._options.quiet:
            return
        show_notice(answer)
        if is_new and session_id:
            say(f"Session {session_id} (continue it with --session-id {session_id})")

    def _print_answer(self, answer: "Stream") -> int:
        try:
            return self._print_frames(answer)
        except Failure as failure:
            is_hubs = failure.code == exits.UNREACHABLE or failure.problem == "shutting_down"
            if self._is_paused and is_hubs:
                failure.hint = (
                    f"the turn is still paused, and the next hub continues it: aish explain {self._peer}"
                )
            if self._has_answered and not isinstance(failure, OutputLost):
                say_cut_off(self._peer)
            raise

    def _print_frames(self, answer: "Stream") -> int:
        try:
            for data in answer.events():
                frame = decode_event(data)
                kind = frame.get("type")
                if kind == "content":
                    self._is_paused = False
                    self._show(frame)
                elif kind == "done":
                    self._answer("".join(self._held))
                    self._out.end()
                    if self._options.usage:
                        used = {**frame, "model": self._model()}
                        show_usage(self._peer, used, frame.get("execution_time"))
                    return finish(self._peer, frame, quiet=self._options.quiet)
                elif kind == "error":
                    raise turn_failure(self._peer, frame)
                elif kind == "notice":
                    self._out.break_line()
                    hint = str(frame.get("hint") or "")
                    say(Failure(str(frame.get("detail")), hint=hint).shown)
                elif kind == "permission":
                    self._ask(frame)
                    self._is_paused = frame.get("tool") in ("quota", "budget")
                elif kind == "permission_answered" and self._asking is not None:
                    self._asking.answered(frame)
                elif kind == "budget":
                    self._out.break_line()
                    from aish.turns.budgets import show_budget

                    show_budget(self._peer, frame)
                elif kind == "passed_on":
                    self._out.break_line()
                    say(f"aish: {frame.get('to')} answers instead of {frame.get('from')}")
                elif self._display is not None and kind == "plan":
                    self._display.show_plan(self._peer, frame)
                elif self._display is not None and kind == "tool_call":
                    self._display.tool_called(self._peer, frame)
                elif self._display is not None and kind == "tool_result":
                    self._display.tool_returned(self._peer, frame)
        finally:
            self._end_thoughts()
            self._err.end()
            self._out.end()
        raise incomplete_answer()

    def _model(self) -> "str | None":
        """Return the model that has answered, as the log has it; None if it is not known."""
        try:
            path = f"/api/v2/history?limit=1&session={quote(self.session_id or '')}"
            found = self._hub.ask("GET", path)["history"]
        except Failure:
            return None
        return next((one.get("model") for one in found if one.get("turn_id") == self._turn_id), None)

    def _show(self, frame: "dict[str, Any]") -> None:
        channel = frame.get("channel", "answer")
        if channel in ("stderr", "unsolicited"):
            self._err.write(frame["data"])
        elif channel == "reasoning":
            self._think(frame["data"])
        elif channel == "answer" and (self._options.no_stream or self._options.schema is not None):
            self._held.append(frame["data"])
        elif channel == "answer":
            self._answer(frame["data"])

    def _answer(self, text: str) -> None:
        if self._renders and text:
            from aish.turns.rendering import sink_for

            self._renders = False
            writer = self._request[2] if self._request else self._peer
            self._out = sink_for(self._display, self._hub.home, writer, self._out)
        self._end_thoughts()
        if self._display is not None and text and not self._out.is_terminal:
            self._display.has_output()
        self._has_answered = self._has_answered or bool(text)
        self._out.write(text)

    def _ask(self, request: "dict[str, Any]") -> None:
        """Show a permission request, and let the user answer it here if there is a terminal."""
        self._out.break_line()
        if self._display is not None:
            from aish.turns.asking import Asking

            self._asking = self._asking or Asking(self._display, self._hub.home)
            if self._asking.ask(self._peer, {**request, "session_id": self.session_id}):
                return
        from aish.turns.permissions import show_request

        show_request(self._peer, request)

    def _think(self, text: str) -> None:
        """Show reasoning, dimmed, if there is a terminal for it."""
        if self._display is not None and self._display.shows_progress:
            self._display.finish()
            self._thoughts = self._thoughts or Sink(STDERR, dim=True)
            self._thoughts.write(text)

    def _end_thoughts(self) -> None:
        if self._thoughts is not None:
            self._thoughts.end()
            self._thoughts = None

    def _print_events(self, answer: "Stream") -> int:
        for data in answer.events():
            self._out.write_raw(data + b"\n")
            event = decode_event(data)
            if event.get("type") == "turn.completed":
                return finish(self._peer, event["data"], quiet=self._options.quiet)
            if event.get("type") in ("turn.failed", "turn.cancelled", "turn.interrupted"):
                raise turn_failure(self._peer, event["data"])
        raise incomplete_answer()

    def _cancel(self) -> None:
        if not (self.session_id and self._turn_id):
            return
        path = f"/api/v2/sessions/{quote(self.session_id)}/turns/{quote(self._turn_id)}/abandon"
        found = cancel_quietly(self._hub, "POST", path)
        if found and (name := found.get("continues")):
            self._out.break_line()
            say(f"{name} continues with the message (aish explain {name} shows its status)")


def working_folder() -> "dict[str, str]":
    """Return the member `cwd` of a request, the folder for programs that run in their caller's folder. Empty
    if the folder was deleted."""
    try:
        return {"cwd": os.getcwd()}  # noqa: PTH109
    except OSError:
        return {}


def sender() -> "dict[str, str]":
    """Return the members of a request that identify the sender: the folder, and the terminal's name."""
    name = os.environ.get(TERMINAL_NAME) or _unnamed_terminal()
    return {**working_folder(), "from": name} if name else working_folder()


def _unnamed_terminal() -> "str | None":
    """Return how the hub calls this terminal if it has a purpose but no name."""
    if not os.path.exists(f"{state_home()}/terminals/{os.getsid(0)}"):  # noqa: PTH110
        return None
    from aish.turns.unnamed_terminal import own_name

    return own_name()


def message_fields(options: "AnyOptions") -> "dict[str, Any]":
    """Return the members of a request for these options."""
    asked = {
        "session_id": options.session_id,
        "context_window": options.context_window,
        "delimiter": options.delimiter,
        "execute": options.execute or None,
        "if_busy": options.if_busy if options.if_busy != "queue" else None,
        "if_offline": options.if_offline if options.if_offline != "refuse" else None,
        "model": options.model,
        "system": options.system,
    }
    fields = {name: value for name, value in asked.items() if value is not None}
    if options.attachments or options.schema is not None:
        from aish.turns.attached import part_fields

        fields |= part_fields(options.attachments, options.schema)
    return fields


def join_message(text: str, piped: str) -> str:
    """Return the text followed by the piped input. Empty if both are blank."""
    return "\n\n".join(part for part in (text, piped) if part.strip())


def no_message(peer: str, session_id: str | None = None) -> Failure:
    """Return the error for a missing message. `session_id`: the value of `-s`, which may be the message."""
    hint = f"{session_id} is the name of a session here; a message: -s -- {session_id}" if session_id else ""
    detail = f"no message for {peer}; type a text after the name, or pipe one in"
    return Failure(detail, exits.USAGE, hint=hint)


def decode_event(data: bytes) -> "dict[str, Any]":
    """Decode an event of the hub from the data of a server-sent event.

    Raises:
        Failure: the data is not a JSON object.
    """
    try:
        event = decode(data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise Failure("the hub sent an invalid event", exits.UNREACHABLE)
    return event


def turn_failure(peer: str, data: "dict[str, Any]") -> Failure:
    """Return the failure of a turn, from the event that ended it."""
    detail = data.get("detail") or data.get("reason") or f"cancelled by {data.get('by', 'the hub')}"
    hint = str(data.get("hint") or (data.get("data") or {}).get("hint") or "")
    retry = " (you can try again)" if data.get("retryable") and not hint else ""
    message = f"{_failed(peer, str(detail))}{retry}"
    problem = str(data.get("code", ""))
    return Failure(message, exits.exit_code(problem), problem=problem, hint=hint)


def _failed(peer: str, detail: str) -> str:
    """Return the detail with the peer before it. Some details name the peer, or an agent that failed."""
    detail = detail.removeprefix(f"{peer}: ")
    who, failed, why = detail.partition(" failed: ")
    if failed and " " not in who:
        detail = why if who == peer else f"{who}: {why}"
    return detail if detail.startswith(f"{peer} ") else f"{peer} failed: {detail}"


def say_cut_off(peer: str) -> None:
    """Say that what was written of an answer is not the whole. The reader of a pipe cannot see that."""
    say(f"aish: the answer of {peer} is cut off")


# the finish reasons of whole answers
_COMPLETE = ("stop", "screen", "typed")
# why an answer may be shorter than it should be, by its finish reason
_CUT_SHORT = {
    "length": "the limit of tokens was reached",
    "content_filter": "a content filter ended it",
    "refusal": "the model refused to answer",
    "tool_calls": "the model called a tool that it does not have",
}


def finish(peer: str, data: "dict[str, Any]", *, quiet: bool = False) -> int:
    """Report on stderr how an answer ended, if that matters, and return the exit code."""
    reason = str(data.get("finish_reason") or "stop")
    if reason == "silence":
        say(f"{peer} fell silent; nothing else shows that its answer is complete")
        return exits.SILENT
    if reason == "typed" and not quiet:
        say("typed, not run (add -x)")
    if reason not in _COMPLETE and not quiet:
        why = _CUT_SHORT.get(reason)
        shown = f"{why} ({reason})" if why else f"it ended with {reason!r}"
        say(f"aish: the answer of {peer} may be incomplete: {shown}")
    return exits.DONE


def show_usage(peer: str, data: "dict[str, Any]", seconds: "float | None") -> None:
    """Print the usage of an answer: `apollo (openai/gpt-5): 120 tokens in (30 cached), 45 out, $0.01, 1.3 s`.

    An unknown price is shown as unknown, not as zero.
    """
    peer = f"{peer} ({data['model']})" if data.get("model") else peer
    usage = data.get("usage") or {}
    tokens = "tokens unknown"
    if usage:
        cached = f" ({usage['cached_tokens']} cached)" if usage.get("cached_tokens") else ""
        tokens = f"{usage['input_tokens']} tokens in{cached}, {usage['output_tokens']} out"
    cost = data.get("cost")
    say(f"{peer}: {tokens}, {'cost unknown' if cost is None else f'${cost}'}, {seconds or 0.0:.1f} s")


def incomplete_answer() -> Failure:
    return Failure("the connection to the hub closed before the answer was complete", exits.UNREACHABLE)


def cancel_quietly(hub: Hub, method: str, path: str) -> "dict[str, Any] | None":
    """Send a request that stops a turn or a plan, and return its answer. A failure is ignored."""
    hub.deadline = monotonic() + _CANCEL_TIMEOUT
    try:
        return dict(hub.ask(method, path) or {})
    except Failure:
        return None
    finally:
        hub.deadline = None


def show_notice(answer: "Stream") -> None:
    """Print the hub's notice, if the answer has one."""
    notices = answer.headers.get("x-rhetor-notice", "").split(", ")
    if "offline" in notices:
        show_offline_notice()
    for notice in notices:
        if notice.startswith("local="):
            show_local_notice(notice[6:])
    if "model" in notices:
        show_model_notice()
