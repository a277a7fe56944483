"""What a hub stores, and where: its database, and the files of its state folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from rhetor.data_keys import AnyStore
from rhetor.domain.secrets import Secrets
from rhetor.drivers.programs.host.spool_keys import SpoolKeys
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.core.nodes import Nodes
from rhetor.sealing.ring import Ring
from rhetor.settings import SQLITE, Settings
from rhetor.store.api_keys import ApiKeys
from rhetor.store.base import Blobs, SharedRows
from rhetor.store.blobs import FileBlobs
from rhetor.store.prompt_history import PromptHistory
from rhetor.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from rhetor.nodes import Membership


class StateFiles(Struct, frozen=True):
    """Files of the state folder. `ring`: the keys that seal what the hub stores. `spools`: the keys of what
    programs print. `api_keys`: of providers. `prompt`: the history of the shell's prompt."""

    ring: Ring
    spools: SpoolKeys
    api_keys: ApiKeys
    prompt: PromptHistory


class Stored(Struct, frozen=True):
    """An open store, and its binary content. `blob_files`: the same, if it is in files. `shared` and `nodes`:
    what only a database has that several nodes share."""

    store: AnyStore
    blobs: Blobs
    blob_files: FileBlobs | None = None
    shared: SharedRows | None = None
    nodes: Nodes | None = None


def state_files(folder: Path, settings: Settings) -> StateFiles:
    """Return the files of a state folder. None of them is read yet."""
    ring, sealed = Ring(folder, settings.encryption.key), settings.encryption.at_rest
    return StateFiles(
        ring,
        SpoolKeys(ring, active=sealed),
        ApiKeys(folder, ring),
        PromptHistory(folder, ring, active=sealed),
    )


async def open_store(
    settings: Settings, folder: Path, secrets: Secrets, ring: Ring, member: Membership | None
) -> Stored:
    """Open the store that the settings name. `secrets`: masked in everything that is stored. `member`: this
    node among those that share the database.

    Raises:
        StoreRefused: the store cannot be opened.
        KeysUnavailable: it has sealed content, and its keys cannot be read.
    """
    sealed = settings.encryption.at_rest
    if settings.store == SQLITE:
        files = FileBlobs(folder / "blobs", ring, sealed=sealed)
        embedded = await SqliteStore.open(
            folder / "hub.db", clock=wall_clock, secrets=secrets, salvages=True, ring=ring, at_rest=sealed
        )
        return Stored(embedded, files, files)
    # most hubs never need it
    from rhetor.store.postgres.store import PostgresStore

    assert member is not None
    shared = await PostgresStore.open(
        settings.store,
        clock=wall_clock,
        secrets=secrets,
        ring=ring,
        at_rest=sealed,
        lease=member.leases,
        witness=folder / "postgres.witness",
    )
    return Stored(shared, shared.blobs, shared=shared, nodes=member.nodes(shared.owner))
