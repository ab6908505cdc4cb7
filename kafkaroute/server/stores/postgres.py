"""Rules documents, their versions, and who asked, as tables of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ...errors import ConfigurationError
from ...extras import how_to_get
from ...rules.records import (
    HistoryBuilder,
    first_record,
    folded,
    halved,
    next_record,
    routing_in,
)
from ..seen import Sighting
from .store import NotWritable, StoreUnavailable, VersionConflict

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError as error:
    raise ConfigurationError(how_to_get("rules in PostgreSQL", error) or str(error)) from error

__all__ = ["CHANNEL", "Database", "Version", "why"]

#: What LISTEN and NOTIFY name.
CHANNEL = "kafkaroute_rules"
#: Serialises changes; any number that nothing else in the database uses.
_LOCK = 0x6B61666B61726F75
#: Above it the older half of the routes' history is forgotten; documents stay.
MAX_RECORDS = 10_000
#: Days for which the database remembers who asked.
_SEEN_DAYS = 7
_MAX_SIGHTINGS = 1_000

_TABLES = """
CREATE TABLE IF NOT EXISTS kafkaroute_rules (
    version bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    author text NOT NULL,
    note text NOT NULL,
    document text NOT NULL,
    record text  -- what changed of the routes; NULL where nothing did
);
CREATE TABLE IF NOT EXISTS kafkaroute_seen (
    channel text NOT NULL,
    caller text NOT NULL,
    client_id text NOT NULL,
    intent text NOT NULL,
    generation bigint,
    at double precision NOT NULL,
    PRIMARY KEY (channel, caller, client_id, intent)
);
"""
#: Bytes: an index of PostgreSQL refuses a row of more than 2,704.
_MAX_KEY = 2_600
#: Errors that are a row's own: another may be taken.
_OF_A_ROW = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.RaiseException,
    UnicodeError,
)
_Row = tuple[Any, ...]
_SHARE = """
INSERT INTO kafkaroute_seen AS seen (channel, caller, client_id, intent, generation, at)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (channel, caller, client_id, intent) DO UPDATE
SET generation = excluded.generation, at = excluded.at WHERE excluded.at > seen.at
"""


class Version(NamedTuple):
    """A document that was put there; `document` is "" where only the list was asked for."""

    version: int
    at: datetime
    author: str
    note: str
    document: str


def why(error: Exception) -> str:
    """The kind of a database's error: its text may name the user."""
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__}, SQLSTATE {state}" if state else type(error).__name__


