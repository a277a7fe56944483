"""Coding agents as models: programs that imitate `claude`, found on a PATH and called in turns."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.domain.output import Began, Done, Output, Text, Usage
from rhetor.domain.program import Launch, Program
from rhetor.domain.program_keys import ProgramKeys
from rhetor.domain.tool import Tool
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.model_tools.driver import with_tools
from rhetor.drivers.model_tools.servers import ToolServers
from rhetor.drivers.models.access import ModelAccess
from rhetor.drivers.models.agent_models import AT_ONCE, AgentEntry, AgentModels, with_history
from rhetor.drivers.models.candidates import found, tried
from rhetor.drivers.models.clients import Clients
from rhetor.drivers.models.deadline import Timeouts
from rhetor.drivers.models.driver import ChatDriver
from rhetor.drivers.models.local_models import LocalServer
from rhetor.drivers.models.resolve import Models, ProviderEntry
from rhetor.drivers.programs.host.folder import start_time
from rhetor.errors import EmptyAnswer, TurnFailure
from tests.provider import ProviderServer, Script
from tests.rhetor.drivers.programs.host.hosting import hosting
from tests.rhetor.drivers.talk import APOLLO, turn

pytestmark = pytest.mark.anyio

SECONDS = 60.0
# echoes its input, and records its arguments and folder in its home
CLAUDE = """#!{python}
import json, os, sys
def tell(**message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
def delta(text):
    event = {{"type": "content_block_delta", "delta": {{"type": "text_delta", "text": text}}}}
    tell(type="stream_event", event=event)
said = json.loads(sys.stdin.readline())["message"]["content"][0]["text"]
with open(os.environ["HOME"] + "/started", "a") as file:
    file.write(json.dumps([sys.argv[1:], os.getcwd(), said, os.getpid()]) + "\\n")
with open(os.environ["HOME"] + "/key", "w") as file:
    file.write(os.environ["RHETOR_TOKEN"])
tell(type="system", subtype="init", session_id="c1", model="m1")
if said == "hang":
    sys.stdin.readline()
if said == "ask":
    request = {{"subtype": "can_use_tool", "tool_name": "Bash", "input": {{}}}}
    tell(type="control_request", request_id="r1", request=request)
    said = json.loads(sys.stdin.readline())["response"]["response"]["behavior"]
if said == "logged out":
    tell(type="result", subtype="success", is_error=True, result="Not logged in · Please run /login")
elif said == "nothing":
    tell(type="result", subtype="success", usage={{}}, result="")
elif said == "crash":
    sys.exit("no disk left")
else:
    delta("I heard ")
    delta(said)
    usage = {{"input_tokens": 7, "output_tokens": 2}}
    tell(type="result", subtype="success", usage=usage, total_cost_usd=0.5, result="")
    sys.stdin.readline()
"""


@dataclass
class Machine:
    """A home with a `claude` on its PATH."""

    home: Path
    driver: ChatDriver
    models: Models
    keys: ProgramKeys

    def started(self) -> list[list[Any]]:
        file = self.home / "started"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def log_in(self) -> None:
        (self.home / ".claude").mkdir()
        (self.home / ".claude" / ".credentials.json").write_text('{"claudeAiOauth": {}}')

    def install(self) -> None:
        program = self.home / "claude"
        program.write_text(CLAUDE.format(python=sys.executable))
        program.chmod(0o755)

    async def say(
        self, message: str, model: str = "cli:claude", history: tuple[PastMessage, ...] = ()
    ) -> tuple[list[Output], TurnFailure | None]:
        return await turn(await self.driver.open(replace(APOLLO, model=model)), message, history)


@asynccontextmanager
async def machine(
    *,
    fallbacks: tuple[str, ...] = (),
    timeouts: Timeouts = Timeouts(),  # noqa: B008  frozen
    environment: dict[str, str] | None = None,
    providers: dict[str, ProviderEntry] | None = None,
    servers: tuple[LocalServer, ...] = (),
    automatic: tuple[str, ...] = ("claude-code",),
) -> AsyncIterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="rt") as name:
        home = Path(name)
        async with asyncio.timeout(SECONDS), hosting(home) as hosts:
            keys = ProgramKeys()
            env = {"HOME": name, "PATH": f"{name}:/usr/bin:/bin"}
            program = Program(("claude",), "caller", hint="install it so")
            entries = {"claude-code": AgentEntry("claude", program, lambda: Launch("~", env))}
            agents = AgentModels(entries, {"claude": ClaudeCode}, hosts, home / "empty", automatic, keys)
            clients = Clients(timeouts.connect)
            models = Models(
                environment or {},
                clients.list_models,
                providers=providers or {},
                servers=lambda environment: servers,
                agents=agents,
            )
            driver = ChatDriver(models, clients, timeouts, fallbacks=fallbacks, agents=agents)
            try:
                yield Machine(home, driver, models, keys)
            finally:
                await driver.aclose()


async def test_an_agent_answers_as_a_plain_model_in_an_empty_folder() -> None:
    async with machine() as here:
        here.install()
        here.log_in()
        outputs, failure = await here.say("hello")
        assert failure is None
        assert outputs == [
            Began("cli:claude"),
            Text("I heard "),
            Text("hello"),
            Usage("cli:claude/m1", 7, 2, 0, "0.5"),
            Done(),
        ]
        [(arguments, folder, said, pid)] = here.started()
        assert (folder, said) == (str(here.home / "empty"), "hello")
        assert ("--tools", "") in pairwise(arguments)
        assert "--system-prompt=You are Apollo." in arguments
        assert (here.home / "empty").stat().st_mode & 0o777 == 0o500
        assert start_time(pid) is None


async def test_an_agent_has_the_key_of_the_peer_that_it_answers_for_until_its_turn_ends() -> None:
    async with machine() as here:
        here.install()
        here.log_in()
        conversation = await here.driver.open(replace(APOLLO, model="cli:claude"))
        outputs = conversation.send(Prompt("key"), ())
        assert [await anext(outputs), await anext(outputs)] == [Began("cli:claude"), Text("I heard ")]
        key = (here.home / "key").read_text()
        found = here.keys.find(key)
        assert found is not None
        assert found[0] == "apollo"
        assert [output async for output in outputs][-1] == Done()
        assert here.keys.find(key) is None


async def test_a_reference_may_name_the_agents_own_model() -> None:
    async with machine() as here:
        here.install()
        here.log_in()
        outputs, _ = await here.say("hello", "cli:claude-code/opus")
        assert outputs[0] == Began("cli:claude-code/opus")
        assert here.started()[0][0][-2:] == ["--model", "opus"]


async def test_permission_requests_of_an_agent_model_are_denied() -> None:
    async with machine() as here:
        here.install()
        here.log_in()
        outputs, failure = await here.say("ask")
        assert (failure, outputs[1:3]) == (None, [Text("I heard "), Text("deny")])


async def test_earlier_messages_are_sent_with_the_message() -> None:
    async with machine() as here:
        here.install()
        here.log_in()
        await here.say(
            "and now?", history=(PastMessage("user", "port 8443"), PastMessage("assistant", "Noted"))
        )
        text = here.started()[0][2]
        assert text.index("[User]\nport 8443") < text.index("[You]\nNoted") < text.index("and now?")


def test_a_message_cannot_forge_the_end_of_the_history() -> None:
    first, second = (with_history("m", (PastMessage("user", "x"),)).split("\n")[1] for _ in range(2))
    assert first.startswith("--- ") and first != second


@pytest.mark.parametrize(
    ("installed", "model", "code", "hint"),
    [
        (False, "cli:claude", "model_unknown", "install it so"),
        (True, "cli:claude", "provider_denied", "log in with: claude auth login"),
        (True, "cli:nobody", "model_unknown", "available: cli:claude"),
    ],
)
async def test_an_agent_that_cannot_answer_fails_with_a_hint(
    installed: bool, model: str, code: str, hint: str
) -> None:
    async with machine() as here:
        if installed:
            here.install()
        outputs, failure = await here.say("hello", model)
        assert failure is not None
        assert (outputs, failure.code, failure.data["hint"]) == ([], code, hint)
        assert here.started() == []


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("logged out", "provider_denied", "Not logged in"),
        ("crash", "provider_failed", "it exited with 1"),
    ],
)
async def test_a_failing_agent_is_reported_as_a_failing_provider(message: str, code: str, words: str) -> None:
    async with machine() as here:
        here.install()
        here.log_in()
        outputs, failure = await here.say(message)
        assert failure is not None and words in failure.detail
        assert (outputs, failure.code) == ([Began("cli:claude")], code)
        assert failure.data["hint"]


async def test_an_agent_that_ends_without_text_is_an_empty_answer() -> None:
    async with machine() as m:
        m.install()
        m.log_in()
        outputs, failure = await m.say("nothing")
    assert not any(isinstance(output, Done) for output in outputs)
    assert isinstance(failure, EmptyAnswer)
    assert failure.detail == "claude gave an answer without text"
    assert (failure.data["finish_reason"], bool(failure.data["hint"])) == ("stop", True)


async def test_a_silent_agent_times_out_and_its_process_is_ended() -> None:
    async with machine(timeouts=Timeouts(first_chunk=1.0)) as here:
        here.install()
        here.log_in()
        _, failure = await here.say("hang")
        assert failure is not None
        assert (failure.code, failure.data["phase"]) == ("timeout", "first_chunk")
        [(_, _, _, pid)] = here.started()
        assert start_time(pid) is None


async def test_the_process_of_a_cancelled_turn_is_ended() -> None:
    async with machine() as here:
        here.install()
        here.log_in()
        turning = asyncio.create_task(here.say("hang"))
        while not here.started():  # noqa: ASYNC110 (another process writes the file)
            await asyncio.sleep(0.01)
        turning.cancel()
        await asyncio.wait([turning])
        [(_, _, _, pid)] = here.started()
        agents = here.driver.resources.agents
        assert agents is not None
        assert (turning.cancelled(), start_time(pid), agents.places.locked()) == (True, None, False)


async def test_a_fallback_answers_if_the_agent_fails() -> None:
    async with ProviderServer(key="", default=lambda asked: Script(chunks=("Fine",))) as provider:
        entry = ProviderEntry("openai", f"{provider.url}/v1", allow_private=True)
        async with machine(fallbacks=("local/m",), providers={"local": entry}) as here:
            outputs, failure = await here.say("hello")
            assert failure is None
            assert [outputs[0], outputs[1]] == [Began("local/m"), Text("Fine")]


async def test_an_agent_can_be_the_fallback_of_another_model() -> None:
    async with machine(fallbacks=("cli:claude",)) as here:
        here.install()
        here.log_in()
        outputs, failure = await here.say("hello", "openai/gpt")
        assert (failure, outputs[0]) == (None, Began("cli:claude"))


async def test_auto_selects_an_agent_if_there_is_no_provider() -> None:
    async with machine() as here:
        here.install()
        here.log_in()
        assert (await here.say("hello", "auto"))[0][0] == Began("cli:claude")


async def test_an_agent_can_be_the_default_model_and_is_named_as_such() -> None:
    async with machine(automatic=()) as here:
        here.install()
        here.log_in()
        here.models.reset({}, default="cli:claude")
        assert (await here.say("hello", "auto"))[0][0] == Began("cli:claude")
        access = ModelAccess({}, {}, "cli:claude/opus", Timeouts(), agents=here.driver.resources.agents)
        assert await access.describe() == {"name": "cli:claude", "model": "opus"}
        await access.aclose()


@pytest.mark.long
async def test_a_turn_with_tools_is_answered_without_them() -> None:
    async with machine() as here:
        here.install()
        here.log_in()
        driver = with_tools(here.driver, ToolServers({}, {}, "/"))
        conversation = await driver.open(replace(APOLLO, model="cli:claude"))
        message = Prompt("hello", tools=(Tool("weather", "", {}),))
        outputs = [output async for output in conversation.send(message, ())]
        assert (outputs[2], outputs[-1]) == (Text("hello"), Done())


@pytest.mark.parametrize("missing", ["program", "login", "setting"])
async def test_auto_selects_no_agent_that_is_missing_logged_out_or_disabled(missing: str) -> None:
    async with machine(automatic=() if missing == "setting" else ("claude-code",)) as here:
        if missing != "program":
            here.install()
        if missing != "login":
            here.log_in()
        assert (await here.say("hello", "auto"))[0][0] == Began("offline")


async def test_auto_prefers_a_provider_or_a_local_model_server_to_an_agent() -> None:
    async with ProviderServer(models=("llama",), key="") as provider:
        url = f"{provider.url}/v1"
        key = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url, "RHETOR_MODEL": "m"}
        cases: tuple[tuple[dict[str, Any], str], ...] = (
            ({"environment": key}, "openai/m"),
            ({"servers": (LocalServer("ollama", url),)}, "ollama/llama"),
        )
        for options, ref in cases:
            async with machine(**options) as here:
                here.install()
                here.log_in()
                assert (await here.say("hello", "auto"))[0][0] == Began(ref)


async def test_concurrent_agents_are_limited_and_further_ones_wait() -> None:
    async with machine() as here:
        here.install()
        here.log_in()
        agents = here.driver.resources.agents
        assert agents is not None
        for _ in range(AT_ONCE):
            await agents.places.acquire()
        conversation = await here.driver.open(replace(APOLLO, model="cli:claude"))
        outputs = conversation.send(Prompt("hello"), ())
        assert await anext(outputs) == Began("cli:claude")
        rest = asyncio.create_task(anext(outputs))
        done, _ = await asyncio.wait([rest], timeout=0.5)  # an unblocked turn takes less time
        assert (done, here.started()) == (set(), [])
        agents.places.release()
        assert await rest == Text("I heard ")
        await outputs.aclose()
        assert not agents.places.locked()


@pytest.mark.long
async def test_candidates_are_found_and_tried_without_fallbacks() -> None:
    async with ProviderServer(models=("small",), key="") as server:
        there = LocalServer("lmstudio", f"{server.url}/v1")
        empty = {"box": ProviderEntry("openai", "http://127.0.0.1:9/v1")}
        async with machine(servers=(there,), providers=empty, fallbacks=("lmstudio/small",)) as here:
            kinds = {each.name: each for each in await found(here.driver)}
            assert (kinds["claude-code"].ready, kinds["claude-code"].hint) == (False, "install it so")
            assert (kinds["openai"].detail, kinds["openai"].hint) == (
                "no API key",
                "run: aish keys set openai",
            )
            assert (kinds["lmstudio"].model, kinds["lmstudio"].ready) == ("lmstudio/small", True)
            assert (kinds["box"].ready, "box cannot be reached" in kinds["box"].detail) == (False, True)
            here.install()
            assert [c.ready for c in await found(here.driver) if c.kind == "agent"] == [
                False
            ]  # not logged in
            here.log_in()
            [agent] = [each for each in await found(here.driver) if each.kind == "agent"]
            assert (agent.model, agent.ready, agent.detail) == ("cli:claude", True, "logged in: yes")

            trial = await tried(here.driver, "cli:claude")
            assert (trial.ok, trial.answer) == (True, "I heard Reply with the word: ready")
            assert (await tried(here.driver, "lmstudio/small")).ok
            failed = await tried(here.driver, "box/x")
            assert (failed.ok, failed.answer) == (False, "")
            assert "box cannot be reached" in failed.error and "is running" in failed.hint
            server.default = lambda asked: Script(first_delay=60.0)
            slow = await tried(here.driver, "lmstudio/small", seconds=0.2)
            assert (slow.ok, slow.error) == (False, "no answer within 0.2 s")
