"""A real model answers as soon as there is a key, even if the hub was started without one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Failure, Script

LINE = 'echo "Design a cache" | athena | apollo'


def _openai(provider: ProviderProcess) -> dict[str, str]:
    return {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "open-sesame", "RHETOR_MODEL": "m1"}


def _anthropic(provider: ProviderProcess) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": provider.url, "ANTHROPIC_API_KEY": "sesame", "RHETOR_MODEL": "m2"}


def test_a_line_is_answered_offline_then_by_openai_then_by_anthropic(
    machine: Machine, provider: ProviderProcess
) -> None:
    provider.forget()
    offline = machine.run("-c", LINE)
    assert (offline.returncode, "offline model" in offline.stdout) == (0, True)
    assert "No model provider is configured" in offline.stderr
    pid = machine.hub_pid()
    for variables, path, key in (
        (_openai(provider), "/v1/chat/completions", "open-sesame"),
        (_anthropic(provider), "/v1/messages", "sesame"),
    ):
        provider.forget()
        provider.script(Script(chunks=("Two ", "levels.")), Script(chunks=("Fine", ".")))
        answered = machine.run("-c", LINE, variables=variables)
        assert (answered.returncode, answered.stdout, answered.stderr) == (0, "Fine.\n", "")
        calls = [call for call in provider.calls() if call["path"] == path]
        assert len(calls) == 2
        assert key in str(calls[0]["headers"])
        assert calls[0]["body"]["messages"][-1]["content"] == "Design a cache"
        assert "[From Athena]" in calls[1]["body"]["messages"][-1]["content"]
        assert "Two levels." in calls[1]["body"]["messages"][-1]["content"]
    assert machine.hub_pid() == pid


def test_a_model_that_is_set_for_one_call_does_not_change_the_running_hub(
    machine: Machine, provider: ProviderProcess
) -> None:
    provider.forget()
    provider.script(*(Script(chunks=("Hello.",)) for _ in range(3)))
    variables = _openai(provider)
    for model in ("m1", "other", "m1"):
        ran = machine.run("apollo", "hi", variables={**variables, "RHETOR_MODEL": model})
        assert (ran.returncode, ran.stdout) == (0, "Hello.\n")
        said = "RHETOR_MODEL does not change the running hub" in ran.stderr
        assert said is (model == "other")
    models = [call["body"]["model"] for call in provider.calls() if call["path"] == "/v1/chat/completions"]
    assert models == ["m1"] * 3


def test_piped_input_goes_to_all_peers_of_a_group(machine: Machine) -> None:
    line = '{apollo|athena} | synthesis "join the answers"'
    joined = machine.run("-c", line, stdin="Which cache?\n")
    assert (joined.returncode, "offline model" in joined.stdout) == (0, True)
    found = machine.run("history", "search", "Which")
    assert found.stdout.count("Which cache?") >= 2


def test_a_hub_that_starts_with_the_key_uses_it(machine: Machine, provider: ProviderProcess) -> None:
    provider.forget()
    provider.script(Script(chunks=("Hello ", "there.")))
    answered = machine.run("apollo", "hi", variables=_openai(provider))
    assert (answered.returncode, answered.stdout, answered.stderr) == (0, "Hello there.\n", "")


def test_after_a_failing_provider_no_later_peer_is_called(
    machine: Machine, provider: ProviderProcess
) -> None:
    provider.forget()
    provider.script(Script(failure=Failure(401)))
    failed = machine.run("-c", "apollo hi | athena | prometheus", variables=_openai(provider))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "apollo" in failed.stderr
    assert len([c for c in provider.calls() if c["path"] == "/v1/chat/completions"]) == 1


def test_a_cut_answer_is_streamed_and_is_never_taken_for_a_whole_one(
    machine: Machine, provider: ProviderProcess, tmp_path: Path
) -> None:
    provider.forget()
    provider.script(default=Script(chunks=("half ", "and more"), cut_after=1))
    failed = machine.run("apollo", "hi", variables=_openai(provider))
    assert (failed.returncode, failed.stdout) == (1, "half \n")
    first, second, third = failed.stderr.splitlines()
    assert first == "aish: the answer of apollo is cut off"
    assert second.startswith("aish: apollo failed: ") and third.startswith("send the message again")

    provider.forget()
    failed = machine.run("-c", "athena hi | apollo", variables=_openai(provider))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("aish: athena failed: ")
    assert len([call for call in provider.calls() if call["body"]]) == 1  # apollo is not called

    ended = tmp_path / "ended"
    failed = machine.run("-c", f"apollo hi | (cat; touch {ended})", variables=_openai(provider))
    assert (failed.returncode, ended.exists()) == (1, False)
    for options, written in (("", "half \n"), ("--no-stream", "")):
        pipe = f"set -o pipefail; '{machine.bin}/aish' apollo {options} hi | cat"
        variables = {**machine.environment, **_openai(provider)}
        ran = subprocess.run(
            ["bash", "-c", pipe],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (ran.returncode, ran.stdout) == (1, written)
        assert "aish: apollo failed: " in ran.stderr


@pytest.mark.long
def test_keys_are_never_stored(machine: Machine, provider: ProviderProcess) -> None:
    provider.script(default=Script(chunks=("ok",)))
    machine.run("apollo", "hi")
    machine.run("apollo", "hi", variables={**_openai(provider), "OPENAI_API_KEY": "canary-4711"})
    machine.end()
    for file in machine.folder.iterdir():
        if file.is_file():
            assert b"canary-4711" not in file.read_bytes(), file
