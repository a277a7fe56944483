"""The configuration: what a user can set, and the peers that it defines."""

from .budgets import budgets_of
from .models import ANSWERING, named_models
from .origins import MASK, differing, origins
from .peers import peers_of, tools_of
from .reading import invalid, read_settings
from .sections import (
    AuthSettings,
    BudgetSettings,
    EncryptionSettings,
    HubSettings,
    IssuerSettings,
    McpServerSettings,
    PermissionSettings,
    ProviderSettings,
    Settings,
    SpecialistSettings,
    ToolSettings,
)
from .source import Source
from .validation import Keys

__all__ = [
    "ANSWERING",
    "MASK",
    "AuthSettings",
    "BudgetSettings",
    "EncryptionSettings",
    "HubSettings",
    "IssuerSettings",
    "Keys",
    "McpServerSettings",
    "PermissionSettings",
    "ProviderSettings",
    "Settings",
    "Source",
    "SpecialistSettings",
    "ToolSettings",
    "budgets_of",
    "differing",
    "invalid",
    "named_models",
    "origins",
    "peers_of",
    "read_settings",
    "tools_of",
]
