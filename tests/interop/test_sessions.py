"""Named conversations with real coding agents: kept, forked, imported from their own files, resumed."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from tests.interop.agents import Agent
from tests.interop.home import SECONDS, House
from tests.provider.script import Script

FORKS = ("claude-code", "codex", "opencode")
# arguments to run each agent without the hub; only agents whose files can be imported
ALONE = {
    "claude-code": ("-p",),
    "codex": ("exec", "--skip-git-repo-check"),
}
AGAIN = {"claude-code": ("--continue",), "codex": ("resume", "--last")}


def alone(agent: Agent, house: House, *words: str) -> None:
    """Run the agent to its end, without the hub."""
    ran = subprocess.run(
        [agent.bin / agent.executable, *words],
        cwd=house.work,
        env=house.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran


def report(house: House, *words: str) -> tuple[int, int]:
    """Run `aish sessions import`; return how many turns were new and how many already known."""
    files = json.loads(house.say("sessions", "import", "--json", *words).out)["files"]
    return sum(file["new"] for file in files), sum(file["known"] for file in files)


def sessions(house: House) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(house.say("sessions", "list", "--json").out)
    return found


def test_a_named_conversation_survives_a_killed_hub_and_can_be_deleted(agent: Agent, house: House) -> None:
    house.say("session", "create", "work", "--tool", agent.name)
    house.provider.script(Script(chunks=("I keep it",)))
    house.say(agent.name, "-s=work", "remember the heron")
    house.kill_hub()
    agent.age(house.home)
    house.provider.script(Script(chunks=("Heron",)))
    assert house.say(agent.name, "which bird?", "--session-id", "work").out == "Heron\n"
    assert "remember the heron" in house.asked(agent)[-1]
    assert "✓ Resumed work" in house.say("session", "resume", "work").out
    house.provider.script(Script(chunks=("Still the heron",)))
    assert house.say(agent.name, "and now?").out == "Still the heron\n"  # the session of this folder
    exported = house.say("session", "export", "work").out
    assert all(said in exported for said in ("# work", "remember the heron", "I keep it", "and now?"))
    assert house.aish("session", "delete", "work").code == 0
    assert house.aish("session", "show", "work").code == 3
    deadline = time.monotonic() + SECONDS
    while house.tool(agent)["pid"]:  # its process ran only for this conversation
        assert time.monotonic() < deadline, "its process is still running"
    house.say("session", "create", "work", "--tool", agent.name)


def test_a_fork_continues_from_its_checkpoint_and_does_not_change_its_parent(
    agent: Agent, house: House
) -> None:
    house.say("session", "create", "work", "--tool", agent.name)
    house.provider.script(Script(chunks=("I keep it",)))
    house.say(agent.name, "-s=work", "remember the heron")
    ran = house.aish("session", "fork", "work", "copy")
    assert (ran.code, "cannot continue a copy" in ran.err) == (0, agent.name not in FORKS), ran
    if agent.name not in FORKS:  # the copy begins a new conversation, and receives the earlier one
        house.provider.script(Script(chunks=("The heron",)))
        assert house.say(agent.name, "-s=copy", "which animals?").out == "The heron\n"
        assert "remember the heron" in house.asked(agent)[-1]
        return
    answers = ("Kept too", "The heron", "Both")
    house.provider.script(*(Script(chunks=(said,)) for said in answers))
    house.say(agent.name, "-s=work", "remember the otter")
    assert house.say(agent.name, "-s=copy", "which animals?").out == "The heron\n"
    asked = house.asked(agent)[-1]
    assert ("remember the heron" in asked, "remember the otter" in asked) == (True, False)
    assert house.say(agent.name, "-s=work", "which ones?").out == "Both\n"
    asked = house.asked(agent)[-1]
    known = ("remember the heron", "remember the otter", "which animals?")
    assert [said in asked for said in known] == [True, True, False]
    house.kill_hub()
    assert house.aish("tools", "terminate", agent.name).code == 0
    house.provider.script(Script(chunks=("A heron",)))
    assert house.say(agent.name, "-s=copy", "once more?").out == "A heron\n"
    asked = house.asked(agent)[-1]
    assert [said in asked for said in known] == [True, False, True]
    if agent.name in ALONE:
        assert report(house)[0] == 0  # turns of the parent that are also in the fork's file are known


def test_a_conversation_without_the_hub_is_imported_and_can_be_continued(agent: Agent, house: House) -> None:
    if agent.name not in ALONE:
        pytest.skip("the hub does not import files of this agent")
    house.provider.script(
        Script(tool_calls=(agent.command("echo hello", "1"),)), Script(chunks=("I keep the heron",))
    )
    alone(agent, house, *ALONE[agent.name], "remember the bird, and run it")
    assert report(house, "--dry-run") == (1, 0)
    assert report(house) == (1, 0)
    assert report(house) == (0, 0)
    assert "heron" in house.say("search", "heron").out
    assert "remember the bird" in house.say("history").out
    (session,) = sessions(house)
    id = str(session["id"])
    kinds = [event["type"] for event in house.events(id)]
    assert [kind for kind in kinds if kind != "output.delta"][:5] == [
        *("session.state", "message.accepted", "turn.started", "tool.called", "tool.returned")
    ] or "usage.reported" in kinds
    house.provider.script(Script(chunks=("It is the heron",)))
    assert house.say(agent.name, "which bird?", "--session-id", id).out == "It is the heron\n"
    assert "remember the bird" in house.asked(agent)[-1]
    assert report(house) == (0, 2)  # turns that ran through the hub are in the agent's file, too


def test_turns_outside_the_hub_are_imported_into_the_hubs_conversation(agent: Agent, house: House) -> None:
    if agent.name not in ALONE:
        pytest.skip("the hub does not import files of this agent")
    house.provider.script(*(Script(chunks=(said,)) for said in ("I keep it", "Elsewhere", "Yes")))
    house.say("session", "create", "work", "--tool", agent.name)
    house.say(agent.name, "-s=work", "remember the heron")
    assert house.aish("tools", "terminate", agent.name).code == 0
    alone(agent, house, *ALONE[agent.name], *AGAIN[agent.name], "remember the otter")
    assert report(house) == (1, 1)
    assert [session["name"] for session in sessions(house)] == ["work"]
    said = house.say("session", "export", "work").out
    assert said.index("remember the heron") < said.index("remember the otter") < said.index("Elsewhere")
    house.say(agent.name, "-s=work", "do you know both?")
    assert all(animal in house.asked(agent)[-1] for animal in ("the heron", "the otter"))
    assert report(house) == (0, 3)
