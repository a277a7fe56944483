"""Replacing the text of the configuration file: as a whole or not at all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from rhetor.errors import InvalidSettings
from rhetor.settings import HubSettings, Settings, Source, origins
from rhetor.settings.file_text import TextChanged, read_text, replace_text
from rhetor.transports.rest.bodies import ConfigBody

OLD, NEW = "# é\r\nhub: {}\r\n", "hub: {port: 0}\n"


def names(folder: Path) -> set[str]:
    """The files in a folder, without the locks."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_text_is_replaced_and_the_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(OLD.encode())
    path.chmod(0o640)
    assert read_text(path) == OLD
    replace_text(path, OLD, NEW)
    assert (read_text(path), path.stat().st_mode & 0o777, names(tmp_path)) == (NEW, 0o640, {"config.yaml"})


def test_a_new_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    assert read_text(path) == ""
    replace_text(path, "", NEW)
    assert (read_text(path), path.stat().st_mode & 0o777) == (NEW, 0o600)


def test_a_link_stays_a_link_and_the_file_that_it_leads_to_is_replaced(tmp_path: Path) -> None:
    place, path = tmp_path / "dotfiles" / "rhetor.yaml", tmp_path / "config.yaml"
    place.parent.mkdir()
    place.write_text("hub: {}\n")
    path.symlink_to(Path("dotfiles") / "rhetor.yaml")
    replace_text(path, "hub: {}\n", NEW)
    assert (path.is_symlink(), place.read_text()) == (True, NEW)
    assert names(place.parent) == {"rhetor.yaml"}


def test_what_somebody_else_has_written_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("hub: {port: 1}\n")
    with pytest.raises(TextChanged):
        replace_text(path, "", NEW)
    assert path.read_text() == "hub: {port: 1}\n"


def test_a_file_that_cannot_be_replaced_keeps_its_text(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.symlink_to(tmp_path / "missing" / "config.yaml")
    with pytest.raises(InvalidSettings, match=r"config\.yaml: cannot be changed: "):
        replace_text(path, "", NEW)
    folder = tmp_path / "folder" / "config.yaml"
    folder.mkdir(parents=True)
    with pytest.raises(InvalidSettings, match="Is a directory"):
        replace_text(folder, "", NEW)
    with pytest.raises(InvalidSettings, match="cannot be read"):
        read_text(folder)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_process_that_is_killed_while_it_writes_leaves_the_old_text(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("hub: {}\n")

    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        monkeypatch.setattr(os if call == "fsync" else Path, call, killed)
        replace_text(path, "hub: {}\n", NEW)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.read_text() == "hub: {}\n"
    replace_text(path, "hub: {}\n", NEW)  # what is left does not matter
    assert (path.read_text(), names(tmp_path)) == (NEW, {"config.yaml"})


def test_a_text_is_read_in_place_of_the_file_and_its_errors_name_the_line(tmp_path: Path) -> None:
    source = Source(tmp_path / "config.yaml", {"port": None})
    source.path.write_text("hub: {port: 1}\n")
    assert source.read().hub == HubSettings(port=1)
    assert source.read("hub: {port: 2}\n").hub.port == 2
    with pytest.raises(InvalidSettings, match=r"config\.yaml: line 2: hub\.prot: there is no such setting"):
        source.read("hub:\n  prot: 2\n")
    assert str(source.invalid(("hub", "port"), "is taken", "\n\nhub: {port: 2}\n").detail).endswith(
        "config.yaml: line 3: hub.port: is taken"
    )


def test_secrets_in_arguments_urls_and_variables_are_masked_where_the_settings_are_shown(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "mcp_servers:\n"
        "  a: {command: [run, --token, sesame1], env: {X: sesame2}}\n"
        "  b: {url: 'https://example.org/mcp?api_key=sesame3'}\n"
        "tools: {box: {executable: cat, args: ['--api-key=sesame4'], env: {Y: sesame5}}}\n"
    )
    shown = {key: value for key, value, _ in origins(Source(path).read(), path)}
    assert "sesame" not in str(shown)
    assert shown["mcp_servers.a.command"] == ["run", "--token", "(masked)"]


def test_every_section_of_the_settings_can_be_patched() -> None:
    assert sorted(ConfigBody.__struct_fields__) == sorted(Settings.__struct_fields__)
