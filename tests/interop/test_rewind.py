"""Real coding agents go back to an earlier turn with their files, and take another path from there."""

from __future__ import annotations

import json
import shutil
import signal
from typing import Any

import pytest
from tests.interop.agents import Agent
from tests.interop.home import SECONDS, House
from tests.provider.script import Script
from tests.rhetor.store.files.test_worktrees import git

REWIND = ("claude-code", "codex")  # they go back themselves; the others are told the conversation
WORDS = ("heron", "otter", "badger")  # of the first turn, of the abandoned path, of the other path
TOLD = "begins a new conversation, and receives the earlier one"


@pytest.fixture
def editor(agent: Agent, house: House) -> Agent:
    """An agent that may use its tools without asking, with the session `work`."""
    if not agent.asks_first:
        pytest.skip("cn 1.5 runs commands only if it is told so at its own terminal")
    rules = {"allow": ["*"], "deny": []}
    house.configure({agent.name: {**agent.settings, "permissions": rules}})
    house.say("session", "create", "work", "--tool", agent.name)
    return agent


def edit(agent: Agent, house: House, word: str, session: str = "work") -> str:
    """Run a turn in which the agent appends the word to the file `notes`; return what came on stderr."""
    call = agent.command(f"echo {word} >> notes", word)
    house.provider.script(Script(tool_calls=(call,)), Script(chunks=(f"I wrote the {word}",)))
    ran = house.say(agent.name, f"note the {word}", f"-s={session}")
    assert ran.out == f"I wrote the {word}\n"
    return ran.err


def known(agent: Agent, house: House, session: str = "work") -> str:
    """Ask the agent which of the words it knows; the model finds them in what the agent sends."""
    house.provider.script(Script(recalls=WORDS))
    return house.say(agent.name, "which animals do you know?", f"-s={session}").out.strip()


def restored(house: House, at: str) -> dict[str, Any]:
    """Restore the session over REST."""
    done: dict[str, Any] = house.post("/api/v2/sessions/work/restore", {"at": at})
    return done


def test_an_agent_goes_back_to_its_first_turn_and_takes_another_path(editor: Agent, house: House) -> None:
    agent, notes = editor, house.work / "notes"
    edit(agent, house, "heron")
    assert f"1 file of {house.work}" in house.say("session", "checkpoint", "work", "first").out
    edit(agent, house, "otter")
    assert (notes.read_text(), known(agent, house)) == ("heron\notter\n", "heron, otter")
    second = json.loads(house.say("session", "checkpoint", "work", "second", "--json").out)

    ran = house.say("session", "restore", "work", "first", "--yes")
    assert (notes.read_text(), TOLD in ran.err) == ("heron\n", agent.name not in REWIND)
    before = len(house.asked(agent))
    said = edit(agent, house, "badger")
    assert (notes.read_text(), TOLD in said) == ("heron\nbadger\n", agent.name not in REWIND)
    assert known(agent, house) == "heron, badger"
    asked = house.asked(agent)[before:]
    assert all("I wrote the heron" in each and "otter" not in each for each in asked)

    done = restored(house, second["checkpoint_id"])  # and to the abandoned path again
    assert (done["rewound"], done["retold"]) == (agent.name in REWIND, agent.name not in REWIND)
    assert (notes.read_text(), known(agent, house)) == ("heron\notter\n", "heron, otter")


def test_an_agent_goes_back_to_an_interrupted_turn(editor: Agent, house: House) -> None:
    agent = editor
    house.provider.script(Script(chunks=("I keep ", "the heron"), hold={1: "held"}))
    with house.speaking(agent.name, "note the heron", "--session-id", "work") as turn:
        said = house.held(agent, turn, "I keep", "held")
        turn.process.send_signal(signal.SIGINT)
        assert turn.process.wait(SECONDS) == 130
    house.turn(said["session_id"], said["turn_id"])
    house.provider.release("held")
    house.say("session", "checkpoint", "work", "first")
    edit(agent, house, "otter")
    done = restored(house, "first")
    assert done["rewound"] or done["retold"]
    assert known(agent, house) == "heron"


def test_a_restore_survives_a_killed_hub_and_a_killed_agent(editor: Agent, house: House) -> None:
    agent = editor
    edit(agent, house, "heron")
    house.say("session", "checkpoint", "work", "first")
    edit(agent, house, "otter")
    restored(house, "first")
    house.kill_hub()
    house.say("tools", "list")
    house.aish("tools", "terminate", agent.name)
    assert known(agent, house) == "heron"


def test_an_agent_that_has_lost_its_conversation_is_told_it(editor: Agent, house: House) -> None:
    agent = editor
    if not agent.kept:
        pytest.skip("opencode 1.18 reports a lost conversation like any other failure")
    edit(agent, house, "heron")
    house.say("session", "checkpoint", "work", "first")
    edit(agent, house, "otter")
    shutil.rmtree(house.home / agent.kept)
    ran = house.say("session", "restore", "work", "first", "--yes")
    assert TOLD in ran.err
    said = edit(agent, house, "badger")
    assert (TOLD in said, known(agent, house)) == (True, "heron, badger")


@pytest.mark.parametrize("where", ["worktree", "folder"])
def test_a_fork_works_in_its_own_folder_and_knows_its_branch(editor: Agent, house: House, where: str) -> None:
    agent, copy = editor, house.work.with_name("work-other")
    git(house.work, "init", "--quiet")
    git(house.work, "commit", "--quiet", "--allow-empty", "-m", "first")
    edit(agent, house, "heron")
    house.say("session", "checkpoint", "work", "first")
    edit(agent, house, "otter")
    index = git(house.work, "ls-files", "--stage", "--debug")
    how = ("--worktree",) if where == "worktree" else ("--cwd", str(copy))
    ran = house.say("session", "fork", "work", "other", "--at", "first", *how)
    assert (f"1 file in {copy}" in ran.out, "the branch aish/other" in ran.out) == (True, where == "worktree")
    said = edit(agent, house, "badger", "other")
    assert (TOLD in ran.err, TOLD in said) == (agent.name not in REWIND,) * 2
    assert (copy / "notes").read_text() == "heron\nbadger\n"
    assert (house.work / "notes").read_text() == "heron\notter\n"
    assert known(agent, house, "other") == "heron, badger"
    assert str(copy) in house.asked(agent)[-1]  # the model is told the new folder
    assert known(agent, house) == "heron, otter"
    assert git(house.work, "ls-files", "--stage", "--debug") == index
