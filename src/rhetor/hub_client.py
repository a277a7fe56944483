"""Sends one request to the hub on this machine, over its Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from rhetor.errors import RhetorError

SECONDS = 10.0
OK = 200


class NoHub(RhetorError):
    """No hub answers on the socket."""

    code, status = "no_hub", 503


class RequestRejected(RhetorError):
    """The hub rejected the request; `detail` is that of the hub, with its hint."""

    code = "request_rejected"


class _Connection(http.client.HTTPConnection):
    def __init__(self, place: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._place = place

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._place))


def ask(place: Path, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Send a request, and return the JSON object of the response.

    Raises:
        RequestRejected: the hub answered with another status than 200.
        NoHub: no hub answers on the socket.
    """
    status, found = call(place, method, path, body)
    if status == OK:
        return found
    detail = str(found.get("detail", f"the hub answered with status {status}"))
    hint = str(found.get("hint", ""))
    raise RequestRejected(f"{detail}; {hint}" if hint and hint not in detail else detail)


def call(
    place: Path, method: str, path: str, body: dict[str, Any] | None = None
) -> tuple[int, dict[str, Any]]:
    """Send a request, with a JSON body if it has one; return the status and the JSON object of the response.

    The object is empty if the response is other JSON.

    Raises:
        NoHub: no hub answers on the socket.
    """
    connection = _Connection(place)
    try:
        if body is None:
            connection.request(method, path)
        else:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        found = json.loads(answer.read())
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoHub(f"no hub answers on {place}; start one with: rhetor serve") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoHub(f"no hub answers on {place}: {error}") from error
    finally:
        connection.close()
    return answer.status, found if isinstance(found, dict) else {}
