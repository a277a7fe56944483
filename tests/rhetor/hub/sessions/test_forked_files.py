"""Forks with the files of a session in a new folder or git worktree, in which their peer works."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.store.files.test_worktrees import git
from tests.served import TOKEN, Served, with_programs

from rhetor.domain.command import ForkSession, StartSession
from rhetor.domain.principal import Principal
from rhetor.errors import Forbidden
from rhetor.hub.core.limits import Limits
from rhetor.settings import ToolSettings

from .test_checkpoints import told
from .test_restores import asked, saved, with_project

pytestmark = pytest.mark.anyio

# an agent that appends each message to the file `notes` of its folder, and answers with the folder
SCRIPT = """#!{python} -IS
import json, os, sys
def tell(**said): print(json.dumps(said), flush=True)
for line in sys.stdin:
    found = json.loads(line)
    if found["type"] == "control_request":
        tell(type="control_response", response=dict(subtype="success", request_id=found["request_id"]))
        continue
    with open("notes", "a") as notes:
        notes.write(found["message"]["content"][0]["text"] + "\\n")
    tell(type="system", subtype="init", session_id="c", model="m")
    tell(type="user", message=found["message"], session_id="c", isReplay=True, uuid="u")
    tell(type="result", subtype="success", is_error=False, num_turns=1, result=os.getcwd())
