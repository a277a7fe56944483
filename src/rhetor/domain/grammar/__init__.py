"""The grammar of a line: `echo "Design a cache" | athena | apollo -s`. Pure syntax, once and whole.

Owns how a line splits into stages, what quotes bind and where options stand. Refuses to know whether a word
is a peer, a command or a program: a stage keeps its own text for `/bin/sh` (`Stage.raw`) and is read as a
call to a peer only when asked (`Stage.call()`).

It is imported by the shell, whose whole run is to cost little more than an empty Python. Therefore nothing
here imports `re`, `typing` or `dataclasses` (12 ms, one and a half starts of the interpreter).
"""

from .lines import (
    Broadcast,
    Call,
    Group,
    Pipeline,
    Sink,
    Stage,
    Target,
    parse,
    parse_targets,
)
from .options import DEFAULT_WINDOW, Options, leading_options, parse_words
from .words import GrammarError

__all__ = [
    "DEFAULT_WINDOW",
    "Broadcast",
    "Call",
    "GrammarError",
    "Group",
    "Options",
    "Pipeline",
    "Sink",
    "Stage",
    "Target",
    "leading_options",
    "parse",
    "parse_targets",
    "parse_words",
]
