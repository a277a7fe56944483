"""`aish doctor` with programs that do not answer."""

from __future__ import annotations

import json
import time

import pytest
from tests.e2e.home import Machine

SLEEPS = "#!/bin/sh\nexec sleep 60\n"


@pytest.mark.parametrize("with_hub", [False, True])
def test_doctor_does_not_wait_for_programs_that_do_not_answer(machine: Machine, with_hub: bool) -> None:
    machine.folder.mkdir(exist_ok=True)
    program = machine.folder / "sleeps"
    program.write_text(SLEEPS)
    program.chmod(0o755)
    tools = {name: {"executable": str(program), "driver": "claude"} for name in ("one", "two", "three")}
    (machine.folder / "config.yaml").write_text(json.dumps({"tools": tools}))
    if with_hub:
        assert machine.run("list").returncode == 0
    start = time.monotonic()
    ran = machine.run("doctor")
    seconds = time.monotonic() - start
    assert "python" in ran.stdout
    assert seconds < 4, ran.stdout  # 2 s; the rest is for a busy machine
