"""The commands that change forwards, routes, contexts, MCP servers, projects, budgets and the like."""

from __future__ import annotations

from msgspec import Struct, field

from .budget import Budget
from .inbox import Tray
from .project import ProjectSettings
from .rules import Hop
from .schedule import Overlap
from .tool_server import ToolServer


class PutForward(Struct, frozen=True, gc=False):
    """Forward the answers of `source`, instead of its earlier forward. The fields are as in `Forward`."""

    source: str
    to: str
    as_json: bool = False
    execute: bool = False


class RemoveForward(Struct, frozen=True, gc=False):
    """Stop forwarding the answers of `source`."""

    source: str


class PutTerminal(Struct, frozen=True, gc=False):
    """Register the name of a shell. `seen`: a cursor of its stream; earlier events were already shown."""

    name: str
    seen: str | None = None


class RemoveTerminal(Struct, frozen=True, gc=False):
    """Remove the name of a shell."""

    name: str


class PutRoute(Struct, frozen=True, gc=False):
    """Save a route. It replaces an earlier one of the same name, unless `new` is set."""

    name: str
    hops: tuple[Hop, ...]
    new: bool = False


class RemoveRoute(Struct, frozen=True, gc=False):
    """Remove a route."""

    name: str


class SendRoute(Struct, frozen=True, gc=False):
    """Send `content` along a route. The other fields are as in `SendMessage`."""

    name: str
    content: str
    command_id: str | None = None
    from_: str = ""
    cwd: str | None = None


class StageContext(Struct, frozen=True, gc=False):
    """Add a text to the staged context of a peer."""

    peer: str
    text: str


class PromoteContext(Struct, frozen=True, gc=False):
    """Send the staged context of a peer before its next message."""

    peer: str


class ClearContext(Struct, frozen=True, gc=False):
    """Discard the staged and the promoted context of a peer."""

    peer: str


class PutPurpose(Struct, frozen=True, gc=False):
    """Set the purpose of a peer or a terminal. An empty text removes it."""

    name: str
    text: str


class PutAlias(Struct, frozen=True, gc=False):
    """Give a name to a line of the shell. The fields are as in `Alias`."""

    name: str
    command: str
    description: str = ""


class RemoveAlias(Struct, frozen=True, gc=False):
    """Remove an alias."""

    name: str


class PutNote(Struct, frozen=True, gc=False):
    """Put a message into a tray of a peer or a terminal. `from_`: the sender as shown to readers."""

    to: str
    tray: Tray
    text: str
    from_: str = ""


class TakeNote(Struct, frozen=True, gc=False):
    """Remove the oldest message from a tray, and return it."""

    to: str
    tray: Tray


class ClearTray(Struct, frozen=True, gc=False):
    """Remove all messages from a tray."""

    to: str
    tray: Tray


class AddToolServer(Struct, frozen=True, gc=False):
    """Add an MCP server."""

    server: ToolServer


class RemoveToolServer(Struct, frozen=True, gc=False):
    """Remove an MCP server that was added."""

    name: str


class CreateProject(Struct, frozen=True, gc=False):
    """Create a project in the folder `path`."""

    name: str
    path: str
    settings: ProjectSettings = field(default_factory=ProjectSettings)


class ChangeProject(Struct, frozen=True, gc=False):
    """Replace the settings of a project."""

    name: str
    settings: ProjectSettings


class PutBudget(Struct, frozen=True, gc=False):
    """Set a budget. It replaces an earlier one of the same name, also a configured one."""

    budget: Budget


class RemoveBudget(Struct, frozen=True, gc=False):
    """Remove a budget that was set."""

    name: str


class PutSchedule(Struct, frozen=True, gc=False):
    """Run a line at set times. It replaces an earlier schedule of the same name, unless `new` is set.

    `zone`: the name of a time zone; empty for the one of the hub's machine. `session`: the name of the
    session for the answers; empty for that of the schedule. The other fields are as in `Schedule`.
    """

    name: str
    cron: str
    line: str
    zone: str = ""
    overlap: Overlap = "skip"
    session: str = ""
    cwd: str | None = None
    new: bool = False


class PauseSchedule(Struct, frozen=True, gc=False):
    """Stop running a schedule at its times."""

    name: str


class ResumeSchedule(Struct, frozen=True, gc=False):
    """Start the runs of a paused schedule again, from the next time on."""

    name: str


class RemoveSchedule(Struct, frozen=True, gc=False):
    """Remove a schedule."""

    name: str


class RunSchedule(Struct, frozen=True, gc=False):
    """Run the line of a schedule now, besides its times. `command_id` is the idempotency key."""

    name: str
    command_id: str | None = None


class RemoveMachine(Struct, frozen=True, gc=False):
    """Forget a machine that has joined, and its peers."""

    name: str


RuleCommand = (
    PutForward
    | RemoveForward
    | PutTerminal
    | RemoveTerminal
    | PutRoute
    | RemoveRoute
    | SendRoute
    | StageContext
    | PromoteContext
    | ClearContext
    | PutPurpose
    | PutAlias
    | RemoveAlias
    | PutNote
    | TakeNote
    | ClearTray
    | AddToolServer
    | RemoveToolServer
    | CreateProject
    | ChangeProject
    | PutBudget
    | RemoveBudget
    | PutSchedule
    | PauseSchedule
    | ResumeSchedule
    | RemoveSchedule
    | RunSchedule
    | RemoveMachine
)
