"""One pipeline, run: programs here, peers at the hub, and what flows between them.

Neighbouring programs are joined by pipes of the system; each run of neighbouring peers is one request. A
peer after a program is called when that has ended well; a program after a peer is fed while the peer speaks.
"""

# ruff: noqa: PTH111
import os
from itertools import groupby

from aish import exits
from aish.exits import Failure
from aish.language.processes import Programs, collect, fed
from aish.language.resolve import Peers, Program
from aish.output import STDOUT, Sink
from aish.turns.message import MAX_INPUT_BYTES, STDIN, Turn, as_text, joined, no_message
from aish.turns.plan import PlanRun
from aish.turns.steps import is_single_peer, shared_options, steps_of
from rhetor.domain.grammar import Call, Options, Pipeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aish.client.hub import Hub
    from aish.language.resolve import Resolved


class Line:
    """A pipeline whose words are resolved. `sessions`: conversations of this shell, by peer."""

    def __init__(
        self, hub: "Hub", pipeline: Pipeline, parts: "Sequence[Resolved]", sessions: "dict[str, str]"
    ) -> None:
        self._hub = hub
        self._pipeline = pipeline
        self._runs = [list(run) for _, run in groupby(parts, lambda part: isinstance(part, Peers))]
        self._sessions = sessions
        self._opened: list[int] = []

    def run(self, given: "Callable[[], str]" = str) -> int:
        """The exit code: that of the first stage that failed. `given`: the input of peers at the beginning,
        where the line names no file.

        Raises:
            Failure: a file cannot be opened, there is nothing to send, or the hub refuses.
            KeyboardInterrupt: the user stopped it; nothing of it runs any more.
        """
        try:
            stdin, stdout = self._files()
            if isinstance(self._runs[0][0], Peers):
                read = as_text(collect(stdin)) if stdin != STDIN else given()
                return self._from_peers(self._runs, read, stdout)
            if len(self._runs) == 1:
                return Programs(_texts(self._runs[0]), stdin, stdout).wait()
            code, said = self._collected(self._runs[0], stdin)
            return code or self._from_peers(self._runs[1:], said, stdout)
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
        expanded = os.path.expandvars(os.path.expanduser(path))
        try:
            descriptor = os.open(expanded, flags, 0o666)
        except (OSError, ValueError) as error:
            raise Failure(f"aish: {path}: {getattr(error, 'strerror', error)}") from None
        self._opened.append(descriptor)
        return descriptor

    def _from_peers(self, runs: "Sequence[list[Resolved]]", given: str, stdout: int) -> int:
        """Peers first, then by turns. Each program's output is the input of the peers behind it."""
        while len(runs) > 2:
            code, given = self._through_programs(runs[0], runs[1], given)
            if code:
                return code
            runs = runs[2:]
        if len(runs) == 1:
            return self._ask(runs[0], given, Sink(stdout))
        return self._into_programs(runs[0], runs[1], given, stdout)

    def _collected(self, programs: "list[Resolved]", stdin: int) -> tuple[int, str]:
        reads, writes = os.pipe()
        try:
            running = Programs(_texts(programs), stdin, writes)
        finally:
            os.close(writes)
        output = None
        try:
            output = collect(reads)
        finally:
            if output is None:
                running.stop()
            os.close(reads)
            if output is None:
                running.reap()
        code = running.wait()
        if len(output) > MAX_INPUT_BYTES:
            raise Failure(f"aish: the programs said more than {MAX_INPUT_BYTES} bytes", exits.USAGE)
        return code, as_text(output)

    def _into_programs(
        self, peers: "list[Resolved]", programs: "list[Resolved]", given: str, stdout: int
    ) -> int:
        """Where the peers fail the programs are ended first, so that none takes what it got for the whole."""
        running, feed = fed(_texts(programs), stdout)
        code = exits.FAILED
        try:
            code = self._ask(peers, given, Sink(feed))
        finally:
            if code:
                running.stop()
            os.close(feed)
            if code:
                running.reap()
        return code or running.wait()

    def _through_programs(
        self, peers: "list[Resolved]", programs: "list[Resolved]", given: str
    ) -> tuple[int, str]:
        # Only a second thread can read what the programs say while this one feeds them.
        from threading import Thread

        reads, writes = os.pipe()
        output: list[bytes] = []
        reader = Thread(target=lambda: output.append(collect(reads)), daemon=True)
        reader.start()
        try:
            code = self._into_programs(peers, programs, given, writes)
        finally:
            os.close(writes)
            reader.join()
            os.close(reads)
        return code, as_text(b"".join(output))

    def _ask(self, peers: "list[Resolved]", given: str, out: Sink) -> int:
        stages = [part.calls for part in peers if isinstance(part, Peers)]
        for call in stages[0]:
            if not joined(call.text, given):
                raise no_message(str(call.target))
        (first, *others), *later = stages
        if not others and not later and is_single_peer(first):
            return self._talk(first, joined(first.text, given), out)
        calls = [call for stage in stages for call in stage]
        steps = steps_of(stages, self._sessions)
        return PlanRun(self._hub, steps, shared_options(calls), out, self._sessions).run(given)

    def _talk(self, call: Call, content: str, out: Sink) -> int:
        peer, options = call.target.name, call.options
        keeps = options.context_window is not None and not options.session_id
        if keeps and peer in self._sessions:
            options = Options(session_id=self._sessions[peer]).over(options)
        turn = Turn(self._hub, peer, options, out)
        try:
            return turn.run(content)
        finally:
            if keeps and turn.session_id:
                self._sessions[peer] = turn.session_id


def _texts(programs: "Sequence[Resolved]") -> list[str]:
    return [part.raw for part in programs if isinstance(part, Program)]
