"""Every command that lists or shows something prints JSON, in one form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import Machine

from aish.catalogue import pages
from aish.catalogue.notation import Form
from aish.catalogue.page import Page

SHOWS = re.compile("List|Show|Search|Count|Say what")
# these show something to a person: a page of help, the screen of a program
FOR_PERSONS = {"help", "tools attach"}
# these do something, and `json` is how they report it, or how something is sent
ACTIONS = {
    "approve",
    "forward",
    "notify test",
    "project forward",
    "schedule run",
    "inbox clear",
    "sessions import",
    "mcp test",
    "models pull",
    "setup",
}
ARGUMENTS = {
    "context show": ["apollo"],
    "explain": ["apollo"],
    "history search": ["needle"],
    "project show": ["site"],
    "route show": ["review"],
    "search": ["needle"],
    "schedule show": ["votes"],
    "sessions checkpoint": ["work"],
    "sessions diff": ["work", "mine"],
    "sessions fork": ["work"],
    "sessions restore": ["work", "mine", "--dry-run"],
    "sessions show": ["work"],
    "sessions timeline": ["work"],
    "specialist show": ["apollo"],
    "tools capabilities": ["codex"],
    "alias show": ["greet"],
    **{key: ["--peer", "apollo"] for key in ("inbox show", "inbox get", "inbox count")},
    "wait": ["apollo", "athena"],
}
LISTS = {
    "history",
    "history search",
    "search",
    "config show",
    "doctor",
    "keys list",
    "models",
    "models list",
    "purpose",
    "tools status",
}
EMPTY = {"console logins", "sockets", "notify list", "mcp list", "models list"}
FAILED = {"doctor": 1}  # if a check fails
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:.*")
SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def with_json() -> dict[str, Page]:
    return {name: page for name, page in pages().items() if any(takes_json(form) for form in page.forms)}


def takes_json(form: str) -> bool:
    return "--json" in Form(form).options


def test_every_command_that_shows_something_takes_json() -> None:
    showing = {name for name, page in pages().items() if page.forms and SHOWS.match(page.purpose)}
    assert showing - set(with_json()) - {"doctor"} == FOR_PERSONS


@pytest.fixture
def used(machine: Machine, tmp_path: Path) -> Machine:
    """A machine whose hub has one of each thing that can be listed."""
    machine.environment |= {
        "RHETOR_MODELS__DEFAULT": "offline",
        "RHETOR_PROJECTS__ROOTS": json.dumps([str(tmp_path)]),
    }
    folder = tmp_path / "site"
    folder.mkdir()
    for line in (
        f"project create site {folder}",
        "session create work --tool apollo",
        "apollo 'a needle' -s=work",
        "session checkpoint work mine",
        "route name review numa apollo",
        "alias create greet 'apollo hello'",
        "context stage apollo 'staged'",
        "forward athena apollo",
        "inbox send apollo 'a note'",
        "inbox send apollo 'another note'",
        "purpose apollo 'reviews'",
        "schedule add votes @daily 'apollo vote'",
    ):
        ran = machine.run("-c", line)
        assert ran.returncode == 0, (line, ran.stderr)
    return machine


@pytest.mark.long
def test_json_of_every_command_has_one_form_and_rfc_3339_times(used: Machine) -> None:
    facts: dict[str, tuple[bool, bool, list[str]]] = {}
    times = 0
    for name, page in with_json().items():
        if name in ACTIONS:
            continue
        form = next(form for form in page.forms if takes_json(form))
        word = "json" if "[json]" in form else "--json"
        ran = used.run(*name.split(), *ARGUMENTS.get(name, []), word)
        assert ran.returncode in (0, FAILED.get(name, 0)), (name, ran.stderr)
        shown = json.loads(ran.stdout)
        is_list = page.purpose.startswith("List") or name in LISTS
        found = list(times_in(shown))
        wrong = [text for text in found if not SECONDS.fullmatch(text)]
        facts[name] = isinstance(shown, list) is is_list, bool(shown) or name in EMPTY, wrong
        assert all(datetime.fromisoformat(text).tzinfo for text in found)
        times += len(found)
    assert {name: each for name, each in facts.items() if each != (True, True, [])} == {}
    assert times > 20


def times_in(value: Any) -> Iterator[str]:
    """Yield all texts in a JSON value that are times."""
    if isinstance(value, str) and TIME.fullmatch(value):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from times_in(each)
