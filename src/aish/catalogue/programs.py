"""The commands that run programs and coding agents as peers."""

from aish.catalogue.page import Page

TITLE = "Programs and coding agents"
_NAME = {"-n": "the name of the peer"}
_DELIMITER = {"-d": "what makes the program run its input; may contain \\n \\r \\t \\0 \\xHH"}
_ON_EXIT = {"--on-exit": "if the hub exits: let the program survive (the default), or reap it"}
PAGES = (
    Page(
        "ci-terminal",
        "Run a terminal program as a peer. Ctrl-] leaves it running.",
        "ci-terminal -n|--name NAME [-d|--delimiter DELIM] [--detach] [--on-exit survive|reap]"
        " [--prompt PATTERN] -- CMD…",
        options={
            **_NAME,
            **_DELIMITER,
            "--detach": "run it in the background, as with & or without a terminal",
            **_ON_EXIT,
            "--prompt": "a regular expression for the program's prompt, at which its answer ends",
        },
        examples={
            "aish ci-terminal -n box -- bash": 'a shell that is reachable as aish box "ls" -x',
            "aish ci-terminal -n py --detach -- python3": "an interpreter in the background",
        },
    ),
    Page(
        "ci-tool",
        "Run a program on stdin and stdout as a peer.",
        "ci-tool -n|--name NAME [-d|--delimiter DELIM] [--json-protocol] [--on-exit survive|reap] -- CMD…",
        options={
            **_NAME,
            **_DELIMITER,
            "--json-protocol": "the program reads and writes messages as JSON lines",
            **_ON_EXIT,
        },
        examples={
            "aish ci-tool -n calc -- bc -l": 'a calculator: aish calc "2^64"',
            "aish ci-tool -n bot --json-protocol -- ./bot.py": "a program that speaks the JSON protocol",
        },
    ),
    Page(
        "tools",
        "List, start, inspect and end agents and other programs.",
        examples={
            "aish tools list": "which programs are configured, installed and running",
            "aish tools attach box": "the terminal of a program, in this terminal",
        },
    ),
    Page(
        "tools list",
        "List configured programs, coding agents and wrapped programs.",
        "tools list [json]",
        examples={
            "aish tools list": "including how to install missing ones",
            "aish tools list --json": "the same, for a program",
        },
    ),
    Page(
        "tools status",
        "Show the status of all programs, or of one.",
        "tools status [TOOL] [json]",
        examples={
            "aish tools status": "a line per program",
            "aish tools status claude-code": "version, login and what is running",
        },
    ),
    Page(
        "tools launch",
        "Start a configured program.",
        "tools launch TOOL [--session SESSION]",
        options={"--session": "start it for this session"},
        examples={
            "aish tools launch codex": "start codex, so that its first answer comes sooner",
            "aish tools launch codex --session cache": "start it for the session cache",
        },
    ),
    Page(
        "tools terminate",
        "End a program, configured or wrapped.",
        "tools terminate TOOL [--force]",
        options={"--force": "end it even if its host process does not answer"},
        examples={
            "aish tools terminate box": "end the program, and remove the peer",
            "aish tools terminate box --force": "the same, if its host process hangs",
        },
    ),
    Page(
        "tools capabilities",
        "Show what a program can do.",
        "tools capabilities TOOL [json]",
        examples={
            "aish tools capabilities codex": "one capability per line",
            "aish tools capabilities codex --json": "the same, for a program",
        },
    ),
    Page(
        "tools attach",
        "Show a program in this terminal. Ctrl-] detaches.",
        "tools attach TOOL [-r]",
        options={"-r": "look only; keys do not reach the program"},
        details="Several terminals can be attached to one program.",
        examples={
            "aish tools attach box": "type into the terminal of box",
            "aish tools attach claude-code -r": "watch it work",
        },
    ),
)