"""


@asynccontextmanager
async def with_writer(tmp_path: Path, cwd: str = "caller", **more: Any) -> AsyncIterator[tuple[Served, Path]]:
    """A hub with the session `work` with an agent that works in a folder."""
    script, folder = tmp_path / "writer", tmp_path / "site"
    script.write_text(SCRIPT.format(python=sys.executable))
    script.chmod(0o700)
    folder.mkdir()
    tools = {"writer": ToolSettings(driver="claude", executable=str(script), cwd=cwd)}
    async with with_programs(tools=tools, limits=Limits(project_roots=(str(tmp_path / "roots"),))) as home:
        opened = {"specialist_id": "writer", "name": "work", "cwd": str(folder), **more}
        await asked(home, "POST", "/api/v2/sessions", opened)
        yield home, folder


async def forked(home: Served, **wishes: Any) -> Any:
    return await asked(home, "POST", "/api/v2/sessions/work/fork", {"name": "copy", **wishes})


async def refused(home: Served, **wishes: Any) -> tuple[int, str]:
    answer = await home.ask("POST", "/api/v2/sessions/work/fork", {"name": "copy", **wishes})
    assert (await home.ask("GET", "/api/v2/sessions/copy")).status == 404
    return answer.status, answer.json["code"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_fork_works_on_the_files_of_now_in_its_own_folder(tmp_path: Path) -> None:
    async with with_writer(tmp_path) as (home, folder):
        assert await told(home, "work", "one") == str(folder)
        copy = tmp_path / "copy"
        done = await forked(home, cwd=str(copy))
        assert done["files"] == {"folder": str(copy), "branch": None, "files": 1, "bytes": 4, "left_out": []}
        assert done["metadata"]["cwd"] == str(copy)
        assert await told(home, "copy", "two") == str(copy)
        assert ((copy / "notes").read_text(), (folder / "notes").read_text()) == ("one\ntwo\n", "one\n")
        assert await told(home, "work", "three") == str(folder)
        assert (copy / "notes").read_text() == "one\ntwo\n"


@pytest.mark.long
async def test_a_fork_at_a_checkpoint_has_its_files_and_can_go_back_to_them(tmp_path: Path) -> None:
    async with with_writer(tmp_path) as (home, folder):
        await told(home, "work", "one")
        await saved(home, "first")
        await told(home, "work", "two")
        copy = tmp_path / "copy"
        await forked(home, at="first", cwd=str(copy))
        assert (copy / "notes").read_text() == "one\n"
        await told(home, "copy", "three")
        done = await asked(home, "POST", "/api/v2/sessions/copy/restore", {"at": "forked"})
        assert [each["path"] for each in done["changed"]] == ["notes"]
        assert ((copy / "notes").read_text(), (folder / "notes").read_text()) == ("one\n", "one\ntwo\n")


@pytest.mark.long
async def test_a_fork_of_a_session_in_a_project_has_files_of_its_own(tmp_path: Path) -> None:
    async with with_project(tmp_path) as (home, folder):
        (folder / "a").write_text("one")
        copy = tmp_path / "copy"
        done = await forked(home, cwd=str(copy))
        assert (done["project_id"], (copy / "a").read_text()) == ("site", "one")
        made = await asked(home, "POST", "/api/v2/sessions/copy/checkpoint")
        assert made["folder"] == str(copy)
        again = await asked(home, "POST", "/api/v2/sessions/copy/fork", {"cwd": str(tmp_path / "again")})
        assert again["files"]["files"] == 1


@pytest.mark.long
async def test_a_fork_works_in_a_git_worktree_on_a_branch_of_its_own(tmp_path: Path) -> None:
    async with with_writer(tmp_path) as (home, folder):
        git(folder, "init", "--quiet", "-b", "main")
        git(folder, "commit", "--quiet", "--allow-empty", "-m", "first")
        await told(home, "work", "one")
        done = await forked(home, worktree=True)
        copy = tmp_path / "site-copy"
        assert (done["files"]["folder"], done["files"]["branch"]) == (str(copy), "aish/copy")
        assert await told(home, "copy", "two") == str(copy)
        assert ((copy / "notes").read_text(), (folder / "notes").read_text()) == ("one\ntwo\n", "one\n")
        assert git(copy, "branch", "--show-current") == "aish/copy\n"
        assert git(folder, "branch", "--show-current") == "main\n"


@pytest.mark.long
async def test_folders_that_cannot_be_forked_into_are_rejected(tmp_path: Path) -> None:
    async with with_writer(tmp_path) as (home, folder):
        await told(home, "work", "one")
        cursor = (await asked(home, "GET", "/api/v2/sessions/work"))["cursor"]
        await told(home, "work", "two")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "mine").write_text("mine")
        copy = str(tmp_path / "copy")
        assert await refused(home, cwd=str(tmp_path / "full")) == (409, "folder_taken")
        assert await refused(home, cwd=str(folder / "inside")) == (422, "unprocessable")
        assert await refused(home, worktree=True) == (409, "no_repository")
        assert await refused(home, at=cursor, cwd=copy) == (409, "files_missing")
        assert await refused(home, cwd="relative") == (422, "unprocessable")
        await asked(home, "POST", "/api/v2/sessions", {"specialist_id": "writer", "name": "copy"})
        taken = await home.ask("POST", "/api/v2/sessions/work/fork", {"name": "copy", "cwd": copy})
        assert (taken.status, taken.json["code"]) == (409, "name_taken")
        assert names(tmp_path) == ["full", "site", "writer"]


@pytest.mark.long
async def test_a_session_without_files_cannot_be_forked_into_a_folder(tmp_path: Path) -> None:
    async with with_writer(tmp_path) as (home, _):
        await asked(home, "POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "talk"})
        answer = await home.ask("POST", "/api/v2/sessions/talk/fork", {"cwd": str(tmp_path / "copy")})
        assert (answer.status, answer.json["code"]) == (409, "files_missing")


@pytest.mark.long
async def test_a_peer_with_a_folder_of_its_own_cannot_work_in_another_one(tmp_path: Path) -> None:
    async with with_writer(tmp_path, cwd=str(tmp_path / "site")) as (home, _):
        answer = await home.ask("POST", "/api/v2/sessions/work/fork", {"cwd": str(tmp_path / "copy")})
        assert (answer.status, "tools.writer.cwd" in answer.json["detail"]) == (422, True)
        assert not (tmp_path / "copy").exists()


@pytest.mark.long
async def test_a_caller_over_tcp_writes_only_below_the_allowed_roots(tmp_path: Path) -> None:
    async with with_writer(tmp_path) as (home, _):
        await told(home, "work", "one")
        (tmp_path / "roots").mkdir()
        headers = {"authorization": f"Bearer {TOKEN}"}
        for folder, status in ((tmp_path / "copy", 403), (tmp_path / "roots" / "copy", 200)):
            body = {"cwd": str(folder)}
            answer = await home.ask_tcp("POST", "/api/v2/sessions/work/fork", headers, json=body)
            assert (answer.status, folder.exists()) == (status, status == 200), answer.text


@pytest.mark.long
async def test_a_fork_whose_program_cannot_be_started_leaves_no_folder(tmp_path: Path) -> None:
    async with with_writer(tmp_path) as (home, _):
        await told(home, "work", "one")
        await home.ask("POST", "/api/v2/tools/writer/terminate")
        (tmp_path / "writer").unlink()
        assert (await refused(home, cwd=str(tmp_path / "copy")))[1] == "program_missing"
        assert not (tmp_path / "copy").exists()


@pytest.mark.long
async def test_a_program_that_runs_as_a_peer_cannot_make_a_folder(tmp_path: Path) -> None:
    async with with_writer(tmp_path) as (home, folder):
        agent = Principal.agent("writer", local=True)
        opened = StartSession("writer", name="own", cwd=str(folder))
        session = await home.hub.execute(agent, opened)
        with pytest.raises(Forbidden):
            await home.hub.execute(agent, ForkSession(session.id, cwd=str(tmp_path / "copy")))
        assert not await asyncio.to_thread((tmp_path / "copy").exists)
