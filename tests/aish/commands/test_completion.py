"""`aish completion`: what Tab offers in real shells, with a scripted hub and without a hub."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aish.client.hub import Hub
from aish.client.names import HubNames
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import Ran, ScriptedHub, Shell, answer
from tests.needs import needs


def peer(id: str, kind: str = "specialist", **scores: float) -> dict[str, Any]:
    return {
        "id": id,
        "kind": kind,
        "websocket_supported": True,
        "description": f"{id}: works",
        "capabilities": {"scores": {name.replace("_", "-"): score for name, score in scores.items()}},
    }


def session(name: str | None, id: str, used_at: str) -> dict[str, Any]:
    return {"id": id, "name": name, "specialist_id": "apollo", "used_at": used_at}


KINDS = (
    *("LOGIN", "MODEL", "OPTION", "PERMISSION", "PROJECT", "PROVIDER", "RECIPIENT", "ROUTE", "SCHEDULE"),
    *("SERVER", "SETTING", "SPECIALIST", "TERMINAL"),
)
PEERS = [peer("apollo", code_analysis=0.95), peer("athena", code_analysis=0.5), peer("team:red", "team")]
EVIL = "evil/$(touch x)'\";"
SESSIONS = [session(None, "s_3", "3"), session("work", "s_1", "1"), session("my talk", "s_2", "2")]


@pytest.fixture
def known(hub: ScriptedHub) -> ScriptedHub:
    hub.on("GET /api/v2/ai", answer({"peers": PEERS}))
    names = (EVIL, "evil/\x1b[2Jcleared", "evil/two\nlines")
    hub.on("GET /api/v2/models", answer({"models": [{"model": name} for name in names]}))
    hub.on("GET /api/v2/sessions?state=active", answer({"sessions": SESSIONS}))
    hub.on("GET /api/v2/sessions?name=work", answer({"sessions": SESSIONS[1:2]}))
    checkpoints = [{"checkpoint_id": "c_1", "name": "before", "at": "2026-01-01T00:00:00Z"}]
    hub.on("GET /api/v2/sessions/s_1/checkpoints", answer({"checkpoints": checkpoints}))
    return hub


def reply(aish: Shell, shell: str, *words: str) -> list[str]:
    ran = aish("completion", "reply", shell, *words)
    assert (ran.code, ran.err) == (0, "")
    return ran.out.splitlines()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("ev", r"evil/\$\(touch\ x\)\'\"\;"),
        ('"ev', r"""evil/\$(touch x)'\";"""),
        ("'ev", r"""evil/$(touch x)'\''";"""),
    ],
)
def test_a_name_is_one_word_in_bash_whatever_it_is(
    aish: Shell, known: ScriptedHub, typed: str, completed: str
) -> None:
    assert reply(aish, "bash", f"aish apollo -m {typed}", " \"'><=;|&(:") == ["", completed]


def test_names_of_the_hub_are_offered_with_what_they_mean(aish: Shell, known: ScriptedHub) -> None:
    assert reply(aish, "zsh", "apollo", "-s", "") == [
        "none",
        "0",
        "my talk:a session with apollo",
        "work:a session with apollo",
        "s_3:a session with apollo",
    ]
    assert reply(aish, "fish", "ap") == [
        "",
        "",
        "",
        "approve\tApprove permission requests, or list them",
        "apollo\tapollo: works",
    ]
    assert reply(aish, "zsh", "team:") == ["none", "0", "team\\:red:team:red: works"]
    assert reply(aish, "fish", "sessions", "fork", "work", "--at=") == [
        "",
        "",
        "",
        "--at=before\t2026-01-01T00:00:00Z",
    ]
    assert reply(aish, "bash", "aish @code", "@:=") == ["", "@code-analysis"]
    assert reply(aish, "bash", "aish team:r", "@:=") == ["", "red"]
    assert reply(aish, "bash", "aish apollo -s my", "@:=") == ["", "my\\ talk"]
    assert reply(aish, "bash", "aish apollo --session='my", "@:=") == ["", "my talk"]


def test_without_a_hub_only_what_needs_none_is_offered_and_no_hub_is_started(aish: Shell, home: Path) -> None:
    assert reply(aish, "bash", "aish session f", "") == ["", "fork"]
    assert reply(aish, "bash", "aish ap", "") == ["", "approve"]
    assert reply(aish, "bash", "aish -i ", "") == [""]
    assert list(home.iterdir()) == []
    assert aish("completion", "tcsh") == Ran(2, "", "aish: usage: aish completion bash|zsh|fish\n")


def test_completion_imports_no_module_that_takes_long(aish: Shell, known: ScriptedHub) -> None:
    code = (
        "import sys; from aish.cli import main; "
        "before = {'re', 'typing', 'enum', 'json', 'asyncio', 'pathlib'} - set(sys.modules); "
        "main(['completion', 'reply', 'bash', 'aish a', '']); "
        "print(sorted(name for name in sys.modules if name in before or name.startswith('rhetor')))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=aish.environment, capture_output=True, text=True, check=True
    )
    # where the word at the cursor begins, and what options are for; both import nothing
    grammar = "rhetor.domain.grammar"
    few = ["rhetor", "rhetor.domain", grammar, f"{grammar}.cursor", f"{grammar}.purposes"]
    assert ran.stdout.splitlines()[-1] == repr(few)


