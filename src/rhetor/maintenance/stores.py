"""Which store a hub uses: most commands on a state folder need a database in it."""

from __future__ import annotations

from pathlib import Path

from rhetor.domain.secrets import shown_url
from rhetor.errors import NoDatabaseFile
from rhetor.settings import SQLITE, read_settings


def require_file(folder: Path, instead: str) -> None:
    """Check that the hub with this state folder has its log in a file. `instead`: what to do if it has not.

    Raises:
        NoDatabaseFile: its log is in PostgreSQL.
        InvalidSettings: its configuration is invalid.
    """
    store = read_settings(folder / "config.yaml").store
    if store != SQLITE:
        raise NoDatabaseFile(shown_url(store), instead)
