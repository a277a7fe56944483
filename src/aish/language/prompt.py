"""The interactive shell: lines of the grammar at the prompt `aish> `."""

import os

from aish import exits
from aish.language.builtins import Exit
from aish.language.shell import Shell, is_unfinished, joined
from aish.output import STDOUT, say, write
from aish.terminal.conversation import open_prompt
from aish.terminal.editor import Editor
from aish.terminal.line_completion import LineCompletion
from aish.turns.message import TERMINAL_NAME
from rhetor.domain.grammar import Options

_PROMPT, _CONTINUATION_PROMPT = "aish> ", "> "


def run_prompt(defaults: Options | None = None) -> int:
    """Read and run lines until `exit` or the end of the input. Ctrl-C stops the line, not the shell."""
    with open_prompt(lambda names: LineCompletion(names).complete) as (editor, hub):
        if editor.is_interactive and not (defaults and defaults.quiet):
            say(_greeting())
        shell = Shell(hub, defaults, at_prompt=True)
        while True:
            try:
                line = _read_line(editor)
            except KeyboardInterrupt:
                continue
            except EOFError:
                return exits.DONE
            try:
                if line.strip() and shell.run(line) == exits.INTERRUPTED:
                    raise KeyboardInterrupt
            except KeyboardInterrupt:
                write(STDOUT, b"\n")  # after the ^C that the terminal has shown
                editor.drop_pasted()
            except Exit as request:
                return request.code


def _greeting() -> str:
    from importlib.metadata import version

    name = os.environ.get(TERMINAL_NAME)
    terminal = f" · {name}" if name else ""
    return f"aish {version('tekton-aish')}{terminal} · Tab completes · type help"


def _read_line(editor: Editor) -> str:
    """Read a complete line of the grammar, which may take several lines of input."""
    line = editor.read(_PROMPT)
    while is_unfinished(line):
        line = joined(line, editor.read(_CONTINUATION_PROMPT))
    return line
