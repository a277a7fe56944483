"""`aish doctor` with programs that do not answer, and with an expired certificate."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.e2e.home import BIN, Machine

from rhetor.certificates import Files, create

# Whether all of them run at once is what it notes: it waits for the others, which have then begun too.
SLEEPS = """#!/bin/sh
[ -e "$0.begun" ] || first=yes
: > "$0.begun"
cd "${0%/*}" || exit
until [ -e one.begun ] && [ -e two.begun ] && [ -e three.begun ]; do sleep 0.02; done
[ "$first" ] && : > "$0.met"
exec sleep 60
"""


@pytest.mark.long
@pytest.mark.parametrize("with_hub", [False, True])
def test_doctor_does_not_wait_for_programs_that_do_not_answer(machine: Machine, with_hub: bool) -> None:
    machine.folder.mkdir(exist_ok=True)
    programs = [machine.folder / name for name in ("one", "two", "three")]
    for program in programs:
        program.write_text(SLEEPS)
        program.chmod(0o755)
    tools = {each.name: {"executable": str(each), "driver": "claude"} for each in programs}
    (machine.folder / "config.yaml").write_text(json.dumps({"tools": tools}))
    if with_hub:
        assert machine.run("list").returncode == 0
    start = time.monotonic()
    ran = machine.run("doctor")
    seconds = time.monotonic() - start
    assert "python" in ran.stdout
    assert ran.stdout.count("does not answer: no result within 1.2 s") == 3
    # none had to wait until another one had been given up
    assert [each.name for each in programs if Path(f"{each}.met").exists()] == ["one", "two", "three"]
    assert seconds < 20, ran.stdout  # 2 s, or 60 s if it waited for them


@pytest.mark.long
@pytest.mark.parametrize("with_hub", [False, True])
def test_doctor_fails_if_the_certificate_has_expired(machine: Machine, with_hub: bool) -> None:
    files = Files(machine.folder / "mine")  # a hub renews only the one in `tls`
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
