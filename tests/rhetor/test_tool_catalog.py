"""The environment, the folder and the health checks of configured programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from rhetor import tool_catalog as programs_module
from rhetor.domain.peer import Peer
from rhetor.settings import Settings, ToolSettings, peers_of
from rhetor.tool_catalog import ConfiguredPrograms

pytestmark = pytest.mark.anyio

HUBS_OWN = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/root",
    "OPENAI_API_KEY": "secret",
    "LD_PRELOAD": "/evil.so",
    "EXTRA": "1",
}


def configured(**entry: Any) -> tuple[ConfiguredPrograms, Peer]:
    settings = Settings(tools={"box": ToolSettings(**{"executable": sys.executable, **entry})})
    peer = next(peer for peer in peers_of(settings) if peer.name == "box")
    entries = {name: tool for name, tool in settings.tools.items() if tool is not None}
    return ConfiguredPrograms(entries, HUBS_OWN), peer


def test_a_program_receives_the_common_variables_and_those_of_its_entry() -> None:
    programs, peer = configured(env={"OWN": "2", "PATH": "/own"}, pass_env=("EXTRA", "MISSING"))
    assert programs.launch(peer).env == {
        "TERM": "xterm-256color",
        "PATH": "/own",
        "HOME": "/root",
        "EXTRA": "1",
        "OWN": "2",
    }


@pytest.mark.parametrize(
    ("cwd", "senders", "folder"),
    [
        ("~", None, "/root"),
        ("~", "/srv", "/root"),
        ("~/src", None, "/root/src"),
        ("/opt", "/srv", "/opt"),
        ("caller", "/srv", "/srv"),
        ("caller", None, "/root"),
    ],
)
def test_a_program_runs_in_the_folder_of_its_entry_or_of_its_caller(
    cwd: str, senders: str | None, folder: str
) -> None:
    programs, peer = configured(cwd=cwd)
    assert programs.launch(peer, senders).cwd == folder


@pytest.mark.parametrize(
    ("entry", "ok", "detail", "version"),
    [
        ({}, True, "Python 3.", True),
        ({"health_check": "status"}, True, f"{sys.executable} is executable", False),
        ({"health_check": (sys.executable, "-c", "print(7)")}, True, "7", False),
        ({"health_check": (sys.executable, "-c", "import sys; sys.exit('bad')")}, False, "bad", False),
        ({"health_check": ("/no/such/check",)}, False, "/no/such/check: No such file", False),
        ({"executable": "no-such-program", "install": "get it"}, False, "get it", False),
        ({"cwd": "/no/such/folder"}, False, "", False),
    ],
)
async def test_a_health_check_reports_the_result_and_the_reason(
    entry: dict[str, Any], ok: bool, detail: str, version: bool
) -> None:
    programs, peer = configured(**{"cwd": "/", **entry})
    found = await programs.health(peer)
    assert (found["ok"], detail in found["detail"], bool(found["version"])) == (ok, True, version)


async def test_warnings_before_the_version_are_skipped(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\necho WARNING: no home >&2\nsleep 0.3\necho slow 1.2\n")
    slow.chmod(0o755)
    programs, peer = configured(executable=str(slow), cwd="/")
    found = await programs.health(peer)
    said = "WARNING: no home\nslow 1.2"
    assert found == {"check": "version", "ok": True, "detail": said, "version": "slow 1.2"}


async def test_health_checks_run_concurrently(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs_module, "CHECK_SECONDS", 30.0)
    # each finishes when all three have started
    meets = f"touch {tmp_path}/$$; while [ $(ls {tmp_path} | wc -l) -lt 3 ]; do sleep 0.05; done"
    tool = ToolSettings(executable="sh", cwd="/", health_check=("sh", "-c", meets))
    tools = {"one": tool, "two": tool, "three": tool}
    peers = [peer for peer in peers_of(Settings(tools=dict(tools))) if peer.name in tools]
    found = await ConfiguredPrograms(tools, HUBS_OWN).checked(peers)
    assert [(each["name"], each["installed"], each["health"]["ok"]) for each in found] == [
        (name, True, True) for name in tools
    ]
    assert {each["login"]["known"] for each in found} == {"unknown"}


async def test_a_health_check_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs_module, "CHECK_SECONDS", 0.2)
    programs, peer = configured(cwd="/", health_check=("sleep", "600"))
    found = await programs.health(peer)
    assert (found["ok"], found["detail"]) == (False, "no result within 0.2 s")


def test_the_path_of_an_executable_is_found(tmp_path: Path) -> None:
    for entry, place in (
        ({"executable": "sh", "env": {"PATH": "/usr/bin:/bin"}}, {"/usr/bin/sh", "/bin/sh"}),
        ({"executable": "no-such-program"}, {None}),
        ({"executable": str(tmp_path)}, {None}),
    ):
        programs, peer = configured(cwd="/", **entry)
        assert programs.place(peer) in place
