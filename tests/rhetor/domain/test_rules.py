"""Nested routes, and forwards that form a cycle."""

from __future__ import annotations

import pytest

from aish.commands import COMMANDS
from rhetor.domain.rules import MOST_HOPS, RESERVED, Hop, Route, circle, flattened
from rhetor.errors import NotFound, Unprocessable


def route(name: str, *hops: str | Hop) -> Route:
    return Route("me", name, tuple(hop if isinstance(hop, Hop) else Hop(hop) for hop in hops))


def test_an_inner_route_is_replaced_by_its_hops_with_the_outer_purpose() -> None:
    inner = route("inner", "b", Hop("c", "own"))
    outer = route("outer", "a", Hop("route:inner", "around"), "d")
    assert flattened(outer, {"inner": inner}) == (
        Hop("a"),
        Hop("b", "around"),
        Hop("c", "own"),
        Hop("d"),
    )


def test_a_route_through_itself_is_rejected_with_its_cycle() -> None:
    routes = {"two": route("two", "route:three"), "three": route("three", "a", "route:one")}
    with pytest.raises(Unprocessable) as refused:
        flattened(route("one", "route:two"), routes)
    assert refused.value.data == {"circle": ["one", "two", "three", "one"]}
    with pytest.raises(Unprocessable):
        flattened(route("one", "route:one"), {})


def test_a_route_through_a_missing_one_is_rejected() -> None:
    with pytest.raises(NotFound) as refused:
        flattened(route("one", "a", "route:gone"), {})
    assert refused.value.data == {"kind": "route", "id": "gone"}


def test_the_number_of_hops_is_bounded() -> None:
    routes = {"r0": route("r0", *["a"] * 10)} | {
        f"r{n}": route(f"r{n}", *[f"route:r{n - 1}"] * 10) for n in range(1, 20)
    }
    with pytest.raises(Unprocessable, match=str(MOST_HOPS)):
        flattened(routes["r19"], routes)


def test_a_cycle_of_forwards_is_found_from_each_of_its_peers() -> None:
    forwards = {"a": "b", "b": "c", "c": "a", "outside": "b", "x": "terminal"}
    assert circle("a", forwards) == ("a", "b", "c", "a")
    assert circle("c", forwards) == ("c", "a", "b", "c")
    assert circle("outside", forwards) == ()
    assert circle("x", forwards) == ()


def test_every_command_of_the_shell_is_a_reserved_name() -> None:
    assert set() == COMMANDS - RESERVED
