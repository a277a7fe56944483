"""Messages of several lines: the answer has their output, and never the typed text."""

from __future__ import annotations

import pytest

from tests.needs import needs
from tests.scale import FULL
from tests.served import with_programs

pytestmark = pytest.mark.anyio

LONG = "über vierzig Zeichen: 日本語 und wide text that wraps 🎉"
SHELL = (
    (f"echo eins\necho 'zwei {LONG}'", f"eins\nzwei {LONG}\n"),
    (f'for i in 1 2; do\n  echo "$i {LONG}"\ndone', f"1 {LONG}\n2 {LONG}\n"),
    ("f() {\n  echo in f\n}\nf\nf", "in f\nin f\n"),
    ("cat <<END\nso\nEND\necho x", "so\nx\n"),
    ("sleep 0.4; echo a\nsleep 0.4\necho b", "a\nb\n"),
    ("true\ntrue", ""),
)
PYTHON = (
    (f"print('eins')\nprint('zwei {LONG}')", f"eins\nzwei {LONG}\n"),
    (f"for i in range(2):\n    print(i, '{LONG}')\n", f"0 {LONG}\n1 {LONG}\n"),
    ("x = 1\ny = 2", ""),
)
NODE = (
    (f"console.log('eins')\nconsole.log('zwei {LONG}')", f"eins\nundefined\nzwei {LONG}\nundefined\n"),
    (f"function f() {{\n  return 'drei {LONG}'\n}}\nf()", f"undefined\n'drei {LONG}'\n"),
)
SQLITE = (
    ("select 1;\nselect 2;", "1\n2\n"),
    (f"select\n  'eins {LONG}'\n;\nselect 2;", f"eins {LONG}\n2\n"),
)
PROGRAMS = {
    ("bash",): SHELL,
    ("bash", "--norc"): SHELL,
    ("env", "bash", "--norc"): SHELL,
    ("sh",): SHELL,
    ("env", "dash"): SHELL,
    ("zsh", "-i"): SHELL,
    ("zsh", "-f"): SHELL,
    ("python3",): PYTHON,
    ("env", "python3"): PYTHON,
    ("node",): NODE,
    ("sqlite3",): SQLITE,
}


@pytest.mark.long
@pytest.mark.parametrize("cols", [80, 40] if FULL else [40])
@pytest.mark.parametrize("argv", PROGRAMS, ids=" ".join)
async def test_an_answer_to_several_lines_has_no_echo(argv: tuple[str, ...], cols: int) -> None:
    needs(argv[-1] if argv[0] == "env" and len(argv) == 2 else argv[0])
    async with with_programs(seconds=240) as home:
        await home.announce("p", *argv, kind="terminal", rows=24, cols=cols)
        for text, answer in PROGRAMS[argv]:
            said = (await home.say("p", text)).json
            assert (said["response"], said["finish_reason"]) == (answer, "stop"), text
