"""Opens connections to the server, checks what it promises, and classifies its errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias

import asyncpg

from rhetor.domain.secrets import shown_url
from rhetor.errors import Malformed, RhetorError, StoreRefused

CONNECT_TIMEOUT = 5.0  # seconds
STATEMENT_TIMEOUT = 30.0  # seconds, after which a connection counts as lost
IDLE_IN_TRANSACTION = 5_000  # milliseconds, after which the server frees the locks of a stopped writer
OLDEST = 150_000  # PostgreSQL 15
HINT = "check that the PostgreSQL server of the setting store is running, and repeat the request"
WEAK_COMMITS = {"off", "local", "remote_write"}
Connection: TypeAlias = asyncpg.Connection

# what another transaction has done at the same time; the transaction is repeated
CONFLICTS = (
    asyncpg.UniqueViolationError,
    asyncpg.ForeignKeyViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
# what is wrong with a value, so that others of the same transaction can be stored without it
UNSTORABLE = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
# what ends a connection, or may have ended it
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that the server has ended in the meantime
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    ConnectionError,
    TimeoutError,
    OSError,
)
ERRORS = (asyncpg.PostgresError, *LOST)


def refusal(error: BaseException) -> RhetorError:
    """Return the error to raise if the database does not work, or a value cannot be looked for."""
    if isinstance(error, asyncpg.CharacterNotInRepertoireError | UnicodeEncodeError):
        return Malformed("a name contains a character that cannot be stored; send valid Unicode without NUL")
    reason = type(error).__name__
    detail = str(error) or "no answer in time"
    return StoreRefused(f"the database is not available: {detail}", reason=reason, hint=HINT)


def copy_of(error: RhetorError) -> RhetorError:
    """Return an equal error without its traceback."""
    copy = type(error).__new__(type(error))
    Exception.__init__(copy, error.detail)
    copy.detail, copy.data = error.detail, dict(error.data)
    return copy


async def connect(
    url: str, name: str, settings: Mapping[str, str] | None = None, timeout: float = CONNECT_TIMEOUT
) -> Connection:
    """Return a new connection. `name`: what the server's list of connections shows of it. `settings`: of its
    session. They are not sent with its start, because a pooler would reject them there.

    Raises:
        StoreRefused: the server cannot be reached, or rejects the connection.
    """
    given = {"application_name": f"rhetor {name}"}
    try:
        connection: Connection = await asyncpg.connect(url, timeout=timeout, server_settings=given)
        if settings:
            with closed_on_failure(connection):
                await connection.execute("; ".join(f"SET {key} = '{each}'" for key, each in settings.items()))
    except (*ERRORS, ValueError) as error:
        raise unreachable(url, error) from None  # its text may have parts of the URL
    return connection


@contextmanager
def closed_on_failure(connection: Connection) -> Iterator[None]:
    """Close the connection if the block fails or is cancelled. For a new one that has no owner yet."""
    try:
        yield
    except BaseException:  # a cancelled block leaves it behind, too
        connection.terminate()
        raise


def unreachable(url: str, error: BaseException) -> StoreRefused:
    """Return the error to raise if no connection can be opened."""
    reason = type(error).__name__
    detail = str(error) if isinstance(error, asyncpg.PostgresError | OSError) else ""
    said = f": {detail}" if detail else f" ({reason})"
    return StoreRefused(f"{shown_url(url)} cannot be opened{said}", reason=reason, hint=HINT)


async def require_safe(url: str, connection: Connection) -> list[str]:
    """Check the server's version and settings. Return sentences for the user.

    Raises:
        StoreRefused: the server is too old, read-only, or could lose what was acknowledged.
    """
    version, commits, encoding, fsync, replica = await connection.fetchrow(
        """
        SELECT current_setting('server_version_num')::int, current_setting('synchronous_commit'),
            current_setting('server_encoding'), current_setting('fsync'), pg_is_in_recovery()
        """
    )
    place = shown_url(url)
    if version < OLDEST:
        raise StoreRefused(f"{place} is PostgreSQL {version // 10_000}; use PostgreSQL 15 or newer")
    if commits in WEAK_COMMITS:
        raise StoreRefused(
            f"{place} acknowledges commits before they are durable: synchronous_commit is {commits};"
            " run ALTER DATABASE … SET synchronous_commit = on"
        )
    if encoding != "UTF8":
        raise StoreRefused(f"{place} has the encoding {encoding}; create a database with ENCODING 'UTF8'")
    if replica:
        raise StoreRefused(f"{place} is a replica, which cannot be written; name the primary server")
    if fsync == "off":
        return [f"{place} runs with fsync = off: a power cut can destroy the database; set fsync = on"]
    return []


class Pool:
    """Connections for reading, opened when they are needed, at most `size`.

    A read that loses its connection is repeated once, because the server may have been restarted.
    """

    def __init__(self, url: str, size: int, settings: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._settings = settings
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._closed = False

    async def fetch(self, statement: str, *values: object) -> list[Any]:
        """Read with one statement.

        Raises:
            StoreRefused: the database cannot be read now.
            Malformed: a value to look for cannot be stored, so it cannot be found.
        """
        async with self._free:
            try:
                return await self._fetch(await self._take(), statement, values)
            except LOST:
                connection = await connect(self._url, "read", self._settings)
            try:
                return await self._fetch(connection, statement, values)
            except LOST as error:
                raise refusal(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Let several statements see one state of the database.

        Raises:
            StoreRefused: the database cannot be read now.
            Malformed: a value to look for cannot be stored, so it cannot be found.
        """
        async with self._free:
            connection = await self._take()
            try:
                if connection.is_closed():
                    connection = await connect(self._url, "read", self._settings)
                await connection.execute(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                    " SET LOCAL plan_cache_mode = force_custom_plan"
                )
                yield connection
                await connection.execute("COMMIT")
            except (*ERRORS, UnicodeEncodeError) as error:
                connection.terminate()
                raise refusal(error) from error
            except RhetorError:
                await self._roll_back(connection)
                raise
            except BaseException:  # a cancelled read leaves its connection busy
                connection.terminate()
                raise
            self._give_back(connection)

    async def aclose(self) -> None:
        """Close the connections that are not in use; those in use are closed after it."""
        self._closed = True
        try:
            while self._idle:
                await close(self._idle.pop())
        finally:  # of those that are left if this is cancelled
            for connection in self._idle:
                connection.terminate()

    async def _fetch(self, connection: Connection, statement: str, values: tuple[object, ...]) -> list[Any]:
        try:
            found: list[Any] = await connection.fetch(statement, *values, timeout=STATEMENT_TIMEOUT)
        except LOST:
            connection.terminate()
            raise
        except (asyncpg.PostgresError, UnicodeEncodeError) as error:
            self._give_back(connection)
            raise refusal(error) from error
        except BaseException:  # a cancelled read leaves its connection busy
            connection.terminate()
            raise
        self._give_back(connection)
        return found

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await connect(self._url, "read", self._settings)

    def _give_back(self, connection: Connection) -> None:
        if self._closed or connection.is_closed():
            connection.terminate()
        else:
            self._idle.append(connection)

    async def _roll_back(self, connection: Connection) -> None:
        with suppress(*ERRORS), closed_on_failure(connection):
            await connection.execute("ROLLBACK")
            self._give_back(connection)


async def close(connection: Connection) -> None:
    """Close a connection, whatever state it is in."""
    try:
        await connection.close(timeout=2.0)
    except ERRORS:
        connection.terminate()
