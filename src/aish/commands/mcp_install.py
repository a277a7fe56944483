"""Adds the hub as an MCP server to an agent's own configuration, and removes it again.

Everything else in such a file stays as it is. A file that this module cannot read is not changed.
"""

# ruff: noqa: PTH100, PTH103, PTH105, PTH110, PTH111, PTH116, PTH118, PTH120
import os

from aish import exits
from aish.exits import Failure
from aish.output import print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Edit = Callable[[str, "list[str]"], str]

NAME = "rhetor"


def install(agent: str) -> int:
    """Show the entry for the agent, and write it into the agent's configuration.

    Raises:
        Failure: the agent is unknown, or its configuration cannot be read or written.
    """
    path, add, _ = _agent(agent)
    before = _read(path)
    after = add(before, _command())
    print_line(f"{path}:\n{_added(before, after)}")
    if after == before:
        return print_line(f"✓ {agent} already uses the hub")
    _write(path, after)
    return print_line(f"✓ {agent} uses the hub as the MCP server {NAME}; restart it to see the tools")


def uninstall(agent: str) -> int:
    """Remove the entry from the agent's configuration.

    Raises:
        Failure: the agent is unknown, or its configuration cannot be read or written.
    """
    path, _, remove = _agent(agent)
    before = _read(path)
    after = remove(before, [])
    if after == before:
        return print_line(f"{agent} does not use the hub ({path})")
    _write(path, after)
    return print_line(f"✓ Removed the MCP server {NAME} from {path}")


def _agent(agent: str) -> "tuple[str, Edit, Edit]":
    """Return the path of the agent's configuration, and the functions that change its text."""
    home = os.path.expanduser("~")
    claude = os.environ.get("CLAUDE_CONFIG_DIR") or home
    codex = os.environ.get("CODEX_HOME") or os.path.join(home, ".codex")
    copilot = os.environ.get("COPILOT_HOME") or os.path.join(home, ".copilot")
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    servers = _json("mcpServers", lambda command: {"command": command[0], "args": command[1:]})
    stdio = _json("mcpServers", lambda c: {"type": "stdio", "command": c[0], "args": c[1:]})
    every = _json("mcpServers", lambda c: {"type": "local", "command": c[0], "args": c[1:], "tools": ["*"]})
    local = _json("mcp", lambda command: {"type": "local", "command": command, "enabled": True})
    known: dict[str, tuple[str, tuple[Edit, Edit]]] = {
        "claude-code": (os.path.join(claude, ".claude.json"), stdio),
        "codex": (os.path.join(codex, "config.toml"), (_add_toml, _remove_toml)),
        "gemini": (os.path.join(home, ".gemini/settings.json"), servers),
        "opencode": (os.path.join(config, "opencode/opencode.json"), local),
        "copilot": (os.path.join(copilot, "mcp-config.json"), every),
        "continue": (os.path.join(home, ".continue/config.yaml"), (_add_yaml, _remove_yaml)),
        "cursor": (os.path.join(home, ".cursor/mcp.json"), servers),
    }
    if agent not in known:
        raise Failure(f"unknown agent {agent!r}; choose from: {', '.join(known)}", exits.USAGE)
    path, (add, remove) = known[agent]
    return os.path.realpath(path), add, remove


def _command() -> "list[str]":
    """Return how an agent starts the server, whatever its PATH is: the program beside this one."""
    import sys

    program = os.path.join(os.path.dirname(sys.executable), NAME)
    command = [program if os.access(program, os.X_OK) else NAME, "mcp"]
    home = os.environ.get("RHETOR_HOME")
    return [*command, "--home", os.path.abspath(os.path.expanduser(home))] if home else command


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {path}: {error}") from None


def _write(path: str, text: str) -> None:
    """Replace the file at once, so that no reader sees a part of it. It keeps its mode."""
    fresh = f"{path}.{NAME}-{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o600
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from None


def _added(before: str, after: str) -> str:
    """Return the lines that are new, as they are shown."""
    from difflib import ndiff

    lines = ndiff(before.splitlines(), after.splitlines())
    return "\n".join(f"  + {line[2:]}" for line in lines if line.startswith("+ ")) or "  (no change)"


def _json(section: str, entry: "Callable[[list[str]], dict[str, Any]]") -> "tuple[Edit, Edit]":
    """Return the functions that add the entry to a section of a JSON file, and remove it."""
    import json

    def loaded(text: str) -> "dict[str, Any]":
        try:
            found = json.loads(text) if text.strip() else {}
        except ValueError as error:
            raise Failure(f"the configuration is not plain JSON ({error}); add the entry yourself") from None
        if not isinstance(found, dict) or not isinstance(found.get(section, {}), dict):
            raise Failure(f"the configuration has no object {section!r}; add the entry yourself")
        return found

    def written(found: "dict[str, Any]") -> str:
        return json.dumps(found, indent=2, ensure_ascii=False) + "\n"

    def add(text: str, command: "list[str]") -> str:
        found = loaded(text)
        if found.get(section, {}).get(NAME) == entry(command):
            return text
        found.setdefault(section, {})[NAME] = entry(command)
        return written(found)

    def remove(text: str, command: "list[str]") -> str:
        found = loaded(text)
        if NAME not in found.get(section, {}):
            return text
        del found[section][NAME]
        return written(found)

    return add, remove


_TABLE = f"[mcp_servers.{NAME}]"


def _add_toml(text: str, command: "list[str]") -> str:
    import json  # a JSON string is a TOML string, too

    own = f"{_TABLE}\ncommand = {json.dumps(command[0])}\nargs = {json.dumps(command[1:])}\n"
    if own in text:
        return text
    rest = _remove_toml(text, [])
    return f"{rest.rstrip()}\n\n{own}" if rest.strip() else own


def _remove_toml(text: str, command: "list[str]") -> str:
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            name = line.strip()
            inside = name == _TABLE or name.startswith(f"[mcp_servers.{NAME}.")
        if not inside:
            kept.append(line)
    return "".join(kept)


_LIST = "mcpServers:"


def _add_yaml(text: str, command: "list[str]") -> str:
    import json  # a JSON value is a YAML value, too

    rest = _remove_yaml(text, [])
    lines = rest.splitlines(keepends=True)
    at = next((n for n, line in enumerate(lines) if line.rstrip() == _LIST), None)
    if at is None:
        if any(line.startswith(_LIST) for line in lines):
            raise Failure(f"the list {_LIST} is written in one line; add the entry yourself")
        head = rest if not rest or rest.endswith("\n") else rest + "\n"
        lines, at = [*head.splitlines(keepends=True), f"{_LIST}\n"], len(head.splitlines())
    follows = lines[at + 1] if at + 1 < len(lines) else ""
    indent = follows[: len(follows) - len(follows.lstrip())] if follows.lstrip().startswith("-") else "  "
    item = f"{indent}- name: {NAME}\n{indent}  command: {json.dumps(command[0])}\n"
    item += f"{indent}  args: {json.dumps(command[1:])}\n"
    return "".join([*lines[: at + 1], item, *lines[at + 1 :]])


def _remove_yaml(text: str, command: "list[str]") -> str:
    kept: list[str] = []
    depth: int | None = None  # the indentation of the item that is left out
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip())
        if depth is not None and line.strip() and indent <= depth:
            depth = None
        if line.strip() == f"- name: {NAME}":
            depth = indent
        if depth is None:
            kept.append(line)
    return "".join(kept)
