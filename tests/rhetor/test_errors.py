"""Every error says what to do next: in its detail, or in a hint."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import rhetor
from rhetor.errors import ProviderFailed, RhetorError, TurnFailure

# the errors whose details say all that can be said: what is wrong with the request, or what the program
# reported
EXPLAINED = {
    "malformed",
    "unprocessable",
    "too_large",
    "too_many_values",
    "head_too_large",
    "method_not_allowed",
    "unsupported_media",
    "request_timeout",
    "unknown_peer",
    "no_capable_peer",
    "unknown_team",
    "not_found",
    "budget_configured",
    "invalid_backup",
    "not_backed_up",
    "not_moved",
    "not_exported",
    "no_audit",
    "no_hub",
    "request_rejected",
    "not_noted",
    "team_configured",
    "tool_server_configured",
    "answer_timeout",
    "text_only",
    "transcript_unreadable",
    "too_many_attempts",
    "conflict",
    "malformed_cursor",
    "position_lost",  # a client handles it by `outcome`
    "no_database_file",  # it says what to do instead
    "keys_unavailable",  # it has many causes, and each says what to do
    "store_damaged",  # the start of the hub handles it
    "not_on_network",  # each cause has its own hint
    "environment_differs",  # the shell handles it
    "unauthenticated",
    "login_expired",
    "invalid_grant",
    "forbidden",
    "misdirected",
    "invalid_settings",
    "turn_failed",
    "interrupted",
    "host_silent",
    "peer_lost",
    "program_over",
    "stdin_closed",
    "host_refused",
    "host_gone",  # the hub handles it
    "on_other_machine",
    "tool_unanswered",
    "program_ended",
    "not_echoed",
    "internal",  # the base class; a turn that fails so has `INTERNAL_HINT`
}
# the errors that always get a hint of their own
HINTED = {"unknown_model", "tool_server_failed"}


def kinds(of: type[RhetorError] = RhetorError) -> set[type[RhetorError]]:
    """All errors of the hub."""
    return {of, *(each for kind in of.__subclasses__() for each in kinds(kind))}


@pytest.fixture(scope="module", autouse=True)
def _all_modules() -> None:
    for module in pkgutil.walk_packages(rhetor.__path__, "rhetor."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def test_every_error_has_a_hint_or_needs_none() -> None:
    codes = {kind.code for kind in kinds()}
    own = {kind.code for kind in kinds() if issubclass(kind, ProviderFailed)} | HINTED
    hinted = {kind.code for kind in kinds() if kind.hint}
    assert codes - own - hinted - EXPLAINED == set()
    assert EXPLAINED - codes == set()
    assert EXPLAINED & (hinted | own) == set()


def test_every_failure_of_a_model_gets_a_hint_where_it_is_made() -> None:
    names = {kind.__name__ for kind in kinds() if issubclass(kind, ProviderFailed) or kind.code in HINTED}
    without = []
    for file in Path(rhetor.__path__[0]).rglob("*.py"):
        source = file.read_text()
        if not any(name in source for name in names):  # this is much faster than parsing
            continue
        for node in ast.walk(ast.parse(source)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names):
                continue
            if not {None, "hint"} & {keyword.arg for keyword in node.keywords}:  # None: `**data`
                without.append(f"{file.name}:{node.lineno}")
    assert without == []


def test_a_hint_of_its_own_comes_first() -> None:
    assert TurnFailure("x", hint="do this").data == {"hint": "do this"}
    assert TurnFailure("x").data == {}
