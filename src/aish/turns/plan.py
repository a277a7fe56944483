"""Sends a plan to the hub, and shows its events.

This module decides which answers are the line's result and which are intermediate. The hub decides when a
step runs.
"""

import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.exits import Failure
from aish.output import STDERR, STDOUT, OutputLost, Sink, say
from aish.turns.message import (
    Exchange,
    cancel_quietly,
    decode_event,
    finish,
    incomplete_answer,
    say_cut_off,
    sender,
    show_notice,
    show_usage,
    turn_failure,
)
from aish.turns.progress import Progress, Remarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    from aish.client.response import Stream
    from aish.headings import Quoting
    from aish.screen.display import Display
    from aish.turns.asking import Asking
    from aish.turns.steps import Step
    from aish.turns.thoughts import Thoughts
    from rhetor.domain.grammar import Options

    Event: TypeAlias = dict[str, Any]

# events of a step that end its reasoning so far
_FOLLOWS = ("tool.called", "agent.plan", "permission.asked", "step.done", "step.failed")


class PlanRun:
    """One plan, from its request to its end. The answers of the last steps go to `out`.

    The answer of a single last step is streamed. Those of several are printed whole, each under its peer's
    name, in the order in which they finish. Sessions that steps created are added to `sessions`, by peer.
    `request`: the path and the body that start the plan, if it is not made of `steps`.
    """

    def __init__(
        self,
        hub: Hub,
        steps: "Sequence[Step]",
        options: "Options",
        out: Sink | None = None,
        sessions: "dict[str, str] | None" = None,
        request: "tuple[str, Event] | None" = None,
    ) -> None:
        self._hub = hub
        self._request = request
        self._steps = steps
        self._options = options
        self._out = out or Sink(STDOUT)
        self._err = Remarks()
        self._sessions = {} if sessions is None else sessions
        self._progress = Progress(shown=not options.quiet)
        self._last_part: Quoting | None = None  # the answer of the last step, if headings were shown above it
        self._plan_id: str | None = None
        self._last: list[str] = []
        self._peers: dict[str, str] = {}
        self._streamed: set[str] = set()
        self._completed: dict[str, dict[str, Any]] = {}
        self._models: dict[str, str | None] = {}
        self._ends: dict[str, dict[str, Any]] = {}
        self._shown = 0
        self._failures: list[Failure] = []
        self._display: Display | None = None
        self._asking: Asking | None = None
        self._thoughts: Thoughts | None = None
        self._groups: dict[str, int] = {}
        self._renders = False  # whether answers are rendered; for one answer, whether that is still to decide

    def run(self, piped: str = "") -> int:
        """Send the plan, show its answers, and return the exit code.

        The first steps receive `piped` after their own texts.

        Raises:
            Failure: the hub rejects the plan, or the connection is lost.
            KeyboardInterrupt: the user stopped the plan; it was cancelled.
        """
        if not self._options.json and (self._out.is_terminal or os.isatty(STDERR)):
            from aish.screen.display import Display

            self._display = Display.of(self._out, quiet=self._options.quiet)
        if self._display is None:
            return self._exchange(piped)
        with self._display as display:
            self._renders = display.renders and not self._options.raw
            return self._exchange(piped)

    def _exchange(self, piped: str) -> int:
        with Exchange(self._hub, self._options.timeout, self._cancel) as exchange:
            answer = exchange.open(*(self._request or self._plan(piped)))
            self._plan_id = answer.headers.get("x-plan-id")
            if not self._options.quiet:
                show_notice(answer)
            return self._follow(answer)
        return exits.DONE

    def _plan(self, piped: str) -> "tuple[str, Event]":
        body = {"steps": list(self._steps), **sender(), **({"input": piped} if piped else {})}
        return "/api/v2/plans", body

    def _follow(self, answer: "Stream") -> int:
        try:
            for data in answer.events():
                event = decode_event(data)
                if self._options.json:
                    self._out.write_raw(data + b"\n")
                self._take(event)
                if event.get("type") == "plan.ended":
                    self._end_last()
                    self._show_usage()
                    return self._exit_code(event["data"]["status"])
        except OutputLost:
            raise
        except Failure:
            self._say_what_is_cut_off()
            raise
        finally:
            if self._thoughts is not None:
                self._thoughts.end_all()
            self._err.end()
            self._progress.end()
            self._end_last()
        raise incomplete_answer()

    def _take(self, event: "Event") -> None:
        data = event.get("data") or {}
        step = data.get("step") or event.get("step") or ""
        if self._thoughts is not None and event.get("type") in _FOLLOWS:
            self._thoughts.end(step)
        match event.get("type"):
            case "plan.started":
                self._begin(data["steps"])
            case "step.started":
                self._step_started(step, data)
            case "output.delta":
                self._step_output(step, data)
            case "permission.asked":
                self._ask(self._peers[step], {**data, "session_id": event.get("session_id")})
            case "permission.answered" if self._asking is not None:
                self._asking.answered(data)
            case "budget.reached" if not self._options.json:
                self._progress.break_line()
                self._out.break_line()
                from aish.turns.budgets import show_budget

                show_budget(self._peers.get(step, ""), data)
            case "turn.started" if data.get("instead_of"):
                self._progress.break_line()
                self._out.break_line()
                say(f"aish: {data['peer']} answers instead of {data['instead_of']}")
            case "usage.reported":
                self._models[step] = data.get("model")
            case "turn.completed":
                self._completed[step] = {**data, "model": self._models.get(step)}
            case "agent.plan" if self._display is not None:
                self._display.show_plan(self._peers[step], data)
            case "tool.called" if self._display is not None:
                self._display.tool_called(self._peers[step], data)
            case "tool.returned" if self._display is not None:
                self._display.tool_returned(self._peers[step], data)
            case "step.done":
                self._ends[step] = data
                self._step_done(step, data["text"])
            case "step.failed":
                self._step_failed(step, data)

    def _ask(self, peer: str, request: "Event") -> None:
        """Show a permission request, and let the user answer it here if there is a terminal."""
        self._progress.break_line()
        self._out.break_line()
        if self._display is not None:
            from aish.turns.asking import Asking

            self._asking = self._asking or Asking(self._display, self._hub.home)
            if self._asking.ask(peer, request):
                return
        from aish.turns.permissions import show_request

        show_request(peer, request)

    def _begin(self, steps: "Sequence[Step]") -> None:
        needed = {need for step in steps for need in step["depends_on"]}
        self._last = [step["id"] for step in steps if step["id"] not in needed]
        # steps with the same dependencies run at the same time
        needs = [tuple(step["depends_on"]) for step in steps]
        self._groups = {step["id"]: needs.count(need) for step, need in zip(steps, needs, strict=True)}
        intermediate = [tuple(step["depends_on"]) for step in steps if step["id"] in needed]
        if len(self._last) > 1:
            self._out = self._out.without_heading()  # each of these answers gets one
        self._progress.one_at_a_time = len(set(intermediate)) == len(intermediate)

    def _step_started(self, step: str, data: "dict[str, Any]") -> None:
        peer = self._peers[step] = data["peer"]
        if step in self._last:
            self._out.peer = peer
        if data.get("capability") and not self._options.quiet:
            say(f"Routing to {peer} (best match for {data['capability']}, {data['score']:.2f})")
        if self._display is not None and self._groups.get(step, 1) > 1:
            self._display.peer_works(peer)
        elif self._display is not None:
            self._display.waits_for(peer)
        if session := data.get("session_id"):
            self._keep_session(step, peer, session)

    def _keep_session(self, step: str, peer: str, session: str) -> None:
        request = next((sent for sent in self._steps if sent["id"] == step), {})
        if "context_window" not in request or request.get("session_id"):
            return
        self._sessions[peer] = session
        if not self._options.quiet:
            say(f"Session {session} with {peer} (continue it with --session-id {session})")

    def _step_output(self, step: str, data: "dict[str, Any]") -> None:
        channel = data.get("channel", "answer")
        if channel == "reasoning":
            self._think(step, data["text"])
            return
        if self._thoughts is not None:
            self._thoughts.end(step)
        if channel in ("stderr", "unsolicited"):
            self._err.write(data["text"], beside_answers=len(self._last) > 1)
        elif channel != "answer" or self._options.json:
            return
        elif step not in self._last:
            if self._progress.one_at_a_time:
                self._streamed.add(step)
                self._progress.show(self._peers[step], data["text"])
        elif len(self._last) == 1 and not self._options.no_stream:
            self._streamed.add(step)
            self._write_last(data["text"])

    def _think(self, step: str, text: str) -> None:
        """Show reasoning, dimmed, if there is a terminal for it."""
        if self._display is None or not self._display.shows_progress:
            return
        from aish.turns.thoughts import Thoughts

        self._display.finish()
        self._thoughts = self._thoughts or Thoughts()
        name = f"{self._peers[step]}: " if len(self._groups) > 1 else ""
        one_at_a_time = all(count == 1 for count in self._groups.values())
        (self._thoughts.stream if one_at_a_time else self._thoughts.add)(step, text, name=name)

    def _step_done(self, step: str, text: str) -> None:
        if self._options.json:
            return
        if self._display is not None:
            self._display.peer_ended(self._peers[step], failed=False)
        if step not in self._last:
            self._progress.show(self._peers[step], "" if step in self._streamed else text)
            self._progress.end()
        elif len(self._last) > 1:
            self._show_whole(step, text)
        else:
            self._write_last("" if step in self._streamed else text)
            self._end_last()

    def _write_last(self, text: str) -> None:
        """Write the answer of a single last step. Piped output is never changed."""
        if text and self._renders:
            from aish.turns.rendering import sink_for

            self._renders = False
            peer = self._out.peer
            quotes = self._progress.has_headings
            self._out = sink_for(self._display, self._hub.home, peer, self._out, quotes=quotes)
        if self._display is not None and text and not self._out.is_terminal:
            self._display.has_output()
        if self._progress.has_headings and self._out.is_terminal and not self._out.quotes:
            from aish.headings import Quoting

            self._last_part = self._last_part or Quoting()
            text = self._last_part.feed(text)
        self._out.write(text)

    def _end_last(self) -> None:
        if self._last_part is not None:
            self._out.write(self._last_part.end())
            self._last_part = None
        self._out.end()

    def _show_whole(self, step: str, text: str) -> None:
        from aish.headings import quoted_lines, quoted_on_terminal
        from aish.render import heading

        if self._renders and self._is_markdown(self._peers[step]):
            self._show_rendered(self._peers[step], text)
            return
        self._out.write(("\n" if self._shown else "") + heading(self._peers[step]) + "\n")
        self._out.write(quoted_on_terminal(text) if self._out.is_terminal else quoted_lines(text))
        self._out.end()
        self._shown += 1

    def _is_markdown(self, peer: str) -> bool:
        from aish.turns.rendering import is_markdown

        return is_markdown(self._hub.home, peer)

    def _show_rendered(self, peer: str, text: str) -> None:
        assert self._display is not None
        from aish.screen.markdown import MarkdownSink

        if self._shown:
            self._display.write_lines([""])
        sink = MarkdownSink(self._display, with_heading=True)
        sink.peer = peer
        sink.write(text or "\n")
        sink.end()
        self._shown += 1

    def _step_failed(self, step: str, data: "dict[str, Any]") -> None:
        failure = turn_failure(self._peers.get(step, step), data)
        if self._display is not None:
            self._display.peer_ended(self._peers.get(step, step), failed=True)
        self._progress.end()
        self._end_last()
        self._say_what_is_cut_off()
        say(failure.shown)
        self._failures.append(failure)

    def _say_what_is_cut_off(self) -> None:
        for step in self._last:
            if step in self._streamed and step not in self._ends:
                self._streamed.discard(step)  # so that it is said once
                say_cut_off(self._peers[step])

    def _exit_code(self, status: str) -> int:
        quiet = self._options.quiet
        ends = [finish(self._peers[step], data, quiet=quiet) for step, data in self._ends.items()]
        if self._failures:
            return exits.FAILED if len(self._last) > 1 else self._failures[0].code
        if status != "completed":
            say(f"aish: the plan was {status}")
            return exits.FAILED
        return max(ends, default=exits.DONE)

    def _show_usage(self) -> None:
        for step, data in self._completed.items() if self._options.usage else ():
            show_usage(self._peers[step], data, data.get("seconds"))

    def _cancel(self) -> None:
        if self._plan_id:
            cancel_quietly(self._hub, "DELETE", f"/api/v2/plans/{quote(self._plan_id)}")
