"""A model provider for tests: real HTTP on loopback, scripted answers, every request kept.

`async with ProviderServer() as provider:` runs one in this process; `python -m tests.provider` runs one
in its own process, controlled through HTTP routes.
"""

from tests.provider.gate import Gate
from tests.provider.script import Asked, Failure, Script, ToolCall, Usage, echo
from tests.provider.server import Call, ProviderServer

__all__ = ["Asked", "Call", "Failure", "Gate", "ProviderServer", "Script", "ToolCall", "Usage", "echo"]
