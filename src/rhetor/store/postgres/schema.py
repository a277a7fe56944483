"""Brings the tables to the newest schema: ordered migrations, one hub at a time."""

from __future__ import annotations

from rhetor.errors import StoreRefused

from .connection import Connection
from .statements import migrations

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('rhetor schema ' || current_schema()))"
_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)"


async def migrate(connection: Connection) -> None:
    """Apply the migrations that are missing: all of them, or none.

    Raises:
        StoreRefused: a newer version of the program wrote the database.
    """
    scripts = migrations()
    async with connection.transaction():
        await connection.execute(_LOCK)
        await connection.execute(_TABLE)
        version = await connection.fetchval("SELECT max(version) FROM schema_version") or 0
        if version > len(scripts):
            raise StoreRefused(
                f"the database has schema {version}, but this version of rhetor supports only {len(scripts)}",
                schema=version,
                hint="install the newer version of rhetor that wrote it",
            )
        for number, script in enumerate(scripts[version:], start=version + 1):
            await connection.execute(script)
            await connection.execute("INSERT INTO schema_version VALUES ($1)", number)