SCRIPTS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "PS1='$ '; source <(aish completion bash)"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "PS1='$ '; autoload -U compinit; compinit -u -D; source <(aish completion zsh)",
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        "function fish_prompt; echo -n '$ '; end; aish completion fish | source",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("shell", SCRIPTS)
def test_tab_completes_in_a_real_shell(aish: Shell, known: ScriptedHub, shell: str, tmp_path: Path) -> None:
    needs(shell)
    program = tmp_path / "aish"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m aish "$@"\n')
    program.chmod(0o755)
    (aish.folder / "source code").mkdir()
    (aish.folder / "notes.md").touch()
    aish.environment |= {"PATH": f"{tmp_path}:{aish.environment['PATH']}", "HOME": str(tmp_path)}
    command, setup = SCRIPTS[shell]
    with at_terminal(aish, command=command, term="xterm", echo=True, columns=100) as terminal:
        terminal.type(f"{setup}; clear\n")
        terminal.wait_for_last(r"\$")
        for typed, completed in (
            ("aish session fo", "aish session fork"),
            ("aish apollo --us", "aish apollo --usage"),
            ("aish apollo,ath", "aish apollo,athena"),
            ("aish @code-an", "aish @code-analysis"),
            ("aish team:", "aish team:red"),
            ("aish sessions fork work --at=b", "aish sessions fork work --at=before"),
            ("aish apollo -s my", "aish apollo -s my\\ talk"),
            ("aish apollo -s 'my", "aish apollo -s 'my talk'"),
            ("aish apollo -f no", "aish apollo -f notes.md"),
            ("aish sessions fork work --cwd so", "aish sessions fork work --cwd source\\ code/"),
            ("aish ci-tool -n calc -- base6", "aish ci-tool -n calc -- base64"),
        ):
            terminal.type(f"{typed}\t")
            terminal.wait_for_screen(lambda rows, end=completed: rows[-1:] == [f"$ {end}"])  # type: ignore[misc]
            terminal.type("\x15")  # Ctrl-U
            terminal.wait_for_last(r"\$")
        for typed in ("ev", '"ev', "'ev"):
            terminal.type(f"aish apollo -m {typed}\t")
            terminal.wait_for_screen(lambda rows: ";" in rows[-1])
            terminal.type("\x01echo \n")  # Ctrl-A
            terminal.wait_for_screen(lambda rows: rows[-2:] == [f"aish apollo -m {EVIL}", "$"])
        assert not (aish.folder / "x").exists()


def test_names_of_every_kind_come_from_the_hub(hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai", answer({"peers": [{**peer("apollo"), "model": "openai/gpt-5"}]}))
    hub.on("GET /api/v2/models", answer({"models": [{"model": "local/qwen", "takes": ["text"]}]}))
    hub.on("GET /api/v2/config", answer({"config": [{"key": "hub.port", "origin": "built in"}]}))
    hub.on("GET /api/v2/keys", answer({"keys": [{"name": "openai", "source": None}]}))
    hub.on("GET /api/v2/notify", answer({"notify": [{"name": "phone", "kind": "ntfy"}]}))
    hub.on("GET /api/projects", answer({"projects": [{"name": "app", "path": "/src/app"}]}))
    hub.on("GET /api/mcp-servers", answer({"mcp_servers": [{"name": "time", "transport": "stdio"}]}))
    hub.on("GET /api/v2/routes", answer({"routes": [{"name": "check", "hops": [{"ai": "apollo"}]}]}))
    hub.on("GET /api/v2/schedules", answer({"schedules": [{"name": "daily", "line": "apollo hi"}]}))
    login = {"id": "l_1", "subject": "me", "user_agent": "", "address": "127.0.0.1:5"}
    hub.on("GET /api/v2/logins", answer({"logins": [login]}))
    hub.on("GET /api/v2/terminals", answer({"terminals": [{"name": "jill"}]}))
    asked = {"request_id": "perm_1", "peer": "codex", "tool": "Bash"}
    options = [{"option_id": "allow_once", "name": "Allow once"}]
    hub.on("GET /api/v2/permissions", answer({"permissions": [{**asked, "options": options}]}))
    names = HubNames(Hub(str(hub.home), may_start=False))
    found = {kind: names.names(kind, ["approve", "perm_1"]) for kind in KINDS}
    assert found == {
        "LOGIN": [("l_1", "me, 127.0.0.1:5")],
        "MODEL": [("openai/gpt-5", "used by apollo"), ("local/qwen", "text")],
        "OPTION": [("allow_once", "Allow once")],
        "PERMISSION": [("perm_1", "codex: Bash")],
        "PROJECT": [("app", "/src/app")],
        "PROVIDER": [("openai", "")],
        "RECIPIENT": [("phone", "ntfy")],
        "ROUTE": [("check", "apollo")],
        "SCHEDULE": [("daily", "apollo hi")],
        "SERVER": [("time", "stdio")],
        "SETTING": [("hub", ""), ("hub.port", "built in")],
        "SPECIALIST": [("apollo", "apollo: works")],
        "TERMINAL": [("jill", "a terminal")],
    }
