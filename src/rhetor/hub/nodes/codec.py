"""Commands, callers, results and errors as the JSON values in which nodes send them to each other.

What comes out is what went in: the same types with the same values. So a client gets from any node what it
would get from the one that executes its command.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import replace

from rhetor.domain.mailbox import CommandAnswered, CommandRequested, Rejection
from rhetor.domain.principal import Principal
from rhetor.errors import RhetorError
from rhetor.hub.state import State

Run = Callable[[State, Principal, Any], Awaitable[Any]]
_DECLARED = ("detail", "data")


class CommandCodec:
    """Encodes the commands that have a function in `runs`."""

    def __init__(self, runs: Mapping[type, Run]) -> None:
        self._runs = runs
        self._kinds = {kind.__name__: kind for kind in runs}

    def request(
        self, id: str, own: str, fence: int, principal: Principal, command: Any, api: str
    ) -> CommandRequested:
        """Return the request to execute a command. The other arguments are as in `CommandRequested`."""
        who = msgspec.to_builtins(principal)
        return CommandRequested(id, own, fence, who, type(command).__name__, _plain(command), api)

    def command(self, request: CommandRequested) -> tuple[Principal, Any]:
        """Return the caller and the command of a request.

        Raises:
            msgspec.ValidationError, KeyError: a node with another version has sent it.
        """
        who = msgspec.convert(request.principal, Principal)
        body = json.loads(request.body) if isinstance(request.body, str) else request.body
        return who, _typed(body, self._kinds[request.command])

    def result(self, command: Any, result: Any) -> Any:
        """Return the result of a command, which is `result` in its answer."""
        return _typed(result, result_type(self._runs[type(command)]))


@cache
def result_type(run: Run) -> Any:
    """Return the type of what a use case returns."""
    found = get_type_hints(run, localns={"State": State})["return"]
    return get_args(found)[2] if hasattr(get_origin(found), "send") else found  # of a coroutine


def escaped(request: CommandRequested) -> CommandRequested:
    """Return a request whose command has texts that are not valid Unicode, in a form that can be stored."""
    return replace(request, body=json.dumps(request.body))


def as_unicode(payload: CommandAnswered) -> CommandAnswered:
    """Return an answer with other characters for those that are not valid Unicode: an error may repeat them
    from its command."""
    text = json.dumps(_plain(payload), ensure_ascii=False).encode(errors="replace")
    return msgspec.json.decode(text, type=CommandAnswered)


def answer(id: str, result: Any) -> CommandAnswered:
    return CommandAnswered(id, _plain(result))


def rejected(id: str, error: RhetorError) -> CommandAnswered:
    return CommandAnswered(id, error=rejection(error))


def rejection(error: RhetorError) -> Rejection:
    """Return an error as it is sent to another node."""
    members = {name: value for name, value in vars(error).items() if name not in _DECLARED}
    return Rejection(
        type(error).__name__,
        error.detail,
        _plain(error.data),
        error.code,
        error.status,
        error.rpc,
        error.close,
        error.retryable,
        {name: _plain(value) for name, value in members.items() if not name.startswith("_")},
    )


def error_of(rejection: Rejection) -> RhetorError:
    """Return the error that another node has sent: of the same class, with the same members."""
    kind = _errors().get(rejection.name)
    error = (kind or RhetorError).__new__(kind or RhetorError, rejection.detail)
    error.detail, error.data = rejection.detail, dict(rejection.data)
    if kind is None:
        error.code, error.status, error.rpc = rejection.code, rejection.status, rejection.rpc
        error.close, error.retryable = rejection.close, rejection.retryable
    for name, value in rejection.members.items():
        setattr(error, name, value)
    return error


def _errors() -> dict[str, type[RhetorError]]:
    """Return the classes of errors by name. They are looked up each time: some are loaded late."""
    return {kind.__name__: kind for kind in _kinds(RhetorError)}


def _kinds(of: type[RhetorError]) -> Iterator[type[RhetorError]]:
    yield of
    for kind in of.__subclasses__():
        yield from _kinds(kind)


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True)


def _typed(value: Any, kind: Any) -> Any:
    return msgspec.convert(value, kind, str_keys=True)
