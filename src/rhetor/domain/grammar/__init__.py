"""The syntax of a line such as `echo "Design a cache" | athena | apollo -s`.

It defines how a text is split into lines and a line into stages, what quotes protect, which variables are
replaced, and where options may appear. It does not know whether a word is a peer, a command or a program: a
stage keeps its own text for `/bin/sh` (`Stage.raw`), and `Stage.call()` reads it as a call to a peer.

The shell imports this package, and a whole run of the shell should take little longer than an empty Python.
Therefore nothing here imports `re`, `typing` or `dataclasses` (12 ms, as long as starting Python 1.5 times),
and a module is imported when the first of its names is used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .lines import Broadcast, Call, Group, Pipeline, Sink, Stage, Target, parse, parse_targets
    from .options import DEFAULT_WINDOW, Options, leading_options, parse_words
    from .text import GrammarError

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

_PLACES = {"GrammarError": "text"} | dict.fromkeys(
    ("DEFAULT_WINDOW", "Options", "leading_options", "parse_words"), "options"
)


def __getattr__(name: str) -> object:
    """Import the module of a name when the name is first used: completion needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = __import__(f"{__name__}.{_PLACES.get(name, 'lines')}", fromlist=[name])
    found: object = getattr(module, name)
    globals()[name] = found
    return found
