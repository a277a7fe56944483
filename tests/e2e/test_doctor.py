"""`aish doctor` with programs that do not answer, and with an expired certificate."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.e2e.home import BIN, Machine

from rhetor.certificates import Files, create

SLEEPS = "#!/bin/sh\nexec sleep 60\n"


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize("with_hub", [False, True])
def test_doctor_fails_if_the_certificate_has_expired(machine: Machine, with_hub: bool) -> None:
    files = Files(machine.folder / "tls")
    create(files, ["box.local"], datetime.now(UTC) - timedelta(days=1000))
    settings = {"hub": {"tls_cert": str(files.certificate), "tls_key": str(files.key)}}
    (machine.folder / "config.yaml").write_text(json.dumps(settings))
    if with_hub:
        assert machine.run("list").returncode == 0
    ran = machine.run("doctor")
    assert ran.returncode == 1
    assert "✗ certificate expired on 20" in ran.stdout
    alone = subprocess.run(
        [f"{BIN}/rhetor", "doctor"], env=machine.environment, capture_output=True, text=True, check=True
    )
    assert alone.stdout.startswith("certificate: expired on 20")