class Database:
    """Opens connections to the database at `url`, and what is asked on them.

    Attributes:
        name: the URL without user and password.

    Raises:
        ConfigurationError: `url` is none that libpq understands.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # Its text repeats the URL, which may hold a password.
            raise ConfigurationError(
                "the database's URL cannot be read; expected postgresql://USER@HOST:PORT/DATABASE"
            ) from None
        host, port = parts.get("host", ""), parts.get("port")
        self.name = f"postgresql://{host}{f':{port}' if port else ''}/{parts.get('dbname', '')}"
        self._url = url

    def connect(self) -> psycopg.Connection[Any]:
        """A connection in autocommit mode.

        Raises:
            StoreUnavailable: there is none to be had.
        """
        try:
            return psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=5,
                application_name="kafkaroute",
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=20_000,
            )
        except psycopg.Error as error:
            raise StoreUnavailable(f"{self.name} cannot be reached ({why(error)})") from None


def create_tables(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_TABLES)


def newest_version(connection: psycopg.Connection[Any]) -> tuple[int, datetime | None]:
    """Its number and when it was put there; 0 and None where nothing was."""
    try:
        found = connection.execute(
            "SELECT version, at FROM kafkaroute_rules ORDER BY version DESC LIMIT 1"
        ).fetchone()
    except psycopg.errors.UndefinedTable:
        return (0, None)
    return (0, None) if found is None else (found[0], found[1])


def documents_after(
    connection: psycopg.Connection[Any], version: int, limit: int
) -> list[tuple[int, str]]:
    """Version and text of the newest documents after `version`, the newest first."""
    return connection.execute(
        "SELECT version, document FROM kafkaroute_rules WHERE version > %s "
        "ORDER BY version DESC LIMIT %s",
        (version, limit),
    ).fetchall()


def document(connection: psycopg.Connection[Any], version: int | None = None) -> Version | None:
    """One version, the newest by default."""
    query = "SELECT version, at, author, note, document FROM kafkaroute_rules"
    try:
        if version is None:
            found = connection.execute(f"{query} ORDER BY version DESC LIMIT 1").fetchone()
        else:
            found = connection.execute(f"{query} WHERE version = %s", (version,)).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return None if found is None else Version(*found)


def versions(connection: psycopg.Connection[Any], limit: int) -> list[Version]:
    """The newest versions without their texts, the newest first."""
    try:
        rows = connection.execute(
            "SELECT version, at, author, note, '' FROM kafkaroute_rules "
            "ORDER BY version DESC LIMIT %s",
            (limit,),
        ).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    return [Version(*row) for row in rows]


def records_between(connection: psycopg.Connection[Any], after: int, upto: int) -> list[str]:
    rows = connection.execute(
        "SELECT record FROM kafkaroute_rules "
        "WHERE record IS NOT NULL AND version > %s AND version <= %s ORDER BY version",
        (after, upto),
    ).fetchall()
    return [row[0] for row in rows]


def change(
    connection: psycopg.Connection[Any],
    edit: Callable[[str | None], str],
    *,
    author: str,
    note: str = "",
    expect: int | None = None,
) -> int:
    """Put there what `edit` makes of the newest document (None: there is none), which must be
    sound; return the version in force then. One change at a time.

    Args:
        expect: the newest version that the change was made for.

    Raises:
        NotWritable: the database's user may not.
        VersionConflict: the newest version is not `expect`, or other changes take too long.
    """
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            newest = document(connection)
            number = newest.version if newest is not None else 0
            if expect is not None and expect != number:
                raise VersionConflict(f"version {number} is in force, not {expect}")
            text = edit(newest.document if newest is not None else None)
            if newest is not None and text == newest.document:
                return number
            [[now]] = connection.execute("SELECT clock_timestamp()")
            at = now if newest is None else max(now, newest.at)
            connection.execute(
                "INSERT INTO kafkaroute_rules (version, at, author, note, document, record) "
                "VALUES (%s, %s, %s, %s, %s, %s)",
                (number + 1, at, author, note, text, _record(connection, number + 1, at, text)),
            )
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(number + 1)))
            return number + 1
    except psycopg.errors.LockNotAvailable:
        raise VersionConflict("another change of the rules takes too long: try again") from None
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
        raise NotWritable("the database's user may not change the rules") from None


def _record(
    connection: psycopg.Connection[Any], version: int, at: datetime, text: str
) -> str | None:
    records = records_between(connection, 0, version)
    routing = routing_in(text)
    if not HistoryBuilder(records).is_sound:
        return first_record(version, at, routing)
    record = next_record(version, at, folded(records), routing)
    if record is not None and len(records) >= MAX_RECORDS:
        base_version, base = halved(records)
        connection.execute(
            "UPDATE kafkaroute_rules SET record = NULL WHERE version < %s", (base_version,)
        )
        connection.execute(
            "UPDATE kafkaroute_rules SET record = %s WHERE version = %s", (base, base_version)
        )
    return record


def share(connection: psycopg.Connection[Any], sightings: Sequence[Sighting]) -> int:
    """Write down who asked; how many the database refuses for good."""
    fit = [row for one in sightings if (row := _fit(one)) is not None]
    # All replicas take the rows in one order, so that none waits for another in a circle.
    fit.sort(key=lambda row: row[:4])
    return len(sightings) - len(fit) + _write(connection, fit)


def _write(connection: psycopg.Connection[Any], rows: Sequence[_Row]) -> int:
    """In halves where a row is refused, so that it loses none of its neighbours."""
    try:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(_SHARE, rows)
    except _OF_A_ROW:
        if len(rows) == 1:
            return 1
        half = len(rows) // 2
        return _write(connection, rows[:half]) + _write(connection, rows[half:])
    return 0


def _fit(one: Sighting) -> _Row | None:
    """As the database takes it: without what its texts cannot hold; None where it is too long."""
    texts = [
        text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        for text in (one.channel, one.caller, one.client_id, one.intent)
    ]
    if sum(len(text.encode()) for text in texts) > _MAX_KEY:
        return None
    known = one.generation is not None and abs(one.generation) < 2**63
    return (*texts, one.generation if known else None, one.at)


def forget(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "DELETE FROM kafkaroute_seen WHERE at < extract(epoch FROM now()) - %s",
        (_SEEN_DAYS * 86_400,),
    )


def seen_on(connection: psycopg.Connection[Any], channel: str) -> list[Sighting]:
    rows = connection.execute(
        "SELECT channel, caller, client_id, intent, generation, at FROM kafkaroute_seen "
        "WHERE channel = %s ORDER BY at DESC LIMIT %s",
        (channel, _MAX_SIGHTINGS),
    ).fetchall()
    return [Sighting(*row) for row in rows]
