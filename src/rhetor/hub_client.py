"""Sends one request to the hub on this machine, over its Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

SECONDS = 10.0


class NoHub(Exception):
    """No hub answers on the socket."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, place: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._place = place

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._place))


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
