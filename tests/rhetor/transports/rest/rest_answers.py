"""Sessions and streamed answers over REST, for several tests."""

from __future__ import annotations

import json
from typing import Any

from tests.served import Served


def sse(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


async def session_with(home: Served, messages: int) -> str:
    made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json
    for n in range(messages):
        await home.ask("POST", f"/api/v2/sessions/{made['id']}/message", {"message": str(n)})
    return str(made["id"])
