"""The catalogue of commands, compared with the commands that exist and with their documentation."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from aish.catalogue import SAME_COMMANDS, pages, usage_lines
from aish.catalogue.messages import MESSAGE, SHELL
from aish.catalogue.notation import Form
from aish.catalogue.page import Page
from aish.catalogue.text import overview, page_text
from aish.commands import COMMANDS, find_command
from rhetor.domain.grammar import parse_words

ALL = [*pages().values(), MESSAGE, SHELL]
COLUMNS = 80
REFERENCE = Path(__file__).parents[3] / "docs/reference/shell.md"


def options_of(page: Page) -> set[str]:
    return {name for form in page.forms for name in Form(form).options}


def test_every_command_has_a_page_and_every_page_a_command() -> None:
    named = {name.split()[0] for name in pages()}
    assert named == COMMANDS - set(SAME_COMMANDS)
    assert set(SAME_COMMANDS.values()) <= named
    assert all(callable(find_command(name)) for name in COMMANDS)


def test_every_form_begins_with_the_name_of_its_page() -> None:
    for name, page in pages().items():
        assert all(form.split()[: len(name.split())] == name.split() for form in page.forms), name
        assert usage_lines(name)


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_every_option_has_a_purpose_and_every_page_two_examples(page: Page) -> None:
    for form in map(Form, page.forms):
        assert all(page.purpose_of(option) for option in form.options.values())
    assert set(page.options) <= options_of(page)
    assert len(page.examples) == 2
    assert page.purpose.endswith(".") and len(page.purpose) <= 65


def test_help_fits_in_80_columns() -> None:
    texts = [overview(), *map(page_text, pages())]
    assert [line for text in texts for line in text.splitlines() if len(line) > COLUMNS] == []


def test_the_options_of_a_message_are_those_of_the_grammar() -> None:
    values = {
        "--timeout": "1",
        "--if-offline": "queue",
        "-x": None,
        "--execute": None,
        "-s": None,
        "--session": None,
    }
    for name, option in Form(MESSAGE.forms[0]).options.items():
        value = values.get(name, "value") if option.value else None
        options, text = parse_words([name, *([value] if value else []), "--", "text"])
        assert text == "text" and (str(options) or name == "--queue")


def test_the_reference_page_has_every_command_and_option() -> None:
    documented: defaultdict[str, set[str]] = defaultdict(set)
    for line in documented_lines():
        words = line.split()
        name = next((n for n in (" ".join(words[:2]), words[0]) if n in pages()), None)
        assert name or words[0] not in COMMANDS, f"the reference has {line!r}"
        if name:
            documented[name] |= set(Form(line).options)
    expected = {name: options_of(page) for name, page in pages().items() if page.forms}
    assert {name: options for name, options in documented.items() if name in expected} == expected


def documented_lines() -> list[str]:
    """Return the usage lines in the first cells of the reference's tables, each with one subcommand."""
    found: list[str] = []
    for row in REFERENCE.read_text().splitlines():
        if not row.startswith("| `"):
            continue
        cell = re.split(r"(?<!\\)\|", row)[1].replace("\\|", "|")
        for span in re.findall(r"`([^`]+)`", cell):
            line = span.removeprefix("aish ")
            first, _, rest = line.partition(" ")
            second, blank, rest = rest.partition(" ")
            several = second.split("|") if re.fullmatch(r"[a-z|]+", second) else [second]
            found += [f"{SAME_COMMANDS.get(first, first)} {each}{blank}{rest}".strip() for each in several]
    return found
