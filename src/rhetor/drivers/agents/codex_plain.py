"""What makes Codex a plain model (seen: app-server 0.169): with this a request to its model names no tool."""

from __future__ import annotations

from typing import Any

from .records import table

_FEATURES = (
    *("apps", "browser_use", "computer_use", "goals", "hooks", "image_generation", "in_app_browser"),
    *("multi_agent", "plugins", "shell_tool", "skill_search", "sleep_tool", "tool_suggest"),
    *("unified_exec", "view_image"),
)


def params(persona: str, servers: list[str]) -> dict[str, Any]:
    """Of `thread/start`. `servers`: the user's MCP servers, each of which is to be left out by name."""
    config = {
        "features": dict.fromkeys(_FEATURES, False),
        "include_apps_instructions": False,
        "include_environment_context": False,
        "include_permissions_instructions": False,
        "mcp_servers": {name: {"enabled": False} for name in servers},
        "project_doc_max_bytes": 0,
        "skills": {"include_instructions": False, "bundled": {"enabled": False}},
        "tools": {"experimental_request_user_input": {"enabled": False}},
        "web_search": "disabled",
    }
    return {
        "approvalPolicy": "never",
        "baseInstructions": persona,
        "config": config,
        "ephemeral": True,
        "sandbox": "read-only",
    }


def servers_of(result: dict[str, Any]) -> list[str]:
    """The MCP servers of the answer to `config/read`."""
    return list(table(table(result, "config"), "mcp_servers"))
