"""Each command has a node that executes it."""

from __future__ import annotations

from typing import get_args

from rhetor.domain.command import Command
from rhetor.domain.node_commands import NodeCommand
from rhetor.hub.nodes.homes import HOMES
from rhetor.hub.nodes.runs import INTERNAL
from rhetor.hub.use_cases import USE_CASES


def test_the_table_has_every_command_of_clients() -> None:
    assert HOMES.keys() == USE_CASES.keys() == set(get_args(Command))


def test_every_command_between_nodes_has_what_executes_it() -> None:
    assert INTERNAL.keys() == set(get_args(NodeCommand))
    assert not INTERNAL.keys() & USE_CASES.keys()
