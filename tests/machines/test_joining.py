"""A build host joins a hub: its programs are peers, also when its connection or a process ends."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.home import SECONDS, Machine
from tests.machines.joined import BuildHost, joined, listed, until_status, url_of

LINES = 40
COUNTS = f"for i in $(seq {LINES}); do echo line $i; sleep 0.05; done"
COUNTED = "".join(f"line {number}\n" for number in range(1, LINES + 1))


def test_programs_of_a_machine_are_peers_with_its_name(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host") as host:
        peers = listed(machine)
        assert {"shout@build1", "box@build1", "worker@build1", "machine:build1"} <= peers.keys()
        assert peers["machine:build1"]["status"] == "online"
        assert "offering shout@build1, box@build1, worker@build1" in host.said
        assert machine.run("shout@build1", "hello", "-x").stdout == "hello\n"
        assert machine.run("box@build1", "echo $((6 * 7))", "-x").stdout == "42\n"
        asked = machine.run("worker@build1", "count 3")
        assert asked.stdout.strip() == "0 1 2", asked.stderr
        pid = listed(machine)["box@build1"]["pid"]
        assert Path(f"/proc/{pid}").exists()
        ended = machine.run("tools", "terminate", "box@build1")
        assert ended.returncode == 0, ended.stderr
        assert not Path(f"/proc/{pid}").exists()


def test_the_machine_may_be_left_out_of_a_name_if_only_one_has_such_a_peer(
    machine: Machine, tmp_path: Path
) -> None:
    with joined(machine, tmp_path / "host"):
        assert machine.run("shout", "hello", "-x").stdout == "hello\n"
        with joined(machine, tmp_path / "other", "build2"):
            both = machine.run("shout", "hello", "-x")
            assert both.returncode != 0
            assert "shout is on several machines: shout@build1, shout@build2" in both.stderr
            assert machine.run("shout@build2", "hello", "-x").stdout == "hello\n"


def test_output_during_a_restart_of_rhetor_join_arrives_once_and_in_order(
    machine: Machine, tmp_path: Path
) -> None:
    with joined(machine, tmp_path / "host") as host:
        asking = machine.start("box@build1", COUNTS, "-x")
        time.sleep(0.7)
        assert host.stop() == 0
        assert host.said.endswith("its programs continue to run\n")
        until_status(machine, "box@build1", "offline")
        time.sleep(0.5)
        host.join(url_of(machine))
        output, errors = asking.communicate(timeout=SECONDS)
        assert output.decode() == COUNTED, errors


def test_output_during_a_restart_of_the_hub_is_in_the_log_once(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host"):
        asking = machine.start("worker@build1", f"count {LINES}")
        time.sleep(1.2)
        machine.kill_hub()
        asking.communicate(timeout=SECONDS)
        assert machine.run("wait", "worker@build1", "--timeout", "60").returncode == 0
        (last,) = json.loads(machine.run("history", "1", "json").stdout)
        assert last["response"].split() == [str(number) for number in range(LINES)], last


def test_a_machine_that_is_lost_is_offline_with_its_evidence(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host") as host:
        assert machine.run("shout@build1", "one", "-x").stdout == "one\n"
        host.stop()
        until_status(machine, "shout@build1", "offline")
        shown = machine.run("explain", "shout@build1").stdout
        assert "build1 is offline: " in shown
        assert listed(machine)["machine:build1"]["status"] == "offline"
        for command in (("shout@build1", "two", "-x"), ("tools", "terminate", "shout@build1")):
            refused = machine.run(*command)
            assert refused.returncode != 0
            assert "build1 is offline" in refused.stderr


def test_a_message_waits_for_its_machine_if_the_sender_wants_that(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host") as host:
        host.stop()
        until_status(machine, "worker@build1", "offline")
        asking = machine.start("worker@build1", "count 2", "--if-offline", "queue")
        time.sleep(1)
        assert asking.poll() is None
        host.join(url_of(machine))
        output, errors = asking.communicate(timeout=SECONDS)
        assert output.split() == [b"0", b"1"], errors


def test_a_permission_that_is_answered_while_the_machine_is_away_reaches_the_agent(
    machine: Machine, tmp_path: Path
) -> None:
    with joined(machine, tmp_path / "host") as host:
        asking = machine.start("worker@build1", "ask 2")
        until_status(machine, "worker@build1", "blocked")
        host.stop()
        until_status(machine, "worker@build1", "offline")
        answered = machine.run("approve")
        assert answered.returncode == 0, answered.stderr
        assert asking.poll() is None
        host.join(url_of(machine))
        output, errors = asking.communicate(timeout=SECONDS)
        assert output.split() == [b"0", b"1", b"allow"], errors


def test_a_program_that_ends_while_its_machine_is_away_has_its_last_output_and_its_end(
    machine: Machine, tmp_path: Path
) -> None:
    with joined(machine, tmp_path / "host") as host:
        asking = machine.start("box@build1", "sleep 1.5; echo last; exit 3", "-x")
        time.sleep(0.7)
        host.stop()
        time.sleep(1.5)
        host.join(url_of(machine))
        output, errors = asking.communicate(timeout=SECONDS)
        assert b"last" in output, errors
        assert b"3" in errors


def test_revoking_the_token_ends_the_connection_within_five_seconds(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host") as host:
        began = time.monotonic()
        assert machine.rhetor("token", "revoke", "build1").returncode == 0
        host.until("not connected")
        assert time.monotonic() - began < 5
        until_status(machine, "machine:build1", "offline")


def test_another_machine_cannot_take_a_name_until_it_is_removed(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host") as host:
        other = BuildHost(tmp_path / "other", host.token.read_text())
        try:
            other.start(url_of(machine))
            other.until("another machine has joined as build1; give this one a token with another name")
            assert machine.run("shout@build1", "one", "-x").stdout == "one\n"
            host.stop()
            removed = machine.rhetor("machines", "remove", "build1")
            assert removed.returncode == 0, removed.stderr
            other.until("connected to")
        finally:
            other.leave()


def test_removing_a_machine_removes_its_peers(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host") as host:
        assert machine.run("shout@build1", "one", "-x").stdout == "one\n"
        assert machine.rhetor("token", "revoke", "build1").returncode == 0
        assert machine.rhetor("machines", "remove", "build1").returncode == 0
        deadline = time.monotonic() + SECONDS
        while any("build1" in name for name in listed(machine)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "build1" not in machine.rhetor("machines", "list").stdout
        host.stop()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://192.0.2.1:8300", "everybody on the way can read the token"),
        ("ftp://127.0.0.1", "not the URL of a hub"),
        ("127.0.0.1:8300", "not the URL of a hub"),
    ],
)
def test_a_url_that_may_not_be_used_is_rejected(tmp_path: Path, url: str, says: str) -> None:
    host = BuildHost(tmp_path / "host", "x")
    status, said = host.rejected(url)
    assert status == 2
    assert says in said


def test_a_token_file_that_others_can_read_is_rejected(tmp_path: Path) -> None:
    host = BuildHost(tmp_path / "host", "x")
    host.token.chmod(0o644)
    status, said = host.rejected("http://127.0.0.1:1")
    assert status == 2
    assert "other users have access to it" in said


def test_a_program_on_a_machine_gets_neither_a_key_nor_a_path_of_the_hub(
    machine: Machine, tmp_path: Path
) -> None:
    with joined(machine, tmp_path / "host"):
        told = machine.run("box@build1", "env | grep -c RHETOR_", "-x").stdout
        assert told.strip() == "0"
        assert machine.run("box@build1", "pwd", "-x", cwd=tmp_path).stdout.strip() == os.environ.get("HOME")


def test_a_second_rhetor_join_for_the_same_hub_is_rejected(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host") as host:
        status, said = host.rejected(url_of(machine))
        assert status == 2
        assert "is running already" in said


def test_what_joins_is_listed_for_scripts(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host"):
        found = json.loads(machine.rhetor("machines", "list", "--json").stdout)
        assert [(each["name"], each["status"], each["peers"]) for each in found] == [
            ("build1", "online", ["shout@build1", "box@build1", "worker@build1"])
        ]


def test_a_killed_rhetor_join_finds_its_programs_again(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host") as host:
        assert machine.run("box@build1", "x=7", "-x").returncode == 0
        pid = listed(machine)["box@build1"]["pid"]
        host.stop(signal.SIGKILL)
        until_status(machine, "box@build1", "offline")
        host.join(url_of(machine))
        until_status(machine, "box@build1", "idle")
        asked = machine.run("box@build1", "echo $x", "-x")
        assert asked.stdout == "7\n", asked.stderr
        assert listed(machine)["box@build1"]["pid"] == pid


def test_a_turn_can_be_given_up_while_its_machine_is_away(machine: Machine, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "host") as host:
        asking = machine.start("worker@build1", "count 100")
        until_status(machine, "worker@build1", "busy")
        host.stop()
        until_status(machine, "worker@build1", "offline")
        began = time.monotonic()
        asking.send_signal(signal.SIGINT)
        asking.communicate(timeout=SECONDS)
        assert asking.returncode == 130
        assert time.monotonic() - began < 15
        host.join(url_of(machine))
        until_status(machine, "worker@build1", "idle")
