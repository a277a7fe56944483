"""Which screens show a question that typed text or Enter would answer, and which only look like it."""

from pathlib import Path

import pytest

from rhetor.drivers.programs.status import Signs, Status, status
from rhetor.drivers.programs.terminal.dialogs import dialog_on

DATA = Path(__file__).parents[4] / "data" / "screens"

CLAUDE = """\
● Bash(rm -rf build)
╭──────────────────────────────────────────────────────────────╮
│ Bash command                                                 │
│   rm -rf build                                               │
│   Remove the build folder                                    │
│ Do you want to proceed?                                      │
│ ❯ 1. Yes                                                     │
│   2. Yes, and don't ask again for rm commands in /home/user  │
│   3. No, and tell Claude what to do differently (esc)        │
╰──────────────────────────────────────────────────────────────╯"""
CLAUDE_PLAIN = """\
 Bash command
   ls
 Do you want to proceed?
 ❯ 1. Yes
   2. No
 Esc to cancel · Tab to amend · ctrl+e to explain"""
CLAUDE_TRUST = """\
 Accessing workspace:
 /home/user/x
 Quick safety check: Is this a project you created or one you trust?
 ❯ 1. Yes, I trust this folder
   2. No, exit
 Enter to confirm · Esc to cancel"""
CLAUDE_THEME = """\
 Choose the text style that looks best with your terminal
   1. Auto (match terminal)
 ❯ 2. Dark mode ✔
   3. Light mode
 Enter to confirm"""
CODEX = """\
  Would you like to run the following command?
  Reason: needs the network
  $ curl example.org
› 1. Yes, proceed (y)
  2. Yes, and don't ask again for commands that start with `curl` (p)
  3. No, and tell Codex what to do differently (esc)
  Press enter to confirm or esc to cancel"""
GEMINI = """\
╭──────────────────────────────────────────────────────╮
│ ?  Shell ls -la                                      │
│ ls -la                                               │
│ Allow execution of: 'ls'?                            │
│ ● 1. Allow once                                      │
│   2. Allow for this session                          │
│   3. No, suggest changes (esc)                       │
╰──────────────────────────────────────────────────────╯"""
GEMINI_TRUST = """\
│ Do you trust this folder?                            │
│ ● 1. Trust folder (x)                                │
│   2. Trust parent folder (home)                      │
│   3. Don't trust                                     │"""
OPENCODE = """\
  ┃  △ Permission required
  ┃    # Remove the build folder
  ┃    $ rm -rf build
  ┃   Allow once   Allow always   Reject       ctrl+f fullscreen  ⇆ select  enter confirm"""
CN = """\
╭──────────────────────────────────────────────────────────╮
│ Bash(ls)                                                 │
│ Would you like to continue?                              │
│ > Continue                                               │
│   Continue + don't ask again                             │
│   No, and tell Continue what to do differently           │
╰──────────────────────────────────────────────────────────╯"""


@pytest.mark.parametrize(
    ("screen", "option"),
    [
        (CLAUDE, "Yes"),
        (CLAUDE_PLAIN, "Yes"),
        (CLAUDE_TRUST, "Yes, I trust this folder"),
        (CLAUDE_THEME, "Auto (match terminal)"),
        (CODEX, "Yes, proceed (y)"),
        (GEMINI, "Allow once"),
        (GEMINI_TRUST, "Trust folder (x)"),
        (OPENCODE, "Allow once"),
        (CN, "Continue"),
    ],
)
def test_menus_of_coding_agents_are_recognized_with_their_options(screen: str, option: str) -> None:
    lines = screen.splitlines()
    pointed = next(row for row, line in enumerate(lines) if option in line and "?" not in line)
    # the cursor is hidden, at the selected option, or somewhere below
    for cursor in ((0, 0, False), (pointed, 2, True), (len(lines) + 1, 0, False), None):
        found = dialog_on([*lines, "", "", ""], cursor)
        assert found and found.kind == "choice", cursor
        assert found.options[0].startswith(option) and len(found.options) >= 2
        assert option in found.evidence and len(found.evidence) <= 400


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Do you want to continue? [Y/n] ", "yes_no"),
        ("Proceed (y/N)? ", "yes_no"),
        ("Overwrite existing file? (y/n): ", "yes_no"),
        ("Are you sure you want to continue connecting (yes/no/[fingerprint])? ", "yes_no"),
        ("Is this ok [y/d/N]: ", "yes_no"),
        ("Ok to proceed? (y) ", "yes_no"),
        ("Stage this hunk [y,n,q,a,d,e,?]? ", "yes_no"),
        ("Quit anyway? (y or n) ", "yes_no"),
        ("rm: remove regular file 'x'? ", "yes_no"),
        ("cp: overwrite 'x'? ", "yes_no"),
        ("Password: ", "password"),
        ("[sudo] password for user: ", "password"),
        ("user@host's password: ", "password"),
        ("Enter passphrase for key '/home/user/.ssh/id_ed25519': ", "password"),
        ("(user@host) Verification code: ", "password"),
        ("Enter PIN for token: ", "password"),
        ("Press Enter to continue...", "enter"),
        ("Press [Enter] to continue or Ctrl-C to cancel", "enter"),
        ("Press any key to continue . . . ", "enter"),
        ("Hit RETURN to exit ", "enter"),
        ("--More--(12%)", "pager"),
        ("(END)", "pager"),
        ("lines 1-23/100 (END)", "pager"),
    ],
)
def test_questions_on_the_cursor_line_are_recognized(line: str, kind: str) -> None:
    lines = ["some output", "more of it", line.rstrip(), ""]
    found = dialog_on(lines, (2, len(line)))
    assert found and (found.kind, found.evidence) == (kind, line.strip())
    # the same text above a prompt is not a question
    assert dialog_on([*lines[:3], "user@host:~$ "], (3, 13)) is None
    assert dialog_on([*lines[:3], ">>>"], (3, 4)) is None
    # nor is it within a line that is being typed
    assert dialog_on([f"{line.rstrip()} is what it asked", ""], (0, len(line))) is None


