"""`aish config` and `aish specialist`: changing the configuration of a hub, running or not."""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import Shell
from tests.e2e.home import Machine
from tests.needs import needs
from tests.provider.process import ProviderProcess
from tests.provider.script import Failure as ProviderFault
from tests.provider.script import Script

from rhetor.hub_client import call

pytestmark = pytest.mark.long  # each test starts a hub

FILE = """\
# mine
hub: {port: 0}  # free
models:
  default: offline

# people
specialists:
  penia: null
"""


def configure(machine: Machine, text: str) -> Path:
    machine.folder.mkdir(mode=0o700, exist_ok=True)
    file = machine.folder / "config.yaml"
    file.write_text(text)
    return file


def edit(machine: Machine, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command with an editor that changes the text with sed."""
    return machine.run(*(words or ("config", "edit")), variables={"EDITOR": f"sed -i {script}", "VISUAL": ""})


def rest(machine: Machine, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    return call(machine.folder / "hub.sock", method, path, body)


def test_specialists_are_added_changed_and_removed_in_the_running_hub_and_comments_stay(
    machine: Machine,
) -> None:
    file = configure(machine, FILE)
    assert machine.run("specialist", "add", "critic", "--role", "critic").returncode == 2
    added = machine.run("specialist", "add", "Critic", "--prompt", "You\ncriticize.", "--role=critic")
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout == '✓ Added Critic (model offline); try: aish Critic "hello"\n'
    assert machine.run("critic", "hi").stdout.startswith("Critic, critic (embedded offline model)")
    assert (
        file.read_text()
        == FILE + "  Critic:\n    prompt: |-\n      You\n      criticize.\n    role: critic\n"
    )

    again = machine.run("specialist", "add", "critic", "--prompt", "x")
    assert (again.returncode, again.stderr.splitlines()[0]) == (
        1,
        "aish: a peer called 'critic' already exists",
    )
    assert machine.run("specialist", "add", "team-chat", "--prompt", "x").returncode == 2
    assert edit(machine, "s/criticize/praise/", "specialist", "edit", "critic").returncode == 0
    assert machine.run("specialist", "edit", "apollo", "--role", "poet").returncode == 0
    assert machine.run("specialist", "edit", "apollo", "--model", "nobody/x").returncode == 2
    shown = json.loads(machine.run("specialist", "show", "critic", "json").stdout)
    assert (shown["prompt"], shown["origin"]) == ("You\npraise.", "own")
    rows = [line.split("  ")[0] for line in machine.run("specialist", "list").stdout.splitlines()]
    assert "penia" not in rows and {"apollo", "Critic"} <= set(rows)
    assert machine.run("specialist", "remove", "critic").returncode == 0
    assert machine.run("specialist", "remove", "apollo").stdout == "✓ Removed apollo\n"
    assert machine.run("specialist", "remove", "apollo").returncode == 3
    assert machine.run("apollo", "hi").returncode == 3
    assert file.read_text() == FILE + "  apollo: null\n"
    assert rest(machine, "PATCH", "/api/v2/specialists/athena", {"role": "queen"})[1]["origin"] == "changed"
    assert rest(machine, "PATCH", "/api/v2/specialists/athena", {"role": None})[1]["role"] != "queen"


def test_an_edited_configuration_is_checked_before_it_replaces_the_file(machine: Machine) -> None:
    file = configure(machine, FILE)
    assert machine.run("status").returncode == 5
    unchecked = edit(machine, "s/default:/dflt:/")  # without a hub
    assert (unchecked.returncode, "line 4: models.dflt: there is no such setting" in unchecked.stderr) == (
        2,
        True,
    )
    assert file.read_text() == FILE
    file.write_text(FILE.replace("default:", "dflt:"))
    assert machine.run("apollo", "hi").stderr.endswith("correct the configuration with: aish config edit\n")
    assert edit(machine, "s/dflt:/default:/").returncode == 0
    assert edit(machine, "s/mine/ours/").stdout == f"✓ Wrote {file}\n"
    assert machine.run("status").returncode == 5
    shown = machine.run("config", "show", "models.default", "hub.port").stdout.splitlines()
    assert shown == [f"hub.port: 0  ({file}:2)", f"models.default: offline  ({file}:4)"]
    assert machine.run("config", "path").stdout == f"{file}\n"
    assert machine.run("config", "show", "nothing").returncode == 3

    rejected = edit(machine, "s/offline/openai/")
    assert (rejected.returncode, "models.default: 'openai' is not a model" in rejected.stderr) == (2, True)
    draft = rejected.stderr.split("your text is in ")[1].strip()
    assert "default: openai" in Path(draft).read_text()
    changed = edit(machine, "s/offline/auto/")
    assert changed.stdout == f"✓ Wrote {file}\nin effect now: models.default\n"
    assert edit(machine, "s/none//").stdout == "No changes\n"
    assert machine.run("config", "edit", variables={"EDITOR": "false"}).returncode == 1
    assert machine.run("config", "edit", variables={"EDITOR": "", "VISUAL": ""}).returncode == 2
    restart = edit(machine, "s/'port: 0'/'port: 8'/")
    assert restart.stdout.endswith("in effect when the hub starts again: hub.port\n")
    conflict = edit(machine, f"-e s/ours/x/ -e '1w {file}'")  # somebody else writes while the editor is open
    assert (conflict.returncode, "was changed at the same time" in conflict.stderr) == (1, True)
    for text, code in (("models: {default: offline}\n", 0), ("models: {dflt: 1}\n", 2)):
        replaced = subprocess.run(
            [machine.bin / "rhetor", "config", "replace"],
            input=text,
            env=machine.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (replaced.returncode, file.read_text()) == (code, "models: {default: offline}\n")


def test_an_invalid_configuration_can_be_edited_again_on_a_terminal(machine: Machine) -> None:
    file = configure(machine, FILE)
    # the first time, the editor makes a mistake; the second time, it corrects it
    machine.environment["EDITOR"] = "sed -i -e s/dflt:/default:/ -e t -e s/default:/dflt:/"
    with at_terminal(shell(machine), "config", "edit", columns=300, echo=True, term="xterm") as terminal:
        terminal.wait_for("line 4: models.dflt: there is no such setting; did you mean default?")
        terminal.wait_for("Edit it again? [Y/n] ")
        terminal.type("\n")
        terminal.wait_for("No changes")
        assert terminal.wait_for_end() == 0
    with at_terminal(shell(machine), "config", "edit", columns=300, echo=True, term="xterm") as terminal:
        terminal.wait_for("Edit it again? [Y/n] ")
        terminal.type("n\n")
        terminal.wait_for("nothing was changed; your text is in ")
        assert terminal.wait_for_end() == 2
    assert file.read_text() == FILE


def test_values_are_patched_by_many_at_once_and_an_invalid_patch_changes_nothing(machine: Machine) -> None:
    real = machine.folder / "dotfiles.yaml"
    configure(machine, FILE).rename(real)
    (machine.folder / "config.yaml").symlink_to(real)
    machine.environment["RHETOR_TIMEOUTS__IDLE"] = "7"
    assert machine.run("specialist", "list").returncode == 0
    answers: list[int] = []

    def patch(name: str) -> None:
        body = {"teams": {name: ["athena"]}}
        answers.append(rest(machine, "PATCH", "/api/v2/config", body)[0])

    threads = [threading.Thread(target=patch, args=(f"team{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    found = real.read_text()
    assert all(f"team{n}: [athena]" in found for n in range(8))
    assert "# mine" in found and "# people" in found and (machine.folder / "config.yaml").is_symlink()

    status, told = rest(machine, "PATCH", "/api/v2/config", {"teams": {"team0": ["nobody"]}})
    assert (status, told["code"]) == (422, "invalid_settings")
    assert "teams.team0: no peer is called 'nobody'" in told["detail"]
    assert told["problems"] == [{"key": "teams.team0", "detail": "no peer is called 'nobody'"}]
    status, described = rest(machine, "GET", "/api/v2/config/schema", None)
    settings = {each["key"]: each for each in described["settings"]}
    port = settings["hub.port"]
    assert (status, port["maximum"], port["needs_restart"]) == (200, 65535, True)
    bodies: list[dict[str, Any]] = [{"hub": {"prot": 1}}, {"hubb": {}}, {"hub": 1}]
    for body in bodies:
        assert rest(machine, "PATCH", "/api/v2/config", body)[0] == 422
    assert real.read_text() == found
    status, told = rest(machine, "PATCH", "/api/v2/config", {"timeouts": {"idle": 9}, "teams": None})
    assert (status, told["changed"][:1]) == (200, ["teams.team0"])
    assert told["overridden"] == [{"key": "timeouts.idle", "variable": "RHETOR_TIMEOUTS__IDLE"}]
    assert "teams" not in real.read_text()

    real.write_text("hub: [\n")  # a person has broken the file
    assert rest(machine, "PATCH", "/api/v2/config", {"teams": {"a": []}})[0] == 422
    assert real.read_text() == "hub: [\n"
    assert machine.run("athena", "hi").returncode == 0


def shell(machine: Machine) -> Shell:
    found = Shell(machine.folder, machine.folder)
    found.environment = dict(machine.environment)
    return found


def authorizations(provider: ProviderProcess) -> list[str]:
    """Return the keys of the requests with messages."""
    found = [each["headers"].get("authorization", "") for each in provider.calls() if each["body"]]
    provider.forget()
    return found


def test_keys_are_read_from_stdin_or_a_hidden_prompt_and_used_by_the_running_hub(machine: Machine) -> None:
    answer = Script(chunks=("four",))
    with ProviderProcess("--key", "", "--model", "small") as provider:
        provider.script(default=answer)
        file = f"hub: {{port: 0}}\nproviders:\n  box: {{base_url: '{provider.url}/v1'}}\n"
        configure(machine, f"{file}models: {{default: box/small}}\n")
        assert machine.run("apollo", "2+2?").stdout == "four\n"
        assert authorizations(provider) == [""]
        stored = machine.run("keys", "set", "box", stdin="sk-canary-1\n")
        assert (stored.stdout, stored.stderr) == ("✓ Stored the key of box in the hub's file api-keys\n", "")
        assert machine.run("apollo", "2+2?").stdout == "four\n"
        assert authorizations(provider) == ["Bearer sk-canary-1"]
        with at_terminal(shell(machine), "keys", "set", "box") as terminal:
            terminal.wait_for("API key of box (not shown): ")
            terminal.type("sk-canary-2\n")
            assert terminal.wait_for_end() == 0
            assert "canary" not in terminal.screen
        assert machine.run("shutdown").returncode == 0
        assert machine.run("apollo", "2+2?").stdout == "four\n"
        assert authorizations(provider) == ["Bearer sk-canary-2"]

        word = machine.run("keys", "set", "box", "sk-canary-3")
        assert (word.returncode, "canary" in word.stderr) == (2, False)
        assert machine.run("keys", "set", "nobody", stdin="k").returncode == 3
        for given in ("", "two words"):
            assert machine.run("keys", "set", "box", stdin=given).returncode == 2
        rows = {each["name"]: each for each in json.loads(machine.run("keys", "list", "json").stdout)}
        assert (rows["box"]["stored"], rows["box"]["source"]) == ("file", "stored")
        assert (rows["openai"]["stored"], rows["openai"]["source"]) == (None, None)
        owned = machine.run("keys", variables={"OPENAI_API_KEY": "sk-canary-4"}).stdout
        assert "openai      OPENAI_API_KEY\n" in owned and "canary" not in owned
        assert machine.run("keys", "remove", "box").returncode == 0
        assert machine.run("keys", "remove", "box").returncode == 3
        assert machine.run("apollo", "2+2?").stdout == "four\n"
        assert authorizations(provider) == [""]
    for path in machine.folder.rglob("*"):
        assert path.is_dir() or path.is_socket() or b"canary" not in path.read_bytes(), path


@pytest.fixture
def keyring(machine: Machine, tmp_path: Path) -> Iterator[Callable[[], list[str]]]:
    """The keyring of a desktop session, in which the machine's programs are. It returns the secrets that the
    hub keeps there."""
    bus, daemon = needs("dbus-daemon"), needs("gnome-keyring-daemon")
    (tmp_path / "run").mkdir(mode=0o700)
    machine.environment |= {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    with contextlib.ExitStack() as started:
        begin = functools.partial(_begin, started, machine)
        running = begin(bus, "--session", "--nofork", "--print-address")
        assert running.stdout is not None
        machine.environment["DBUS_SESSION_BUS_ADDRESS"] = running.stdout.readline().decode().strip()
        unlocked = begin(daemon, "--unlock", "--foreground", "--components=secrets")
        assert unlocked.stdin is not None
        unlocked.stdin.write(b"secret")
        unlocked.stdin.close()

        def kept() -> list[str]:
            ran = subprocess.run(
                [sys.executable, "-c", KEPT], env=machine.environment, capture_output=True, check=True
            )
            return ran.stdout.decode().split()

        yield kept


def _begin(started: contextlib.ExitStack, machine: Machine, *command: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=machine.environment,
    )
    started.enter_context(process)
    started.callback(process.terminate)
    return process


KEPT = """
import secretstorage
found = secretstorage.search_items(secretstorage.dbus_init(), {"service": "rhetor api key"})
for item in found:
    print(item.get_secret().decode())
"""


def test_keys_are_kept_in_the_keyring_of_the_system_and_are_in_no_list_of_processes(
    machine: Machine, keyring: Callable[[], list[str]]
) -> None:
    seen: set[bytes] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.02):
            for path in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    seen.add((path / "cmdline").read_bytes())
                    seen.add((path / "environ").read_bytes())

    with ProviderProcess("--key", "", "--model", "small") as provider:
        provider.script(default=Script(chunks=("four",), key="sk-keyring-1"))
        file = f"hub: {{port: 0}}\nproviders:\n  box: {{base_url: '{provider.url}/v1'}}\n"
        configure(machine, f"{file}models: {{default: box/small}}\n")
        assert machine.run("apollo", "2+2?").returncode == 1  # there is no key yet
        looking = threading.Thread(target=look)
        looking.start()
        try:
            stored = machine.run("keys", "set", "box", stdin="sk-keyring-1\n")
            assert (stored.stdout, stored.stderr) == ("✓ Stored the key of box in the keyring\n", "")
            assert machine.run("apollo", "2+2?").stdout == "four\n"
            machine.kill_hub()
            assert machine.run("apollo", "2+2?").stdout == "four\n"
        finally:
            is_over.set()
            looking.join()
        assert any(b"keys\0set\0box" in each for each in seen)
        assert not any(b"sk-keyring" in each for each in seen)
        assert keyring() == ["sk-keyring-1"]
        rows = {each["name"]: each for each in json.loads(machine.run("keys", "list", "json").stdout)}
        assert (rows["box"]["stored"], rows["box"]["source"]) == ("keyring", "stored")
        listed = machine.run("keys", "list").stdout
        assert "in the keyring since " in listed and "sk-keyring" not in listed
        for path in machine.folder.rglob("*"):
            assert path.is_dir() or path.is_socket() or b"sk-keyring" not in path.read_bytes(), path
        assert machine.run("keys", "remove", "box").returncode == 0
        assert keyring() == []
        assert machine.run("apollo", "2+2?").returncode == 1


def test_setup_reports_without_a_terminal_and_chooses_once(machine: Machine) -> None:
    with ProviderProcess("--key", "", "--model", "small") as server:
        machine.environment["OLLAMA_HOST"] = server.url.removeprefix("http://")
        file = configure(machine, "# mine\nhub: {port: 0}\n")
        told = machine.run("setup")
        assert told.returncode == 0
        assert "✓ ollama/small answers in " in told.stdout
        assert "– no API key: openrouter, anthropic, openai\n" in told.stdout
        assert "run: aish setup --yes" in told.stdout
        assert file.read_text() == "# mine\nhub: {port: 0}\n"
        for _ in range(2):
            assert machine.run("setup", "--yes").returncode == 0
            assert file.read_text() == "# mine\nhub: {port: 0}\nmodels:\n  default: ollama/small\n"
        assert machine.run("apollo", "hi").stdout != ""
        found = json.loads(machine.run("setup", "json").stdout)
        trials = {each["name"]: each["trial"] for each in found["candidates"]}
        assert (found["default"], trials["ollama"]["ok"], trials["openai"]) == ("ollama/small", True, None)
        server.script(default=Script(failure=ProviderFault(status=500)))
        broken = machine.run("setup", "--yes")
        assert (broken.returncode, "✗ ollama/small: " in broken.stdout) == (1, True)
        assert "Nothing can answer yet" in broken.stdout
        assert file.read_text().endswith("default: ollama/small\n")
    assert machine.run("setup", "--no").returncode == 2


def test_setup_asks_in_a_terminal_of_any_size_and_stores_a_key_on_the_way(machine: Machine) -> None:
    with (
        ProviderProcess("--key", "", "--model", "small") as server,
        ProviderProcess("--key", "sk-right-1", "--model", "large") as provider,
    ):
        machine.environment["OLLAMA_HOST"] = server.url.removeprefix("http://")
        boxes = f"providers:\n  box: {{base_url: '{provider.url}/v1'}}  # ours\n"
        file = configure(machine, f"hub: {{port: 0}}\n{boxes}")
        for columns, rows in ((40, 15), (80, 24), (200, 50)):
            with at_terminal(shell(machine), "setup", columns=columns, rows=rows, term="xterm") as terminal:
                terminal.wait_for_rows("  1  ollama/small", "  k  store an API key", "  q  quit", "[1]")
                assert any(row.startswith("✗ box: box refused the request") for row in terminal.all_rows)
                assert all(len(row) <= columns for row in terminal.all_rows)
                terminal.type("7\n")
                terminal.wait_for("Type a number from 1 to 1, k or q.")
                terminal.resize(rows - 2, columns - 4)
                terminal.type("k\n")
                terminal.wait_for("Which provider (box, openrouter, anthropic, openai)? ")
                terminal.type("box\n")
                terminal.wait_for("API key of box (not shown): ")
                terminal.type("sk-right-1\n")
                terminal.wait_for_rows("  2  box/large", "  k  store an API key", "  q  quit", "[1]")
                terminal.type("2\n")
                assert terminal.wait_for_end() == 0
                assert all(len(row) <= columns for row in terminal.all_rows)
                assert "sk-right" not in terminal.screen
            assert file.read_text() == f"hub: {{port: 0}}\n{boxes}models:\n  default: box/large\n"
            if rows != 50:
                assert rest(machine, "PATCH", "/api/v2/config", {"models": None})[0] == 200
                assert machine.run("keys", "remove", "box").returncode == 0
        with at_terminal(shell(machine), "setup", term="xterm") as terminal:
            terminal.wait_for_rows("  2  ollama/small", "  k  store an API key", "  q  quit", "[1]")
            terminal.type("\x04")
            assert terminal.wait_for_end() == 0
            terminal.wait_for("Nothing was written")
