"""aish: the shell in which every AI is a word of the pipeline; and the hub for Python programs."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.live import connect as connect


def __getattr__(name: str) -> object:
    """`aish.connect` is loaded when it is asked for (PEP 562): a run of the shell imports nothing of it."""
    if name == "connect":
        from aish.live import connect

        return connect
    raise AttributeError(f"module 'aish' has no attribute {name!r}")
