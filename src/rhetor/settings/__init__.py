"""The configuration: what a user can set, and the peers that it defines."""

from .origins import MASK, differing, origins
from .peers import peers_of, tools_of
from .reading import read_settings, state_home
from .sections import (
    HubSettings,
    McpServerSettings,
    PermissionSettings,
    ProviderSettings,
    Settings,
    SpecialistSettings,
    ToolSettings,
)

__all__ = [
    "MASK",
    "HubSettings",
    "McpServerSettings",
    "PermissionSettings",
    "ProviderSettings",
    "Settings",
    "SpecialistSettings",
    "ToolSettings",
    "differing",
    "origins",
    "peers_of",
    "read_settings",
    "state_home",
    "tools_of",
]
