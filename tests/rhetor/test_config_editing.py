"""Changing values in the text of a configuration file, which otherwise stays as it is."""

from __future__ import annotations

import difflib
import fcntl
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rhetor.errors import InvalidSettings
from rhetor.settings.editing import Change, NotEditable, changes_of, edited
from rhetor.settings.file_text import TextChanged, replace_text
from tests.scale import scaled

FILE = """\
# our hub
hub: {host: 127.0.0.1,   port: 8300}   # where
providers:                       # each: kind
    box:
        kind: 'openai'   # why
        base_url: http://x

models:
  default: auto
  fallbacks:
  - local/a   # first
  - local/b

# The specialists of our team
specialists:
  apollo: null
  hades:
  # between
  zeus:
    prompt: |
      You are Zeus.

      Two paragraphs.


# Limits that ops asked for
limits:
  hops: 4
"""


def patched(text: str, patch: dict[str, Any]) -> str:
    return edited(text, changes_of(patch, yaml.safe_load(text) or {}))


def difference(before: str, after: str) -> list[str]:
    """Return the lines that were removed and added."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("patch", "lines"),
    [
        ({"models": {"default": "a/b"}}, ["-   default: auto", "+   default: a/b"]),
        ({"models": {"fallbacks": ["a/b"]}}, ["+   fallbacks: [a/b]"]),
        ({"models": {"agents": ["codex"]}}, ["+   agents: [codex]"]),
        ({"hub": {"port": 0}}, ["+ hub: {host: 127.0.0.1,   port: 0}   # where"]),
        ({"hub": {"port": None}}, ["+ hub: {host: 127.0.0.1}   # where"]),
        ({"hub": {"host": None}}, ["+ hub: {port: 8300}   # where"]),
        ({"hub": {"idle_exit": 5}}, ["+ hub: {host: 127.0.0.1,   port: 8300, idle_exit: 5}   # where"]),
        ({"providers": {"box": {"kind": "a, b # c"}}}, ["+         kind: 'a, b # c'   # why"]),
        ({"providers": {"box": {"key": "yes"}}}, ["+         key: 'yes'"]),
        ({"providers": {"box": None}}, ["+     {}"]),
        ({"specialists": {"zeus": None}}, []),
        ({"specialists": {"hades": {"role": "x"}}}, ["+     role: x"]),
        (
            {"specialists": {"hera": {"prompt": "a\nb"}}},
            ["+   hera:", "+     prompt: |-", "+       a", "+       b"],
        ),
        ({"specialists": {"zeus": {"role": "god"}}}, ["+     role: god"]),
        ({"specialists": {"zeus": {"prompt": "x"}}}, ["+     prompt: x"]),
        ({"specialists": {"apollo": {}}}, ["-   apollo: null", "+   apollo: {}"]),
        ({"limits": None}, ["- limits:", "-   hops: 4"]),
        ({"limits": {"hops": None}}, ["-   hops: 4", "+   {}"]),
        ({"new": {"a": {"b": [1, "2", True]}}}, ["+ new:", "+   a:", "+     b: [1, '2', true]"]),
    ],
)
def test_only_the_changed_entry_is_written_differently(patch: dict[str, Any], lines: list[str]) -> None:
    after = patched(FILE, patch)
    found = difference(FILE, after)
    assert [line for line in lines if line not in found] == []
    assert [line for line in found if line[0] == "+" and line not in lines] == []
    comments = [
        "# our hub",
        "# where",
        "# The specialists of our team",
        "# between",
        "# Limits that ops asked for",
    ]
    assert all(comment in after for comment in comments)


def test_a_new_entry_stands_before_the_comment_of_the_next_section() -> None:
    after = patched(FILE, {"models": {"agents": ["codex"]}})
    assert "  - local/b\n  agents: [codex]\n\n# The specialists of our team\n" in after


def test_a_removed_entry_leaves_the_comment_of_the_next_section() -> None:
    after = patched(FILE, {"specialists": {"zeus": None}})
    assert after.endswith("  hades:\n  # between\n\n\n# Limits that ops asked for\nlimits:\n  hops: 4\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a:\n  b: 1\n"),
        ("# nothing yet", "# nothing yet\na:\n  b: 1\n"),
        ("---\n# nothing yet\n", "---\n# nothing yet\na:\n  b: 1\n"),
        ("x: 1", "x: 1\na:\n  b: 1\n"),
        ("x: 1\r\n# c\r\n", "x: 1\r\na:\r\n  b: 1\r\n# c\r\n"),
        ("a:\nx: 2\n", "a:\n  b: 1\nx: 2\n"),
        ("a:  # why\nx: 2\n", "a:  # why\n  b: 1\nx: 2\n"),
        ("a: {}\n", "a: {b: 1}\n"),
        ("a: {c: 2,}  # d\n", "a: {c: 2, b: 1,}  # d\n"),
        ("a: {\n  c: 2  # d\n}\n", "a: {\n  c: 2, b: 1  # d\n}\n"),
        ("\ufeffa: {c: 😀} # é\n", "\ufeffa: {c: 😀, b: 1} # é\n"),
        ("a:\n    'c': |+\n      x\n\nz: 1\n", "a:\n    'c': |+\n      x\n\n    b: 1\nz: 1\n"),
        ("a:\n  c: |\n    x\n\nz: 1\n", "a:\n  c: |\n    x\n  b: 1\n\nz: 1\n"),
        ("a:\n  c: [1,\n    2]  # d\n", "a:\n  c: [1,\n    2]  # d\n  b: 1\n"),
        ("q: &q {w: 1}\na:\n  c: *q  # d\nz: 1\n", "q: &q {w: 1}\na:\n  c: *q  # d\n  b: 1\nz: 1\n"),
    ],
)
def test_an_entry_is_added_to_files_of_every_form(text: str, expected: str) -> None:
    assert patched(text, {"a": {"b": 1}}) == expected


@pytest.mark.parametrize(
    ("text", "patch"),
    [
        ("q: &q {b: 1}\na: *q\n", {"a": {"b": 2}}),  # an alias, whose value is at another place
        ("q: &q {b: 1}\na: *q\n", {"q": {"b": 2}}),  # would change the alias, too
        ("q: &q {b: 1}\na: {<<: *q}\n", {"a": {"b": None}}),
        ("q: &q {b: 1}\na: *q\n", {"q": 1}),
    ],
)
def test_an_entry_that_others_depend_on_is_left_to_a_person(text: str, patch: dict[str, Any]) -> None:
    with pytest.raises(NotEditable, match="aish config edit"):
        patched(text, patch)


def test_an_invalid_file_and_too_many_changes_are_rejected() -> None:
    with pytest.raises(InvalidSettings):
        edited("a: [", [Change(("b",), 1)])
    with pytest.raises(InvalidSettings):
        edited("", [Change((f"k{n}",), 1) for n in range(1001)])


def test_null_in_a_patch_removes_what_is_there_and_nothing_else() -> None:
    assert changes_of({"a": {"b": None, "c": 1}, "d": None}, {"a": {"b": 2}}) == [
        Change(("a", "b"), removes=True),
        Change(("a", "c"), 1),
    ]
    assert changes_of({"a": 1, "b": 1.0}, {"a": 1, "b": 1}) == [Change(("b",), 1.0)]


KEYS = st.sampled_from(["a", "b", "c:d", "no", "1", "é ", "# x", "- y", "{z"])
UNUSUAL = [
    "a\nb\n",
    "\x85",
    "a\u2028b",
    "\n",
    " x",
    "x ",
    "a\n\n b\n",
    "yes",
    "1e3",
    "~",
    "a: b",
    "a #b",
    "'",
    '"',
    "\t\n",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(UNUSUAL)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
TREES = st.dictionaries(KEYS, VALUES, max_size=4)


@pytest.mark.long
@settings(max_examples=scaled(500, 100), deadline=None)
@given(TREES, TREES, st.booleans(), st.booleans(), st.sampled_from([2, 4]))
def test_any_patch_gives_the_patched_values_or_is_rejected(
    before: dict[str, Any], patch: dict[str, Any], flow: bool, comments: bool, indent: int
) -> None:
    style = None if flow else False
    text = yaml.safe_dump(before, default_flow_style=style, allow_unicode=True, indent=indent)
    values = yaml.safe_load(text)
    assume(values == before)  # PyYAML itself changes a few rare line ends
    if comments and not flow:
        text = "# top\n" + text + "# end\n"
    changes = changes_of(patch, values)
    after = edited(text, changes)
    assert changes_of(patch, yaml.safe_load(after) or {}) == []
    if comments and not flow:
        assert after.startswith("# top\n") and "# end\n" in after


def test_a_text_of_empty_lines_needs_no_end_of_the_document() -> None:
    for text in ("\n", "a\n\n"):
        after = patched("x: null\n", {"x": text, "y": 1})
        assert (yaml.safe_load(after), "..." in after) == ({"x": text, "y": 1}, False)


def test_programs_that_replace_the_file_by_other_paths_take_turns(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "link" / "config.yaml"
    real.write_text("a: 1\n")
    link.parent.mkdir()
    link.symlink_to(real)
    replace_text(link, "a: 1\n", "a: 2\n")
    assert (real.read_text(), link.is_symlink()) == ("a: 2\n", True)
    with (tmp_path / ".real.yaml.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in (link, real):
            with pytest.raises(TextChanged):
                replace_text(path, "a: 2\n", "a: 3\n")
    (tmp_path / ".real.yaml.lock").unlink()
    (tmp_path / ".real.yaml.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidSettings, match="cannot be changed"):
        replace_text(real, "a: 2\n", "a: 3\n")
    assert not (tmp_path / "elsewhere").exists()
