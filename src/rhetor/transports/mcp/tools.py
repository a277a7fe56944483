"""The table of tools: their names, their descriptions for models, and their functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from . import arguments as a
from . import asking, looking
from .caller import Outcome


class Tool(Struct, frozen=True):
    """`changes`: whether it changes anything, or sends a message."""

    name: str
    title: str
    description: str
    arguments: type[a.Arguments]
    run: Callable[[Any, Any], Awaitable[Outcome]]
    changes: bool = True


# fmt: off
TOOLS = (
    Tool("list_peers", "List peers", "List all AIs that you can talk to (specialists, coding agents, wrapped "
         "programs and teams), each with its kind, status and capabilities.",
         a.Nothing, looking.list_peers, changes=False),
    Tool("ask_peer", "Ask a peer", "Send a message to a peer and wait for its whole answer. Without "
         "session_id, a model does not see earlier messages. Cancel the call to stop the answer.",
         a.AskPeer, asking.ask_peer),
    Tool("send_message", "Send a message", "Send a message to a peer without waiting for the answer. Read it "
         "later with read_events. With timeout, wait up to that many seconds for the answer.",
         a.SendToPeer, asking.send_message),
    Tool("run_line", "Run a line", "Run a line of the aish grammar: `a \"text\" | b \"text\"` passes the "
         "answer of a on to b, `a,b << text` asks several peers at once. Waits for the last answers.",
         a.RunLine, asking.run_line),
    Tool("create_session", "Open a session", "Open a session with a peer, in which it remembers the earlier "
         "messages. Use its id with ask_peer or send_message.",
         a.CreateSession, looking.create_session),
    Tool("list_sessions", "List sessions", "List your sessions, the most recently used one first.",
         a.Nothing, looking.list_sessions, changes=False),
    Tool("cancel_session", "End a session", "End a session and cancel its running and waiting turns. Its "
         "messages are kept.",
         a.OneSession, looking.cancel_session),
    Tool("read_events", "Read events", "Read what has happened in a session since a cursor: messages, pieces "
         "of answers, tool calls and permission requests.",
         a.ReadEvents, looking.read_events, changes=False),
    Tool("find_capability", "Find peers by capability", "List the peers that have a capability, best first.",
         a.FindCapability, looking.find_capability, changes=False),
    Tool("assign_task", "Assign a task", "Give a task to the best peer that has all required capabilities, "
         "in a new session, without waiting. Read the answer with read_events.",
         a.AssignTask, asking.assign_task),
    Tool("team_chat", "Ask a team", "Send a message to all members of a team, or to all specialists, and "
         "wait for all answers.",
         a.TeamChat, asking.team_chat),
    Tool("list_agents", "List agents", "List the coding agents and other programs: whether they are "
         "installed, logged in and running.",
         a.Nothing, looking.list_agents, changes=False),
    Tool("find_claude_binary", "Find Claude Code", "Return the path of the installed Claude Code.",
         a.Nothing, looking.find_claude_binary, changes=False),
)
# fmt: on
BY_NAME = {tool.name: tool for tool in TOOLS}
