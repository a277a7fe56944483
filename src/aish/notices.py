"""What the shell tells a person besides answers."""

from aish.output import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OFFLINE = """\
No model provider is configured: the embedded offline model answers. To add one, set OPENAI_API_KEY,
ANTHROPIC_API_KEY or OPENROUTER_API_KEY, or run Ollama, LM Studio, llama.cpp or vLLM on this machine, or log
in with claude, codex or gemini, or name one under `providers:` in config.yaml."""
_told: set[str] = set()


def tell_offline() -> None:
    """Once in the life of a shell."""
    if "offline" not in _told:
        _told.add("offline")
        say(_OFFLINE)


def tell_permission_asked(peer: str, data: "dict[str, Any]") -> None:
    """A peer waits for a person."""
    request, tool = data.get("request_id", ""), data.get("tool", "a tool")
    say(f"aish: {peer} asks to use {tool} (aish approve {request} · aish deny {request})")
