"""The types of request bodies and queries, and the commands that they become."""

from .analytics import AnalyticsQuery
from .common import AfterQuery, EventsQuery, PageQuery, TextBody
from .management import (
    BudgetBody,
    BudgetName,
    ManagedSessionBody,
    ProjectBody,
    ProjectSettingsBody,
    ToolServerBody,
)
from .messages import (
    CapableQuery,
    HistoryQuery,
    MessageBody,
    OptionBody,
    SearchQuery,
    SessionMessageBody,
    ToolResultBody,
    WaitBody,
)
from .plans import BulkBody, PlanBody
from .programs import EndQuery, EnvironmentBody, LaunchBody, LoginQuery, ProgramBody, ToolsQuery
from .rules import (
    ForwardBody,
    NewForwardBody,
    NewRouteBody,
    PurposeBody,
    RouteBody,
    RouteMessageBody,
    TerminalBody,
)
from .sessions import (
    CheckpointBody,
    ForkBody,
    ImportBody,
    MessagesQuery,
    RestoreBody,
    ResumeBody,
    SaveBody,
    SessionBody,
    SessionsQuery,
)
from .sockets import GroupBody, MembersBody, SocketBody
from .tokens import NamedTokenBody, RefreshBody, RevokeBody, TokenBody

__all__ = [
    "AfterQuery",
    "AnalyticsQuery",
    "BudgetBody",
    "BudgetName",
    "BulkBody",
    "CapableQuery",
    "CheckpointBody",
    "EndQuery",
    "EnvironmentBody",
    "EventsQuery",
    "ForkBody",
    "ForwardBody",
    "GroupBody",
    "HistoryQuery",
    "ImportBody",
    "LaunchBody",
    "LoginQuery",
    "ManagedSessionBody",
    "MembersBody",
    "MessageBody",
    "MessagesQuery",
    "NamedTokenBody",
    "NewForwardBody",
    "NewRouteBody",
    "OptionBody",
    "PageQuery",
    "PlanBody",
    "ProgramBody",
    "ProjectBody",
    "ProjectSettingsBody",
    "PurposeBody",
    "RefreshBody",
    "RestoreBody",
    "ResumeBody",
    "RevokeBody",
    "RouteBody",
    "RouteMessageBody",
    "SaveBody",
    "SearchQuery",
    "SessionBody",
    "SessionMessageBody",
    "SessionsQuery",
    "SocketBody",
    "TerminalBody",
    "TextBody",
    "TokenBody",
    "ToolResultBody",
    "ToolServerBody",
    "ToolsQuery",
    "WaitBody",
]
