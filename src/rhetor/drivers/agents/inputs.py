"""What coding agents take besides text."""

from __future__ import annotations

from collections.abc import Mapping

from rhetor.domain.parts import MOST_BYTES, TEXT_ONLY, Take
from rhetor.drivers.base import Inputs

CLAUDE_BYTES = 10 << 20  # it repeats each message in one line, in base64, and a line has at most 16 MiB
# by the name of the driver. An ACP agent says what it takes when it has started.
_TAKES: Mapping[str, frozenset[Take] | None] = {
    "claude": frozenset({"image", "pdf"}),
    "codex": frozenset({"image"}),
    "acp": None,
}
AGENT_HINT = "send it to a model that takes it (aish models), or give the agent the path of the file"


def agent_inputs(name: str, driver: str) -> Inputs:
    """Return what a program takes. `driver`: its name in the configuration."""
    most = CLAUDE_BYTES if driver == "claude" else MOST_BYTES
    return Inputs(name, _TAKES.get(driver, TEXT_ONLY), AGENT_HINT, most)
