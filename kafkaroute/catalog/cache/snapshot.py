"""The last known routes in a file, so that a process can start while the catalog is down.

One JSON document, versioned, for any number of caches (told apart by scope: catalog, question,
intent) and of processes. It holds Kafka credentials, so it is written with mode 0600 into a new
file that then takes the old one's name; writers take turns by a lock file, and keep what the
others wrote.

Reading is forgiving and careful: a file that is damaged or foreign is left out with a warning. So
is one that another user owns or may write to, as it says where messages and credentials go. One
that others may only read is used, repaired and warned about.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ...regular_files import open_regular
from .refresher import Refresher, shared_refresher
from .snapshot_rows import SavedRoute, is_alive, merged, read_row

try:
    import fcntl
except ImportError:  # not on Windows: there the atomic rename alone has to do
    fcntl = None  # type: ignore[assignment]

__all__ = ["Provider", "SavedRoute", "SavedRoutes", "Snapshot"]

_log = logging.getLogger("kafkaroute.catalog.snapshot")

_FORMAT, _VERSION = "kafkaroute-snapshot", 1
#: Seconds from a change to the write that keeps it; several changes make one write.
_CHANGE_DELAY = 1.0
#: The same when a consumer that is killed would forget what it has to finish.
_SHORT_DELAY = 0.05
#: The same when routes were only confirmed: their age is all that changes in the file.
_CONFIRM_DELAY = 60.0
#: A write that takes t seconds is followed by none for so many times t; by one that a killed
#: consumer depends on, after t.
_REST, _SHORT_REST = 20.0, 1.0
#: Seconds to wait for another process's write.
_LOCK_PATIENCE = 2.0


Provider = Callable[[], list[SavedRoute]]


class Snapshot:
    """Routes in the file at `path`, which several processes may share. Thread-safe."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        wall: Callable[[], float] = time.time,
        refresher: Refresher | None = None,
    ) -> None:
        self.path = Path(path)
        self._wall = wall
        self._refresher = refresher or shared_refresher()
        self._providers: dict[str, Provider] = {}
        self._warned: set[str] = set()
        self._next_write: float | None = None
        #: When the last write ended, and the seconds that it took.
        self._wrote = (float("-inf"), 0.0)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._refresher.adopt(self)

    def attach(self, scope: str, provider: Provider) -> None:
        """Write what `provider` tells, under `scope`, from now on."""
        with self._lock:
            self._providers[scope] = provider

    def load(self, scope: str) -> dict[str, Mapping[str, Any]]:
        """Rows of `scope` by channel; :meth:`route` reads one. Empty where there is no usable
        file; never raises for what is in it."""
        return self._scopes().get(scope, {})

    def signature(self) -> object:
        """Something that differs when the file does; None where there is none."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def route(self, channel: str, row: Mapping[str, Any]) -> SavedRoute | None:
        """The saved route of one row, too old or not; None where it is damaged."""
        saved = read_row(channel, row)
        if saved is None:
            self._warn(
                "entry", "snapshot %s: the entry of a channel is damaged; left out", self.path
            )
        return saved

    def touch(self, *, changed: bool, soon: bool = False) -> None:
        """Something is new: write in a while; `soon`, if the process may not live so long; or some
        time, if routes were only confirmed."""
        delay = (_SHORT_DELAY if soon else _CHANGE_DELAY) if changed else _CONFIRM_DELAY
        ended, took = self._wrote
        rest = took * (_SHORT_REST if soon else _REST)
        due = max(self._refresher.clock() + delay, ended + rest)
        with self._lock:
            if self._next_write is not None and self._next_write <= due:
                return
            self._next_write = due
        self._refresher.schedule(due, self)

    def close(self) -> None:
        """Write a last time, and no more."""
        self.flush()
        self._refresher.forget(self)

    # --- called by the refresher ----------------------------------------------------------

    def on_due(self, key: str, due: float) -> None:  # one kind of work only
        with self._lock:
            if self._next_write != due:
                return
        self._refresher.submit(self)

    def work(self) -> None:
        self.flush()

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._next_write = None

    # --- writing --------------------------------------------------------------------------

    def flush(self) -> None:
        """Write now. What goes wrong is a warning: the application works without a snapshot."""
        with self._writing:
            with self._lock:
                self._next_write = None
                providers = dict(self._providers)
            started = time.monotonic()
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._turn() as mine:
                    if mine:
                        self._write({scope: provide() for scope, provide in providers.items()})
                        self._warned.discard("write")
                    else:
                        self.touch(changed=True)
            except OSError as error:
                self._warn("write", "snapshot %s cannot be written: %s", self.path, error.strerror)
            self._wrote = self._refresher.clock(), time.monotonic() - started

    def _write(self, own: Mapping[str, list[SavedRoute]]) -> None:
        now = self._wall()
        scopes: dict[str, dict[str, Mapping[str, Any]]] = {}
        for scope, rows in self._scopes().items():
            kept = {channel: row for channel, row in rows.items() if is_alive(row, now)}
            if kept:
                scopes[scope] = kept
        for scope, saved in own.items():
            rows = scopes.setdefault(scope, {})
            for one in saved:
                channel = one.route.channel
                rows[channel] = merged(rows.get(channel), one, now)
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                _dump(file, scopes)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    @contextlib.contextmanager
    def _turn(self) -> Iterator[bool]:
        """Whether it is this process's turn to write; False after some patience."""
        if fcntl is None:
            yield True
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(self.path.with_name(f".{self.path.name}.lock"), flags, 0o600)
        try:
            give_up = time.monotonic() + _LOCK_PATIENCE
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= give_up:
                        yield False
                        return
                    time.sleep(0.02)
                else:
                    yield True
                    return
        finally:
            os.close(lock)

    # --- reading --------------------------------------------------------------------------

    def _scopes(self) -> dict[str, dict[str, Mapping[str, Any]]]:
        text = self._text()
        if text is None:
            return {}
        try:
            whole = json.loads(text)
            ours = whole["format"] == _FORMAT and whole["version"] == _VERSION
            scopes = whole["scopes" if ours else "another format"]
            return {
                scope: {
                    channel: row
                    for channel, row in rows.items()
                    if isinstance(row, dict) and isinstance(row.get("confirmed"), int | float)
                }
                for scope, rows in scopes.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # Not the error's text: it may quote what is in the file.
            self._warn("content", "snapshot %s is damaged or foreign; ignored", self.path)
            return {}

    def _text(self) -> str | None:
        try:
            file = open_regular(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("open", "snapshot %s cannot be read: %s", self.path, error.strerror)
            return None
        with file:
            try:
                return file.read().decode("utf-8") if self._is_trusted(file.fileno()) else None
            except (OSError, UnicodeDecodeError):
                self._warn("content", "snapshot %s is damaged or foreign; ignored", self.path)
                return None

    def _is_trusted(self, handle: int) -> bool:
        status = os.fstat(handle)
        if not hasattr(os, "getuid"):
            return True
        if status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o022:
            self._warn(
                "owner",
                "snapshot %s belongs to, or may be written by, another user; ignored",
                self.path,
            )
            return False
        if status.st_mode & 0o044:
            self._warn(
                "mode", "snapshot %s could be read by other users; its mode is now 0600", self.path
            )
            with contextlib.suppress(OSError):
                os.fchmod(handle, 0o600)
        return True

    def _warn(self, kind: str, text: str, *args: object) -> None:
        """Each kind of trouble once."""
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning(text, *args)


def _dump(file: IO[str], scopes: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """json.dump(), a row at a time: one call for 100,000 rows would stall every other thread."""
    file.write(f'{{"format": "{_FORMAT}", "version": {_VERSION}, "scopes": {{')
    for number, (scope, rows) in enumerate(scopes.items()):
        file.write((",\n" if number else "\n") + json.dumps(scope) + ": {")
        for index, (channel, row) in enumerate(rows.items()):
            file.write((",\n" if index else "\n") + f"{json.dumps(channel)}: {json.dumps(row)}")
        file.write("}")
    file.write("}}\n")


class SavedRoutes:
    """Guarded by its cache's lock, but for :meth:`flush` and :meth:`now`. Without a snapshot it holds nothing.

    Args:
        scope: tells this cache's routes from those of others in the file.
        provider: says what to write.
    """

    def __init__(
        self,
        snapshot: Snapshot | None,
        scope: str,
        provider: Provider,
        wall: Callable[[], float],
    ) -> None:
        self._snapshot = snapshot
        self._scope = scope
        self._wall = wall
        self._rows: dict[str, Mapping[str, Any]] | None = None
        self._read: tuple[object, dict[str, Mapping[str, Any]]] | None = None
        if snapshot is not None:
            snapshot.attach(scope, provider)

    def take(self, channel: str) -> tuple[SavedRoute, float] | None:
        """The channel's saved route and its age in seconds; each channel's only once."""
        if self._snapshot is None:
            return None
        if self._rows is None:
            self._rows = dict(self._snapshot.load(self._scope))
        row = self._rows.pop(channel, None)
        saved = self._snapshot.route(channel, row) if row is not None else None
        if saved is None:
            return None
        # A wall clock that was set back must not make a route younger than new.
        age = max(0.0, self._wall() - saved.confirmed)
        return (saved, age) if age <= saved.limit else None

    def now(self, channel: str) -> SavedRoute | None:
        """What the file says of the channel now, too old for use or not. It is read again where it
        has changed; not under the cache's lock, but by one thread at a time."""
        if self._snapshot is None:
            return None
        signature = self._snapshot.signature()
        if self._read is None or self._read[0] != signature:
            self._read = signature, self._snapshot.load(self._scope)
        row = self._read[1].get(channel)
        return self._snapshot.route(channel, row) if row is not None else None

    def touch(self, *, changed: bool, soon: bool = False) -> None:
        if self._snapshot is not None:
            self._snapshot.touch(changed=changed, soon=soon)

    def flush(self) -> None:
        if self._snapshot is not None:
            self._snapshot.close()
