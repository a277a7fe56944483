"""The wheel that `make dist` builds works without the checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from tests.e2e.home import SECONDS, Machine

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv") or str(ROOT / ".tools/bin/uv")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run("make", "--silent", "dist", f"DIST={folder}")
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with only the wheel and the pinned runtime dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    run(UV, "venv", "--quiet", "--offline", "--python", ROOT / ".venv/bin/python", folder)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    link_runtime(packages)
    run(UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", folder, wheel)
    return folder


def link_runtime(packages: Path) -> None:
    """Link the packages pinned in requirements/runtime.txt from this environment, without a download."""
    pins = (ROOT / "requirements/runtime.txt").read_text()
    for name in re.findall(r"^([a-z0-9-]+)==", pins, re.MULTILINE):
        try:
            found = distribution(name)
        except PackageNotFoundError:  # pinned for another platform or version of Python
            continue
        tops = {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}
        for top in tops:
            source, target = Path(str(found.locate_file(top))), packages / top
            if top.endswith(".dist-info"):
                shutil.copytree(source, target)  # uv does not follow links to these
            elif not target.exists():  # of two distributions that share a namespace, the first links it
                target.symlink_to(source)


@pytest.fixture
def machine(installed: Path, tmp_path: Path) -> Iterator[Machine]:
    """A user outside the checkout, whose `aish` and `rhetor` are those of the wheel."""
    made = Machine(tmp_path / "home", installed / "bin")
    made.environment |= {"PATH": f"{made.bin}:/usr/bin:/bin", "HOME": str(tmp_path)}
    yield made
    if (made.folder / "hub.sock").exists():
        made.end_programs()
    made.leave()


def test_the_wheel_contains_every_file_of_the_packages(wheel: Path) -> None:
    source = ROOT / "src"
    files = {
        str(file.relative_to(source))
        for package in ("aish", "rhetor")
        for file in (source / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    assert {name for name in packed if ".dist-info/" not in name} == files
    assert {"aish/py.typed", "rhetor/py.typed"} < files


def test_the_pinned_dependencies_match_those_declared_by_the_wheel(installed: Path) -> None:
    run(UV, "pip", "check", "--quiet", "--offline", "--python", installed)


def test_both_commands_print_the_version_of_the_wheel(machine: Machine, wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    assert machine.run("--version").stdout == f"aish {version}\n"
    assert machine.rhetor("--version").stdout == f"rhetor {version}\n"


@pytest.mark.long
def test_the_installed_shell_pipes_a_message_through_two_peers(machine: Machine, tmp_path: Path) -> None:
    line = 'set -o pipefail; echo "Design a cache" | aish athena | aish apollo'
    ran = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env=machine.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Apollo,") and "Athena," in ran.stdout
    assert machine.run("-c", 'echo "Design a cache" | athena | apollo').stdout.startswith("Apollo,")
    code = "import aish, rhetor; print(aish.__path__[0], rhetor.__path__[0])"
    places = run(machine.bin / "python", "-c", code, cwd=tmp_path)
    assert [Path(place).is_relative_to(machine.bin.parent) for place in places.split()] == [True, True]


def test_the_installed_hub_runs_a_wrapped_program(machine: Machine) -> None:
    assert machine.run("ci-terminal", "-n", "box", "--detach", "--", "bash").returncode == 0
    assert machine.run("box", "-x", "echo $((6 * 7))").stdout == "42\n"
