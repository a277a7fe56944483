"""aish: the shell in which every AI is a word of the pipeline, and `aish.connect()` for Python programs.

The packages are a stack. A module imports only from its own package and from those below it:

    cli, flags, dispatch    the command line
    language                lines of the grammar: the interactive shell, scripts, pipelines
    commands                one module per noun
    terminal                tty, line editor, conversations, attached programs, notices
    turns                   one message, one plan, permissions, resuming after a lost connection
    live                    `aish.connect()`, the asynchronous client for Python programs
    client                  HTTP, JSON, SSE and WebSocket over the hub's socket; starting the hub
    options, output         options of a message; writing to stdout and stderr
    render, exits           text for a terminal; exit codes and failures

From rhetor, aish imports only `domain.grammar` and `domain.provider_variables`. `aish apollo "hi"` imports
only the standard library, and as little of it as possible: it has to start within milliseconds.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.live import connect as connect


def __getattr__(name: str) -> object:
    """Import `aish.connect` on first use (PEP 562). A run of the shell does not need it."""
    if name == "connect":
        from aish.live import connect

        return connect
    raise AttributeError(f"module 'aish' has no attribute {name!r}")
