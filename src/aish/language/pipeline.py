"""Runs one pipeline: programs on this machine, peers at the hub, and the data between them.

Pipes connect neighbouring programs. Each run of neighbouring peers is one request. A peer after a program is
called when the program has exited with 0. A program after a peer receives the answer as it arrives.
"""

# ruff: noqa: PTH111
import os
from itertools import groupby

from aish import exits
from aish.exits import Failure
from aish.language.processes import Programs, start_fed
from aish.language.resolve import Peers, Program
from aish.output import STDOUT, Sink
from aish.turns.input import STDIN, as_text, read_all
from aish.turns.message import Turn, join_message, no_message
from aish.turns.plan import PlanRun
from aish.turns.progress import HeadedSink
from aish.turns.steps import is_single_peer, shared_options, steps_of
from rhetor.domain.grammar import Call, Options, Pipeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aish.client.hub import Hub
    from aish.language.resolve import Resolved


class PipelineRun:
    """One run of a pipeline whose words are resolved. `sessions` are the sessions of this shell, by peer.
    `with_headings`: on a terminal, the last answer has the name of its peer above it, if the pipeline has
    several stages. `arguments`: the values of `$0`, `$1` and so on in programs."""

    def __init__(
        self,
        hub: "Hub",
        pipeline: Pipeline,
        parts: "Sequence[Resolved]",
        sessions: "dict[str, str]",
        *,
        with_headings: bool = False,
        arguments: "Sequence[str]" = (),
    ) -> None:
        self._hub = hub
        self._pipeline = pipeline
        self._runs = [list(run) for _, run in groupby(parts, lambda part: isinstance(part, Peers))]
        self._sessions = sessions
        self._with_headings = with_headings and len(parts) > 1
        self._arguments = arguments
        self._opened: list[int] = []

    def run(self, read_piped: "Callable[[], str]" = str) -> int:
        """Run the pipeline, and return the exit code of the first stage that failed, or 0.

        If the line begins with peers and names no input file, they receive what `read_piped` returns.

        Raises:
            Failure: a file cannot be opened, there is nothing to send, or the hub rejects a request.
            KeyboardInterrupt: the user stopped the line; all of its programs have ended.
        """
        try:
            stdin, stdout = self._files()
            if isinstance(self._runs[0][0], Peers):
                text = as_text(read_all(stdin)) if stdin != STDIN else read_piped()
                return self._from_peers(self._runs, text, stdout)
            if len(self._runs) == 1:
                return Programs(_texts(self._runs[0]), stdin, stdout, self._arguments).wait()
            code, output = self._run_programs(self._runs[0], stdin)
            return code or self._from_peers(self._runs[1:], output, stdout)
        finally:
            for descriptor in self._opened:
                os.close(descriptor)

    def _files(self) -> tuple[int, int]:
        stdin, stdout = STDIN, STDOUT
        if self._pipeline.source is not None:
            stdin = self._open(self._pipeline.source, os.O_RDONLY)
        if sink := self._pipeline.sink:
            stdout = self._open(
                sink.path, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if sink.append else os.O_TRUNC)
            )
        return stdin, stdout

    def _open(self, path: str, flags: int) -> int:
        try:
            descriptor = os.open(os.path.expanduser(path), flags, 0o666)
        except (OSError, ValueError) as error:
            raise Failure(f"cannot open {path}: {getattr(error, 'strerror', error)}") from None
        self._opened.append(descriptor)
        return descriptor

    def _from_peers(self, runs: "Sequence[list[Resolved]]", text: str, stdout: int) -> int:
        """Run peers, then programs and peers in turn. Peers receive the output of the preceding programs."""
        while len(runs) > 2:
            code, text = self._through_programs(runs[0], runs[1], text)
            if code:
                return code
            runs = runs[2:]
        if len(runs) == 1:
            return self._ask(runs[0], text, self._sink(stdout))
        return self._into_programs(runs[0], runs[1], text, stdout)

    def _sink(self, stdout: int) -> Sink:
        has_heading = self._with_headings and stdout == STDOUT and os.isatty(stdout)
        return HeadedSink() if has_heading else Sink(stdout)

    def _run_programs(self, programs: "list[Resolved]", stdin: int) -> tuple[int, str]:
        reads, writes = os.pipe()
        try:
            running = Programs(_texts(programs), stdin, writes, self._arguments)
        finally:
            os.close(writes)
        output = None
        try:
            output = read_all(reads)
        finally:
            if output is None:
                running.stop()
            os.close(reads)
            if output is None:
                running.reap()
        return running.wait(), as_text(output)

    def _into_programs(
        self, peers: "list[Resolved]", programs: "list[Resolved]", text: str, stdout: int
    ) -> int:
        """Feed the peers' answer to the programs.

        If the peers fail, the programs are stopped before their input ends, so that none mistakes a part of
        the answer for the whole.
        """
        running, feed = start_fed(_texts(programs), stdout, self._arguments)
        code = exits.FAILED
        try:
            code = self._ask(peers, text, Sink(feed))
        finally:
            if code:
                running.stop()
            os.close(feed)
            if code:
                running.reap()
        return code or running.wait()

    def _through_programs(
        self, peers: "list[Resolved]", programs: "list[Resolved]", text: str
    ) -> tuple[int, str]:
        # this thread feeds the programs, so another one has to read their output
        from threading import Thread

        reads, writes = os.pipe()
        output: list[bytes | Failure] = []

        def read() -> None:
            try:
                output.append(read_all(reads))
            except Failure as failure:
                output.append(failure)
            os.close(reads)  # programs that write more end with SIGPIPE

        reader = Thread(target=read, daemon=True)
        reader.start()
        try:
            code = self._into_programs(peers, programs, text, writes)
        finally:
            os.close(writes)
            reader.join()
        if isinstance(output[0], Failure):
            raise output[0]
        return code, as_text(output[0])

    def _ask(self, peers: "list[Resolved]", text: str, out: Sink) -> int:
        stages = [part.calls for part in peers if isinstance(part, Peers)]
        for call in stages[0]:
            options = call.options
            if not (join_message(call.text, text) or options.execute or options.attachments):
                raise no_message(str(call.target), call.options.session_id)
        (first, *others), *later = stages
        if not others and not later and is_single_peer(first):
            runs = bool(text) or len(self._runs) > 1
            return self._send(first, join_message(first.text, text), out, runs=runs)
        calls = [call for stage in stages for call in stage]
        steps = steps_of(stages, self._sessions)
        return PlanRun(self._hub, steps, shared_options(calls), out, self._sessions).run(text)

    def _send(self, call: Call, content: str, out: Sink, *, runs: bool) -> int:
        peer, options = call.target.name, call.options
        keeps = options.context_window is not None and not options.session_id
        if keeps and peer in self._sessions:
            options = Options(session_id=self._sessions[peer]).over(options)
        turn = Turn(self._hub, peer, options, out)
        try:
            return turn.run(content, runs=runs)
        finally:
            if keeps and turn.session_id:
                self._sessions[peer] = turn.session_id


def _texts(programs: "Sequence[Resolved]") -> list[str]:
    return [part.raw for part in programs if isinstance(part, Program)]
