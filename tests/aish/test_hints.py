"""The hints of the hub's errors, in the shell."""

from __future__ import annotations

import pytest

from rhetor import errors
from rhetor.transports.server import problems
from tests.aish.scripted import ScriptedHub, Shell, problem

HINTED = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.RhetorError) and kind.hint
]


@pytest.mark.parametrize("kind", HINTED, ids=lambda k: k.code)
def test_a_hint_is_shown_over_rest_and_in_the_shell(
    kind: type[errors.RhetorError], aish: Shell, hub: ScriptedHub
) -> None:
    error = kind.__new__(kind)
    errors.RhetorError.__init__(error, "it failed")
    told = problems.body(error)
    assert told["hint"] == kind.hint
    hub.on(
        "POST /api/v2/ai/apollo/stream",
        problem(told["status"], told["code"], told["detail"], hint=told["hint"]),
    )
    assert aish("apollo", "hi").err == f"aish: it failed\n{kind.hint}\n"
