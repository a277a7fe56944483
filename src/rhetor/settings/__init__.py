"""The configuration: what a user can set, and the peers that it defines."""

from .budgets import budgets_of
from .models import ANSWERING, named_models
from .notifications import notify_secrets, recipients_of
from .origins import MASK, differing, origins
from .peers import peers_of, tools_of
from .reading import invalid, read_settings
from .sections import (
    SQLITE,
    AuthSettings,
    BudgetSettings,
    EncryptionSettings,
    HubSettings,
    IssuerSettings,
    McpServerSettings,
    NotifySettings,
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
    "SQLITE",
    "AuthSettings",
    "BudgetSettings",
    "EncryptionSettings",
    "HubSettings",
    "IssuerSettings",
    "Keys",
    "McpServerSettings",
    "NotifySettings",
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
    "notify_secrets",
    "origins",
    "peers_of",
    "read_settings",
    "recipients_of",
    "tools_of",
]
