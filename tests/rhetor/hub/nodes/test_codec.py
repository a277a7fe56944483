"""Commands, callers, results and errors come out at another node as they went in."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import msgspec
import pytest
from tests.examples_of_types import example

import rhetor
from rhetor.domain.event import Cause
from rhetor.domain.mailbox import CommandAnswered, CommandRequested
from rhetor.domain.principal import Answering, Principal
from rhetor.errors import Forbidden, RhetorError, StateConflict, TurnFailure
from rhetor.hub.nodes.codec import CommandCodec, answer, error_of, rejected, rejection, result_type
from rhetor.hub.nodes.runs import RUNS
from rhetor.store.encoding import decode, encode

CODEC = CommandCodec(RUNS)
WHO = Principal(
    "agent:apollo",
    frozenset({"send", "agent"}),
    True,
    "unix pid 7",
    "token",
    Answering(("apollo", "hermes"), Cause("m_1", 2, "anna", "website")),
)


def stored(payload: Any) -> Any:
    """What another node reads of a payload."""
    return decode(payload.type, encode(payload))


@pytest.mark.parametrize("kind", RUNS, ids=lambda kind: kind.__name__)
def test_every_command_comes_out_as_it_went_in(kind: type) -> None:
    command = example(kind)
    sent = stored(CODEC.request("c_1", "north", 7, WHO, command, "rest"))
    assert isinstance(sent, CommandRequested)
    assert (sent.id, sent.from_, sent.fence, sent.api) == ("c_1", "north", 7, "rest")
    assert CODEC.command(sent) == (WHO, command)


@pytest.mark.parametrize("kind", RUNS, ids=lambda kind: kind.__name__)
def test_every_result_comes_out_as_it_went_in(kind: type) -> None:
    command, found = example(kind), result_type(RUNS[kind])
    for result in (example(found), *([None] if found in (type(None), str | None) else [])):
        sent = stored(answer("c_1", result))
        assert isinstance(sent, CommandAnswered)
        came = CODEC.result(command, sent.result)
        assert came == result
        assert type(came) is type(result)


def _kinds(of: type[RhetorError] = RhetorError) -> set[type[RhetorError]]:
    return {of, *(each for kind in of.__subclasses__() for each in _kinds(kind))}


def _all_modules() -> None:
    for module in pkgutil.walk_packages(rhetor.__path__, "rhetor."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _made(kind: type[RhetorError]) -> RhetorError:
    """An error of this class, from its own constructor."""
    values: dict[str, Any] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            values |= {"extra": [1, {"a": None}], "hint": "do this"}
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
            hint = str(parameter.annotation)
            values[name] = 3 if "int" in hint or "float" in hint else [] if "[" in hint else f"some {name}"
    return kind(**values)


def test_every_error_comes_out_as_it_went_in() -> None:
    _all_modules()
    unmade = []
    for kind in _kinds():
        try:
            error = _made(kind)
        except (TypeError, AttributeError):
            unmade.append(kind.__name__)
            error = kind.__new__(kind, "why")
            error.detail, error.data = "why", {"hint": "do this"}
        sent = stored(rejected("c_1", error))
        came = error_of(sent.error)
        assert type(came) is kind
        assert str(came) == str(error)
        assert vars(came) == vars(error)
        shown = [(e.code, e.status, e.rpc, e.close, e.retryable, e.hint) for e in (came, error)]
        assert shown[0] == shown[1]
    assert len(unmade) <= 6, unmade


def test_what_an_error_has_besides_its_class_is_kept() -> None:
    noted = Forbidden.without("admin")
    noted.is_noted = True
    retried = TurnFailure("busy", retryable=True, provider="p")
    conflict = StateConflict("session", "s_1", "stopped")
    for error in (noted, retried, conflict):
        assert vars(error_of(rejection(error))) == vars(error)


def test_an_error_of_a_later_version_keeps_what_clients_see() -> None:
    later = msgspec.structs.replace(
        rejection(StateConflict("session", "s_1", "stopped")), name="OfLater", code="of_later", status=418
    )
    came = error_of(later)
    assert (came.code, came.status, came.detail) == ("of_later", 418, later.detail)