def test_a_question_that_ended_its_line_is_recognized() -> None:
    assert dialog_on(["Press Enter to continue", "", ""], (1, 0))


OLD_MENU = """\
● I asked before and you chose:
❯ 1. Yes
  2. No
● Done.
──────────────────────
❯
──────────────────────
  ? for shortcuts"""
PROSE = """\
● There are three ways:
  1. Yes, allow everything
  2. No, deny it
  3. Cancel
──────────────────────
❯
──────────────────────"""
TYPED_LIST = """\
> 1. Yes is what I mean
✦ Fine.
 >   Type your message or @path/to/file
 no sandbox"""
ASKS_IN_PROSE = """\
● Do you want to proceed? Allow execution? Trust this folder? [y/N]
  Press Enter to continue is what the program would say.
❯ yes, continue"""


@pytest.mark.parametrize(
    ("screen", "cursor"),
    [
        (OLD_MENU, (5, 2)),
        (OLD_MENU, (0, 0, False)),
        (PROSE, (5, 2)),
        (PROSE, (0, 0, False)),
        (TYPED_LIST, (2, 3)),
        (TYPED_LIST, (0, 0, False)),
        (ASKS_IN_PROSE, (2, 15)),
        ("user@host:~$ echo 'Continue? [y/N]'", (0, 35)),
        ("user@host:~$ sudo -k # [y/N]", (0, 28)),
        ("user@host:~$", (0, 13)),
        (">>> input('Password:", (0, 20)),
        ("def ask():\n    return 'yes/no'", (1, 19)),
        ("1. Yes\n2. No\n3. Cancel", (2, 9)),
        ("checking password files: ok", (0, 27)),
        ("5 passed (y) in total", (0, 21)),
        ("Steps:\n> 1. install\n> 2. configure\n$", (3, 2)),
        ("Steps:\n> 1. install it\n  2. configure it", (0, 0, False)),
        ("", (0, 0)),
    ],
)
def test_text_that_only_looks_like_a_question_is_not_one(screen: str, cursor: tuple[int, ...]) -> None:
    assert dialog_on(screen.splitlines() or [""], cursor) is None


@pytest.mark.parametrize("name", ["claude", "cn", "codex", "gemini", "opencode"])
def test_recorded_screens_of_idle_agents_show_no_question(name: str) -> None:
    lines = (DATA / f"tui_{name}.screen.txt").read_text().splitlines()
    for row in (None, *range(len(lines))):
        assert dialog_on(lines, None if row is None else (row, 4)) is None
        assert dialog_on(lines, (row or 0, 0, False)) is None


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        (Signs(), Status("idle", "no output yet")),
        (Signs(quiet_for=0.2), Status("busy", "wrote 0.2 s ago")),
        (Signs(quiet_for=2.0), Status("idle", "no output for 2.0 s")),
        (Signs(quiet_for=0.1, prompt=">>> "), Status("idle", "at its prompt '>>>'")),
        (Signs(quiet_for=9.0, marks=True), Status("idle", "its last command has finished")),
        (
            Signs(quiet_for=9.0, marks=True, in_command=True),
            Status("busy", "a command is running that no turn started, no output for 9.0 s"),
        ),
        (
            Signs(quiet_for=3.0, turn_for=70.0),
            Status("busy", "a turn has been running for 70.0 s, no output for 3.0 s"),
        ),
        (
            Signs(quiet_for=65.0, turn_for=70.0),
            Status("stuck", "a turn has been running for 70 s, no output for 65.0 s"),
        ),
        (Signs(turn_for=61.0), Status("stuck", "a turn has been running for 61 s, no output yet")),
        # silent since long before the turn started
        (
            Signs(quiet_for=500.0, turn_for=2.0),
            Status("busy", "a turn has been running for 2.0 s, no output for 500.0 s"),
        ),
        (Signs(exited=True, quiet_for=1.0, in_command=True), Status("idle", "the program has ended")),
        (
            Signs(dialog=dialog_on(["Password:"], (0, 10)), quiet_for=99.0, turn_for=99.0),
            Status("blocked", "asks: Password:"),
        ),
    ],
)
def test_the_status_of_a_terminal_has_a_reason(signs: Signs, expected: Status) -> None:
    assert status(signs) == expected
