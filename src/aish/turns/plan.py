"""A plan as the shell follows it: its request, and its events as they are shown.

It knows which answers are the line's own and which are on the way. When a step may run is the hub's business.
"""

from time import monotonic

from aish import exits
from aish.client.hub import Hub, quote
from aish.exits import Failure
from aish.output import STDERR, STDOUT, Sink, say, write
from aish.turns.message import (
    broken_off,
    sender,
    stop_quietly,
    tell_notice,
    tell_permission,
    tell_usage,
    turn_failure,
    understood,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    from aish.client.response import Stream
    from aish.turns.steps import Step
    from rhetor.domain.grammar import Options

    Event: TypeAlias = dict[str, Any]


class PlanRun:
    """One plan, from its request to its end. The last steps' answers go to `out`.

    A single last step is shown as it speaks; several are shown whole, in the order in which they end, under
    their names. `sessions` learns the conversations that steps opened and asked to keep. `request`: path and
    body of what starts the plan, where that is no list of steps.
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
        self._err = Sink(STDERR)
        self._sessions = {} if sessions is None else sessions
        self._aside = _Aside(shown=not options.quiet)
        self._plan_id: str | None = None
        self._last: list[str] = []
        self._peers: dict[str, str] = {}
        self._spoke: set[str] = set()
        self._completed: dict[str, dict[str, Any]] = {}
        self._shown = 0
        self._failures: list[Failure] = []

    def run(self, given: str = "") -> int:
        """Send the plan and show it; `given` is what its first steps are given besides their own texts.

        Raises:
            Failure: the hub refuses it, or is lost on the way.
            KeyboardInterrupt: the user stopped it; the hub was told.
        """
        self._hub.deadline = monotonic() + self._options.timeout if self._options.timeout else None
        answer = None
        try:
            answer = self._hub.stream(*(self._request or self._plan(given)))
            self._plan_id = answer.headers.get("x-plan-id")
            if not self._options.quiet:
                tell_notice(answer)
            return self._follow(answer)
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

    def _plan(self, given: str) -> "tuple[str, Event]":
        body = {"steps": list(self._steps), **sender(), **({"input": given} if given else {})}
        return "/api/v2/plans", body

    def _follow(self, answer: "Stream") -> int:
        try:
            for data in answer.events():
                event = understood(data)
                if self._options.json:
                    self._out.pass_on(data + b"\n")
                self._take(event)
                if event.get("type") == "plan.ended":
                    self._out.end()
                    self._tell_usage()
                    return self._exit_code(event["data"]["status"])
        finally:
            self._err.end()
            self._aside.end()
            self._out.end()
        raise broken_off()

    def _take(self, event: "Event") -> None:
        data = event.get("data") or {}
        step = data.get("step") or event.get("step") or ""
        match event.get("type"):
            case "plan.started":
                self._begin(data["steps"])
            case "step.started":
                self._step_started(step, data)
            case "output.delta":
                self._step_said(step, data)
            case "permission.asked":
                self._aside.break_line()
                self._out.break_line()
                tell_permission(self._peers[step], data)
            case "turn.completed":
                self._completed[step] = data
            case "step.done":
                self._step_done(step, data["text"])
            case "step.failed":
                self._step_failed(step, data)

    def _begin(self, steps: "Sequence[Step]") -> None:
        needed = {need for step in steps for need in step["depends_on"]}
        self._last = [step["id"] for step in steps if step["id"] not in needed]
        # Steps that wait for the same ones run at the same time.
        on_the_way = [tuple(step["depends_on"]) for step in steps if step["id"] in needed]
        self._aside.one_at_a_time = len(set(on_the_way)) == len(on_the_way)

    def _step_started(self, step: str, data: "dict[str, Any]") -> None:
        peer = self._peers[step] = data["peer"]
        if data.get("capability") and not self._options.quiet:
            say(f"Routing to {peer} (best match for {data['capability']}, {data['score']:.2f})")
        if session := data.get("session_id"):
            self._keep(step, peer, session)

    def _keep(self, step: str, peer: str, session: str) -> None:
        asked = next((made for made in self._steps if made["id"] == step), {})
        if "context_window" not in asked or asked.get("session_id"):
            return
        self._sessions[peer] = session
        if not self._options.quiet:
            say(f"Session {session} with {peer} (go on with --session-id {session})")

    def _step_said(self, step: str, data: "dict[str, Any]") -> None:
        channel = data.get("channel", "answer")
        if channel == "stderr":
            self._err.write(data["text"])
        elif channel != "answer" or self._options.json:
            return
        elif step not in self._last:
            if self._aside.one_at_a_time:
                self._spoke.add(step)
                self._aside.show(self._peers[step], data["text"])
        elif len(self._last) == 1 and not self._options.no_stream:
            self._spoke.add(step)
            self._out.write(data["text"])

    def _step_done(self, step: str, text: str) -> None:
        if self._options.json:
            return
        if step not in self._last:
            self._aside.show(self._peers[step], "" if step in self._spoke else text)
            self._aside.end()
        elif len(self._last) > 1:
            self._show_whole(step, text)
        else:
            self._out.write("" if step in self._spoke else text)
            self._out.end()

    def _show_whole(self, step: str, text: str) -> None:
        from aish.render import heading

        self._out.write(("\n" if self._shown else "") + heading(self._peers[step]) + "\n")
        self._out.write(text)
        self._out.end()
        self._shown += 1

    def _step_failed(self, step: str, data: "dict[str, Any]") -> None:
        failure = turn_failure(self._peers.get(step, step), data)
        self._aside.end()
        self._out.end()
        say(failure.message)
        self._failures.append(failure)

    def _exit_code(self, status: str) -> int:
        if self._failures:
            return exits.FAILED if len(self._last) > 1 else self._failures[0].code
        if status != "completed":
            say(f"aish: the line was {status}")
            return exits.FAILED
        return exits.DONE

    def _tell_usage(self) -> None:
        for step, data in self._completed.items() if self._options.usage else ():
            tell_usage(self._peers[step], data, data.get("seconds"))

    def _stop(self) -> None:
        if self._plan_id:
            stop_quietly(self._hub, "DELETE", f"/api/v2/plans/{quote(self._plan_id)}")


class _Aside:
    """The answers of earlier stages, dimmed, on a terminal's stderr; nowhere where stderr is none.

    Where several speak at once (`one_at_a_time` is false) each is shown whole.
    """

    def __init__(self, *, shown: bool) -> None:
        import os

        self._sink = Sink(STDERR, dim=True) if shown and os.isatty(STDERR) else None
        self._speaker = ""
        self.one_at_a_time = True

    def show(self, peer: str, text: str) -> None:
        if self._sink is None:
            return
        if self._speaker != peer:
            from aish.render import dimmed, heading

            write(STDERR, f"{dimmed(heading(peer))}\n".encode())
            self._speaker = peer
        self._sink.write(text)

    def break_line(self) -> None:
        if self._sink is not None:
            self._sink.break_line()

    def end(self) -> None:
        if self._sink is not None:
            self._sink.end()
        self._speaker = ""
