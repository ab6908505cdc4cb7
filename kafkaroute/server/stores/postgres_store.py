"""Rules in a PostgreSQL database: any number of replicas follow the same document."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import psycopg

from ...errors import ConfigurationError
from ...rules.loader import parse_rules
from ...rules.records import HistoryBuilder
from ..seen import Sighting
from . import postgres as table
from .following import Follower
from .store import Health, NotWritable, RulesStore, State, StoreUnavailable

__all__ = ["PostgresStore"]

_log = logging.getLogger("kafkaroute.server")
#: Seconds between two looks at the newest version: a notification that got lost is made up for,
#: and a connection that died in silence is found.
_LOOK_EVERY = 10.0
#: Seconds for which a notification is waited for; stop() takes at most as long.
_LISTEN_FOR = 0.5
#: Seconds before the database is asked again; doubled up to the limit, with jitter, so that the
#: replicas do not come back all at once.
_RETRY, _MAX_RETRY = 0.5, 15.0
#: Documents looked at for a sound one.
_MAX_LOOKED_AT = 10
_FORGET_EVERY = 3600.0
_NONE_YET = "no rules have been put into the database yet (kafkaroute rules put)"


class PostgresStore(RulesStore):
    """The newest sound document in `database`.

    Nothing is kept on this machine. While the database is away the last rules stay in force; at
    the start it is waited for.
    """

    shares_sightings = True

    def __init__(self, database: table.Database) -> None:
        super().__init__()
        self._database = database
        self.name = self._database.name
        self._builder = HistoryBuilder()
        self._adopting = threading.Lock()
        self._stopping = threading.Event()
        self._follower: Follower | None = None
        self._unreachable: str | None = None
        self._unsound: str | None = None
        self._looked_at: tuple[int, datetime | None] = (0, None)
        self._writing = threading.Lock()
        self._writer: psycopg.Connection[Any] | None = None
        self._forgot_at = time.monotonic()

    def start(self) -> None:
        self._stopping.clear()
        self._follower = follower = Follower("rules-database", lambda: self._follow(follower))
        follower.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._follower is not None:
            self._follower.join()
            self._follower = None
        with self._writing:
            self._close_writer()

    def _follow(self, follower: Follower) -> None:
        wait = _RETRY
        while not self._stopping.is_set():
            follower.looked()
            try:
                with self._database.connect() as connection:
                    connection.execute(f"LISTEN {table.CHANNEL}")
                    self._catch_up(connection)
                    self._reached()
                    wait = _RETRY
                    self._listen(connection, follower)
            except (psycopg.Error, StoreUnavailable) as error:
                self._lost(error)
            except Exception:
                _log.exception("following the rules in %s failed; it is tried again", self.name)
            self._stopping.wait(wait * random.uniform(0.5, 1.5))
            wait = min(2 * wait, _MAX_RETRY)

    def _listen(self, connection: psycopg.Connection[Any], follower: Follower) -> None:
        look_at = time.monotonic() + _LOOK_EVERY
        while not self._stopping.is_set():
            follower.looked()
            told = list(connection.notifies(timeout=_LISTEN_FOR, stop_after=1))
            if told or time.monotonic() >= look_at:
                self._catch_up(connection)
                look_at = time.monotonic() + _LOOK_EVERY

    def _catch_up(self, connection: psycopg.Connection[Any]) -> None:
        """Put the newest sound document into force, where it is newer than the one there."""
        with self._adopting:
            newest = table.newest_version(connection)
            if newest == self._looked_at:
                return
            after = self._state.version if self._state is not None else 0
            if newest[0] <= self._looked_at[0]:
                _log.warning("%s holds other versions than before: a backup?", self.name)
                self._builder, after = HistoryBuilder(), 0
            unsound: str | None = None
            for version, text in table.documents_after(connection, after, _MAX_LOOKED_AT):
                try:
                    rules = parse_rules(text, f"version {version}")
                except ConfigurationError as error:
                    _log.error("%s: %s; the last sound rules stay in force", self.name, error)
                    unsound = unsound or f"version {version} of the rules is not sound"
                    continue
                for record in table.records_between(connection, self._builder.version, version):
                    self._builder.add(record)
                self._install(State.of(rules, self._builder.history(), version, text))
                _log.info("version %d of the rules in %s is in force", version, self.name)
                break
            self._unsound = unsound
            self._looked_at = newest

    def _reached(self) -> None:
        if self._unreachable is not None:
            _log.info("%s is reached again", self.name)
        self._unreachable = None

    def _lost(self, error: Exception) -> None:
        if self._stopping.is_set():
            return
        text = "the database cannot be reached"
        if self._unreachable is None:
            reason = str(error) if isinstance(error, StoreUnavailable) else table.why(error)
            _log.error("%s: %s; the last rules stay in force", text, reason)
        self._unreachable = text

    def health(self) -> Health:
        state = self._state
        nothing = _NONE_YET if state is None and self._unreachable is None else None
        unfollowed = None if self._follower is None else self._follower.problem()
        problems = (unfollowed, self._unreachable, self._unsound or nothing)
        return Health(
            ready=state is not None,
            version=state.version if state is not None else None,
            problems=tuple(problem for problem in problems if problem is not None),
        )

    def change(self, edit: Callable[[str], str], *, author: str, note: str = "") -> State:
        def checked(text: str | None) -> str:
            if text is None:
                raise NotWritable(_NONE_YET)
            changed = edit(text)
            parse_rules(changed, "the new rules")
            return changed

        try:
            with self._database.connect() as connection:
                table.change(connection, checked, author=author, note=note)
                self._catch_up(connection)
        except (psycopg.Error, StoreUnavailable) as error:
            reason = str(error) if isinstance(error, StoreUnavailable) else table.why(error)
            raise NotWritable(f"the database cannot be written: {reason}") from None
        assert self._state is not None, "a sound document is there"
        return self._state

    def share(self, sightings: Sequence[Sighting]) -> int:
        with self._writing:
            try:
                connection = self._open_writer()
                refused = table.share(connection, sightings)
                if time.monotonic() - self._forgot_at > _FORGET_EVERY:
                    self._forgot_at = time.monotonic()
                    table.forget(connection)
            except psycopg.Error:
                self._close_writer()
                raise
            return refused

    def sightings(self, channel: str) -> list[Sighting]:
        with self._writing:
            try:
                return table.seen_on(self._open_writer(), channel)
            except (psycopg.Error, StoreUnavailable) as error:
                self._close_writer()
                _log.warning("%s does not tell who asked (%s)", self.name, table.why(error))
                return []

    def _open_writer(self) -> psycopg.Connection[Any]:
        if self._writer is None or self._writer.closed:
            self._writer = self._database.connect()
        return self._writer

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
