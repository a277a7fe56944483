"""Asks the user in place: a permission request of a running turn is shown on its terminal, and answered there
by a single key. The request can still be answered elsewhere; whichever answer comes first counts.
"""

import threading

from aish.client.hub import Hub
from aish.exits import Failure
from aish.questions import describe_answers
from aish.render import cleaned, dimmed, local_time, one_line, revealed
from aish.screen import colour
from aish.screen.keys import Keyboard
from aish.turns.choices import DETAILS, choices_of, lines_of
from aish.turns.permissions import (
    ANSWERED_HERE,
    SHOWN_HERE,
    describe_pause,
    find_request,
    post_answer,
    what_runs,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from aish.screen.display import Display
    from aish.turns.choices import Choice

    Request = dict[str, Any]

_INDENT = "  "
_BELL = "\x07"
_RULE_SECONDS = 0.15  # a rule of the hub answers a request within this time, if it does
_BY = {"expiry": "expired without an answer", "reset": "is over", "policy": "was answered by a rule"}


class Asking:
    """The pending requests of one turn or plan, which are asked one after the other. `home`: that of the
    hub."""

    def __init__(self, display: "Display", home: str) -> None:
        self._display = display
        self._home = home
        self._changed = threading.Condition()
        self._pending: dict[str, tuple[str, Request]] = {}
        self._keyboard: Keyboard | None = None
        self._asked: str | None = None  # the id of the request that is on the screen
        self._shown: dict[str, tuple[str, Request]] = {}  # those whose outcome is to be shown
        self._thread: threading.Thread | None = None
        self._is_closed = False
        display.on_close = self.close

    def ask(self, peer: str, request: "Request") -> bool:
        """Ask the user, and return without waiting for an answer. Return False if the user cannot be asked
        here. `request`: the members of its event, and `session_id`."""
        if not request.get("options") and not request.get("questions"):
            return False
        if not Keyboard.is_there():
            return False
        with self._changed:
            self._pending[request["request_id"]] = peer, request
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aish asking", daemon=True)
                self._thread.start()
        return True

    def answered(self, answer: "dict[str, Any]") -> None:
        """Stop asking, because the request was answered or withdrawn, here or elsewhere."""
        id = answer["request_id"]
        with self._changed:
            self._pending.pop(id, None)
            if self._asked == id and self._keyboard is not None:
                self._keyboard.stop()
            self._changed.notify_all()
            found = self._shown.pop(id, None)
        if found is not None:
            peer, request = found
            self._display.set_question(None)
            self._display.say(_outcome(peer, request, answer))
            for tell in SHOWN_HERE:
                tell(str(request.get("session_id")), id)
            self._display.waits_for(peer)

    def close(self) -> None:
        """Stop asking, and restore the terminal."""
        with self._changed:
            self._is_closed = True
            self._pending.clear()
            if self._keyboard is not None:
                self._keyboard.stop()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (found := self._next()) is not None:
            peer, request = found
            try:
                self._ask_now(peer, request)
            except (Failure, OSError) as error:
                line = (
                    error.shown if isinstance(error, Failure) else f"aish: cannot read the keyboard: {error}"
                )
                self._display.say(cleaned(line))
            finally:
                self._display.set_question(None)
            with self._changed:
                self._pending.pop(request["request_id"], None)
                self._asked = None

    def _next(self) -> "tuple[str, Request] | None":
        """Wait for a request that no rule answers at once; None if there will be no more."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._pending or self._is_closed)
                if self._is_closed:
                    return None
                first = next(iter(self._pending.values()))
                if not self._is_answered_by_rule(first[1]["request_id"]):
                    return first

    def _is_answered_by_rule(self, id: str) -> bool:
        return self._changed.wait_for(lambda: id not in self._pending, _RULE_SECONDS)

    def _ask_now(self, peer: str, request: "Request") -> None:
        id = request["request_id"]
        with Keyboard() as keyboard:
            with self._changed:
                if id not in self._pending:
                    return
                self._keyboard, self._asked = keyboard, id
                self._shown[id] = peer, request
            try:
                self._display.say("\n".join(_shown(peer, request)) + _BELL)
                _Dialogue(self._display, keyboard, self._home, peer, request).run()
            finally:
                with self._changed:
                    self._keyboard = None


class _Dialogue:
    """One request, from the question to the answer that is sent to the hub."""

    def __init__(
        self, display: "Display", keyboard: Keyboard, home: str, peer: str, request: "Request"
    ) -> None:
        self._display = display
        self._keyboard = keyboard
        self._home = home
        self._peer = peer
        self._request = request
        self._choices = _choices_of(request)

    def run(self) -> None:
        if self._request.get("questions"):
            self._answer_questions()
            return
        for choice in self._choices:
            if choice.remark:
                self._display.say(dimmed(f"{_INDENT}[{choice.key}] {choice.remark}"))
        more = f"[{DETAILS}] details"
        self._display.set_question(lambda columns: lines_of(self._choices, columns, more))
        while (key := self._keyboard.key()) is not None:
            if key == DETAILS:
                self._display.say(details_of(self._request))
            for choice in self._choices:
                if choice.key == key:
                    self._choose(choice)
                    return

    def _choose(self, choice: "Choice") -> None:
        self._display.set_question(None)
        self._send({"option_id": choice.option["option_id"]})

    def _send(self, body: "dict[str, Any]") -> None:
        hub = Hub(self._home, may_start=False)
        post_answer(hub, find_request(hub, self._request["request_id"]), body)

    def _answer_questions(self) -> None:
        from aish.turns.question_keys import ask_question

        refusals = [choice for choice in self._choices if choice.key == "n"]
        answers: dict[str, list[str] | str] = {}
        for question in self._request["questions"]:
            answer = ask_question(self._display, self._keyboard, question, can_refuse=bool(refusals))
            if answer is None:
                return
            if answer == "":
                self._choose(refusals[0])
                return
            answers[question["id"]] = answer
        self._display.set_question(None)
        self._send({"answers": answers})


def _shown(peer: str, request: "Request") -> "list[str]":
    """Return a request as lines: who asks, and what would run, in full."""
    name = colour.in_colour_of(peer, one_line(peer))
    if (paused := describe_pause(request.get("detail"))) is not None:
        return [f"⏸ {name} {cleaned(paused)}"]
    if request.get("questions"):
        return [f"⏸ {name} asks"]
    tool = colour.bold(one_line(revealed(str(request.get("tool") or "a tool"))))
    lines = what_runs(request.get("detail"), paint_diff)
    return [f"⏸ {name} asks to use {tool}", *(f"{_INDENT}{line}" for line in lines)]


def paint_diff(line: str) -> str:
    """Return a line of a diff in its colour."""
    if line.startswith("@@"):
        return colour.place(line)
    return {"+": colour.good, "-": colour.failed}.get(line[:1], str)(line)


def details_of(request: "Request") -> str:
    """Return everything that the agent has sent with a request, and all its options."""
    import json

    shown = json.dumps(request.get("detail"), indent=2, ensure_ascii=False)
    options = [f"{option['option_id']}: {option['name']} ({option['kind']})" for option in request["options"]]
    until = request.get("expires_at")
    expiry = [f"denied if there is no answer until {local_time(until)}"] if until else []
    lines = [f"request {request['request_id']}", *expiry, *shown.split("\n"), *options]
    return "\n".join(dimmed(f"{_INDENT}{revealed(line)}") for line in lines)


def _outcome(peer: str, request: "Request", answer: "dict[str, Any]") -> str:
    """Return the line for the end of a request, in the order of the stream: before what follows from it."""
    here = answer["request_id"] in ANSWERED_HERE
    what = one_line(peer) if here else f"{one_line(peer)}: {one_line(revealed(str(request.get('tool'))))}"
    where = ":" if here else " was answered elsewhere:"
    if (how := _BY.get(str(answer.get("by")))) is not None:
        return f"{what} {how}"
    if answer.get("answers") is not None:
        return f"{colour.good('✓')} {what}{where} {describe_answers(answer['answers'])}"
    for choice in _choices_of(request):
        if choice.option["option_id"] == answer.get("option_id"):
            refused = str(choice.option["kind"]).startswith("reject")
            mark = colour.failed("✗") if refused else colour.good("✓")
            return f"{mark} {what}{where} {choice.label}"
    return f"{what} was withdrawn"


def _choices_of(request: "Request") -> "list[Choice]":
    is_pause = describe_pause(request.get("detail")) is not None
    return choices_of(request.get("options") or (), by_name=is_pause)
