"""Lines of Claude Code for tests, and what its protocol makes of them."""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.domain.output import Text
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.agents.protocol import Decoded, Opening


def protocol(**opening: Any) -> ClaudeCode:
    return ClaudeCode(Opening("/home/user", **opening))


def take(claude: ClaudeCode, **line: Any) -> Decoded:
    return claude.decode(msgspec.json.encode(line))


def texts(*heard: Decoded) -> list[Text]:
    return [output for one in heard for output in one.outputs if isinstance(output, Text)]


def sent(lines: tuple[bytes, ...]) -> list[Any]:
    return [msgspec.json.decode(line) for line in lines]


def asked(text: str, *labels: str, several: bool = False, header: str = "") -> dict[str, Any]:
    options = [{"label": label, "description": f"{label}!"} for label in labels]
    return {"question": text, "header": header, "multiSelect": several, "options": options}
