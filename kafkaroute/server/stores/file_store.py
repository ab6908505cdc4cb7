"""Rules in a YAML file of this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ...errors import ConfigurationError
from ...regular_files import NONBLOCK
from ...rules.file import file_stamp, read_edited
from ...rules.loader import parse_rules, read_document
from ...rules.records import (
    HistoryBuilder,
    first_record,
    folded,
    next_record,
    routing_in,
)
from .following import Follower
from .journal import Journal
from .store import Health, NotWritable, RulesStore, State

__all__ = ["FileStore"]

_log = logging.getLogger("kafkaroute.server")


class FileStore(RulesStore):
    """The rules at `path`, as of the last edit that was sound.

    What the routes were before is kept in a file beside it (``RULES.yaml.history``), so that
    generations and earlier places survive a restart.

    Args:
        path: the rules.
        history: where the earlier routes are kept.
        watch_interval: seconds between two looks at the file.

    Raises:
        ConfigurationError: the file is wrong at the very first reading.
    """

    def __init__(
        self, path: str | Path, *, history: str | Path | None = None, watch_interval: float = 0.5
    ) -> None:
        super().__init__()
        self.name = str(path)
        self._path = Path(path)
        self._journal = Journal(Path(history) if history is not None else Path(f"{path}.history"))
        self._watch_interval = watch_interval
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watcher: Follower | None = None
        self._problem: str | None = None
        self._stamp = file_stamp(self._path)
        self._records = self._journal.read()
        self._builder = HistoryBuilder(self._records)
        self._adopt(read_document(self._path))

    def start(self) -> None:
        self._stopping.clear()
        self._watcher = watcher = Follower("rules-file", lambda: self._watch(watcher))
        watcher.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None

    def _watch(self, watcher: Follower) -> None:
        while not self._stopping.wait(self._watch_interval):
            watcher.looked()
            try:
                self.refresh()
            except Exception:
                _log.exception("looking at the rules file failed; it is tried again")

    def refresh(self) -> bool:
        """Read the file again where it changed; True where new rules are in force.

        A broken edit is logged once, and the last sound rules stay.
        """
        if file_stamp(self._path) == self._stamp:
            return False
        with self._lock:
            return self._read_again()

    def _read_again(self) -> bool:
        stamp = file_stamp(self._path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._adopt(read_edited(self._path))
        except ConfigurationError as error:
            _log.error("%s; the last sound rules stay in force", error)
            self._problem = "the last edit of the rules is not sound: the rules before it hold"
            return False
        _log.info("the rules in %s changed and are in force", self._path)
        return True

    def _adopt(self, text: str) -> None:
        """Put the document into force, and its routes into the history."""
        rules = parse_rules(text, str(self._path))
        self._problem = None
        version = max(self._builder.version, self._state.version if self._state else 0) + 1
        at = max(datetime.now(UTC), self._builder.at)
        routing = routing_in(text)
        if not self._builder.is_sound:
            record = first_record(version, at, routing)
            self._journal.begin(record)
            self._records = [record]
            self._builder.add(record)
        elif changed := next_record(version, at, folded(self._records), routing):
            self._keep(changed)
        elif self._state is None:
            version = self._builder.version  # as before the restart
        history = self._builder.history()
        self._install(State.of(rules, history, version, text))

    def _keep(self, record: str) -> None:
        if self._journal.append(record, self._records):
            self._records = self._journal.read()
            self._builder = HistoryBuilder(self._records)
        else:
            self._records.append(record)
            self._builder.add(record)

    def health(self) -> Health:
        unfollowed = None if self._watcher is None else self._watcher.problem()
        problems = (unfollowed, self._problem, self._journal.problem)
        state = self._state
        return Health(
            ready=state is not None,
            version=state.version if state is not None else None,
            problems=tuple(problem for problem in problems if problem is not None),
        )

    def change(
        self, edit: Callable[[str], str], *, author: str, note: str = ""
    ) -> State:  # a file has no place for author and note; the audit log has
        with self._lock:
            self._read_again()
            if self._problem is not None:
                raise NotWritable("the rules file has an edit that is not sound: mend it first")
            assert self._state is not None, "read at the very beginning"
            text = edit(self._state.text)
            parse_rules(text, str(self._path))
            if file_stamp(self._path) != self._stamp:
                raise NotWritable("the rules file was edited at this moment: try again")
            self._write(text)
            self._read_again()
            return self._state

    def _write(self, text: str) -> None:
        """Replace the file as one, with the rights and the owner that it has."""
        target = self._path.resolve()  # a link stays one
        temporary = target.with_name(f".{target.name}.new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NONBLOCK, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(target, temporary)
            with contextlib.suppress(PermissionError):  # only root gives files away
                owner = target.stat()
                os.chown(temporary, owner.st_uid, owner.st_gid)
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise NotWritable(f"the rules file cannot be written: {error.strerror}") from None
