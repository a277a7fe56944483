"""The master key comes from a file, the keyring or a command; each failure says what to do."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from rhetor.errors import KeysUnavailable
from rhetor.sealing import master
from rhetor.sealing.ring import Ring
from tests.needs import needs

KEY = "0123456789abcdef" * 4


def command(tmp_path: Path, script: str) -> str:
    path = tmp_path / "prints a key"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return f"command:'{path}'"


@pytest.mark.parametrize("printed", [KEY, f"  {KEY}\n\n", base64.b64encode(bytes.fromhex(KEY)).decode()])
def test_a_command_may_print_the_key_in_hex_or_base64(tmp_path: Path, printed: str) -> None:
    setting = command(tmp_path, f"printf %s '{printed}'")
    sealed = Ring(tmp_path, setting).seal(b"content", b"place")
    assert Ring(tmp_path, f"command:echo {KEY}").open(sealed, b"place") == b"content"
    assert not (tmp_path / "master.key").exists()


def test_a_command_is_run_without_a_shell(tmp_path: Path) -> None:
    with pytest.raises(KeysUnavailable, match=r"contains no key"):
        Ring(tmp_path, f"command:echo {KEY}; touch {tmp_path}/made").seal(b"x", b"place")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "failed with exit status 3; run it in a terminal to see why"),
        ("echo", "contains no key: 256 bits as 64 hexadecimal digits"),
        ("echo secret", "contains no key"),
    ],
)
def test_a_command_that_prints_no_key_is_explained(tmp_path: Path, script: str, reason: str) -> None:
    with pytest.raises(KeysUnavailable, match=reason) as caught:
        Ring(tmp_path, command(tmp_path, script)).seal(b"x", b"place")
    assert "secret" not in caught.value.detail
    assert not (tmp_path / "keys.json").exists()


def test_a_missing_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeysUnavailable, match=r"cannot be run: No such file or directory"):
        Ring(tmp_path, "command:/nowhere/at-all").seal(b"x", b"place")


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master, "COMMAND_SECONDS", 0.1)
    with pytest.raises(KeysUnavailable, match=r"did not end within 0.1 s"):
        Ring(tmp_path, command(tmp_path, "exec sleep 60")).seal(b"x", b"place")


class InMemory(keyring.backend.KeyringBackend):
    """A back end of the library that keeps passwords in memory."""

    priority = 1

    def __init__(self) -> None:
        self.passwords: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("the collection is locked")
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.passwords[service, username] = password


@pytest.fixture
def in_memory() -> Iterator[InMemory]:
    before, backend = keyring.get_keyring(), InMemory()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


def test_the_keyring_keeps_the_master_key(tmp_path: Path, in_memory: InMemory) -> None:
    sealed = Ring(tmp_path, "keyring").seal(b"content", b"place")
    assert Ring(tmp_path, "keyring").open(sealed, b"place") == b"content"
    assert [service for service, _ in in_memory.passwords] == ["rhetor"]
    assert not (tmp_path / "master.key").exists()


def test_two_state_folders_have_keys_of_their_own(tmp_path: Path, in_memory: InMemory) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        Ring(tmp_path / name, "keyring").seal(b"content", b"place")
    assert len(set(in_memory.passwords.values())) == 2


def test_a_keyring_that_lost_the_key_is_explained(tmp_path: Path, in_memory: InMemory) -> None:
    Ring(tmp_path, "keyring").seal(b"content", b"place")
    in_memory.passwords.clear()
    with pytest.raises(KeysUnavailable, match=r"has no password for service rhetor, user [0-9a-f]{16}"):
        Ring(tmp_path, "keyring").load()
    assert in_memory.passwords == {}


def test_a_locked_keyring_is_explained(tmp_path: Path, in_memory: InMemory) -> None:
    Ring(tmp_path, "keyring").seal(b"content", b"place")
    in_memory.is_locked = True
    with pytest.raises(KeysUnavailable, match=r"the collection is locked.*; unlock it"):
        Ring(tmp_path, "keyring").load()


SECRET_SERVICE = """
import sys
from pathlib import Path
import keyring
from rhetor.sealing.ring import Ring
folder = Path(sys.argv[1])
sealed = Ring(folder, "keyring").seal(b"content", b"place")
assert Ring(folder, "keyring").open(sealed, b"place") == b"content"
print(type(keyring.get_keyring()).__module__)
"""


@pytest.mark.long
def test_a_secret_service_keeps_the_master_key(tmp_path: Path) -> None:
    needs("gnome-keyring-daemon")
    needs("dbus-run-session")
    script = tmp_path / "use.py"
    script.write_text(SECRET_SERVICE)
    run = (
        "printf secret | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1 && "
        f"exec '{sys.executable}' '{script}' '{tmp_path}'"
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", run],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "keyring.backends.SecretService\n"), done.stderr
