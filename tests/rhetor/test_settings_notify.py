"""The section `notify:` of the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rhetor.errors import InvalidSettings
from rhetor.settings import NotifySettings, Settings, notify_secrets, origins, read_settings, recipients_of
from tests.hostile.attacks.test_urls import NEVER

EXAMPLE = """
notify:
  - kind: webhook
    url: https://hooks.example.com/services/T0123456789ABCDEF
    secret_env: HOOK_KEY
    on: [permission.asked, turn.failed]
  - {kind: ntfy, name: phone, url: "http://127.0.0.1:8080/my-topic-1", on: [turn.completed], after: 300}
  - {kind: command, command: [notify-me, --token, abcdefgh1], on: [budget, quota.paused, peer.stuck]}
  - {kind: desktop, on: [peer.stuck]}
"""


def read(folder: Path, text: str) -> Settings:
    (folder / "config.yaml").write_text(text)
    return read_settings(folder / "config.yaml")


def test_entries_are_read_with_on_as_a_plain_key_and_named_after_their_kinds(tmp_path: Path) -> None:
    found = [recipient for recipient, _ in recipients_of(read(tmp_path, EXAMPLE))]
    assert [(each.name, each.kind, sorted(each.on), each.after) for each in found] == [
        ("webhook", "webhook", ["permission.asked", "turn.failed"], 0),
        ("phone", "ntfy", ["turn.completed"], 300),
        ("command", "command", ["budget", "peer.stuck", "quota.paused"], 0),
        ("desktop", "desktop", ["peer.stuck"], 0),
    ]


def test_a_variable_sets_the_whole_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHETOR_NOTIFY", '[{"kind": "desktop", "on": ["turn.failed"]}]')
    assert read(tmp_path, EXAMPLE).notify == (NotifySettings("desktop", ("turn.failed",)),)


HOOK = "kind: webhook, url: https://x.example, secret_env: K"


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ("{kind: desktop, on: []}", "notify.0: on must name a type of events"),
        ("{kind: desktop}", "notify.0: missing key `on`"),
        ("{kind: pager, on: [budget]}", "notify.0.kind: must be webhook, command, ntfy or desktop"),
        ("{kind: desktop, on: [turn.faild]}", "notify.0.on.0: must be permission.asked, turn.failed"),
        ("{kind: desktop, on: [budget], onn: 1}", "notify.0.onn: there is no such setting; did you mean on?"),
        ("{kind: webhook, secret_env: K, on: [budget]}", "notify.0: a webhook needs a url"),
        ("{kind: webhook, url: https://x.example, on: [budget]}", "notify.0: a webhook needs secret_env"),
        ("{kind: webhook, url: ftp://x, secret_env: K, on: [budget]}", "notify.0.url: must be a URL that"),
        (f"{{{HOOK}, command: [x], on: [budget]}}", "notify.0: a webhook has no command"),
        (f"{{{HOOK}, on: [budget], after: 5}}", "notify.0: after applies to turn.completed"),
        (f"{{{HOOK}, on: [turn.completed], after: -5}}", "notify.0.after: must be a number of at least 0"),
        ("{kind: command, on: [budget]}", "notify.0: a command needs a command"),
        ("{kind: command, command: notify-me, on: [budget]}", "notify.0.command: must be a list"),
        ("{kind: desktop, secret_env: K, on: [budget]}", "notify.0: a desktop has no secret_env"),
        ("{kind: desktop, allow_private: true, on: [budget]}", "notify.0: a desktop has no allow_private"),
        ("{kind: ntfy, url: http://192.168.1.2/x, on: [budget]}", "allow; set allow_private: true"),
        ("{kind: ntfy, url: http://169.254.169.254/x, allow_private: true, on: [budget]}", "does not allow"),
        ("{kind: ntfy, url: 'http://me:pw@x.example/x', on: [budget]}", "must not contain credentials"),
        ("{kind: desktop, on: [budget]}, {kind: desktop, on: [budget]}", "notify.1: the name desktop is"),
        ("{kind: desktop, name: a b, on: [budget]}", "notify.0.name: must be a name"),
    ],
)
def test_an_invalid_entry_is_rejected_with_its_key(tmp_path: Path, entries: str, why: str) -> None:
    with pytest.raises(InvalidSettings) as rejected:
        read(tmp_path, f"notify: [{entries}]")
    detail = rejected.value.detail
    assert detail.startswith(f"{tmp_path / 'config.yaml'}: line 1: ") and why in detail
    assert "pw" not in detail


@pytest.mark.parametrize("url", NEVER)
def test_a_url_that_is_never_called_is_rejected(tmp_path: Path, url: str) -> None:
    entry = {"kind": "ntfy", "url": url, "allow_private": True, "on": ["budget"]}
    with pytest.raises(InvalidSettings, match=r"notify\.0\.url: "):
        read(tmp_path, json.dumps({"notify": [entry]}))


def test_secrets_are_known_for_masking_and_are_not_shown(tmp_path: Path) -> None:
    settings = read(tmp_path, EXAMPLE)
    assert set(notify_secrets(settings, {"HOOK_KEY": "a long key 1", "OTHER": "no"})) == {
        "T0123456789ABCDEF",
        "my-topic-1",
        "abcdefgh1",
    }
    assert "Secret-Key-1" in notify_secrets(settings, {"HOOK_KEY": "Secret-Key-1"})
    shown = str(origins(settings, tmp_path / "config.yaml"))
    for secret in ("T0123456789ABCDEF", "my-topic-1", "abcdefgh1"):
        assert secret not in shown
    assert "https://hooks.example.com/(masked)" in shown
