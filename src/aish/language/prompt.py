"""The interactive shell: lines of the grammar at the prompt `aish> `."""

from aish import exits
from aish.commands import COMMANDS
from aish.language.builtins import Exit
from aish.language.shell import Shell, is_unfinished, joined
from aish.output import STDOUT, write
from aish.terminal.conversation import open_prompt
from aish.terminal.editor import Editor
from rhetor.domain.grammar import Options

_PROMPT, _CONTINUATION_PROMPT = "aish> ", "> "


def run_prompt(defaults: Options | None = None) -> int:
    """Read and run lines until `exit` or the end of the input. Ctrl-C stops the line, not the shell."""
    with open_prompt(COMMANDS) as (editor, hub):
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
                    write(STDOUT, b"\n")  # after the ^C that the terminal has shown
            except KeyboardInterrupt:
                write(STDOUT, b"\n")
            except Exit as request:
                return request.code


def _read_line(editor: Editor) -> str:
    """Read a complete line of the grammar, which may take several lines of input."""
    line = editor.read(_PROMPT)
    while is_unfinished(line):
        line = joined(line, editor.read(_CONTINUATION_PROMPT))
    return line
