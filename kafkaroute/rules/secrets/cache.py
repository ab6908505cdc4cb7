"""Secrets that were read, for a bounded time; read again in the background."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .stores import SecretStore, SecretUnavailable

__all__ = ["SecretCache"]

_log = logging.getLogger("kafkaroute.catalog.secrets")

#: Seconds for which a document that was read serves while its store fails.
_KEPT_FOR = 3600.0
#: Seconds between two tries at a store that failed.
_RETRY_AFTER = 5.0
#: Seconds after which a failure is a store that hangs.
_SLOW = 0.5
_MAX_DOCUMENTS = 10_000

_Key = tuple[SecretStore, str]


@dataclass(frozen=True, slots=True)
class _Entry:
    """`found` is None where the store never could tell; `failure` then says why."""

    found: Mapping[str, str] | None
    read_at: float
    due: float
    failure: str = ""


class SecretCache:
    """Thread-safe. Waits for a store only where it knows nothing of a document at all.

    Args:
        clock: seconds, monotonic.

    Attributes:
        changes: grows whenever a document is read that is not as it was.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.changes = 0
        self._entries: dict[_Key, _Entry] = {}
        self._hangs_until: dict[SecretStore, float] = {}
        self.reset()
        _caches.add(self)

    def reset(self) -> None:
        """Also in the child of a fork, where the parent's thread is missing."""
        self._lock = threading.Lock()
        self._pending: set[_Key] = set()
        self._worker: threading.Thread | None = None

    def read(self, store: SecretStore, document: str) -> Mapping[str, str]:
        """The secrets of `document` by key.

        Raises:
            SecretUnavailable: never read, or too long ago.
        """
        if not store.life:
            return store.read(document)
        key = (store, document)
        entry = self._entries.get(key)
        now = self._clock()
        if entry is None:
            entry = self._read(key)
        elif now >= entry.due:
            self._read_soon(key)
        if entry.found is None:
            raise SecretUnavailable(entry.failure)
        if now - entry.read_at > _KEPT_FOR:
            raise SecretUnavailable(f"not read for {now - entry.read_at:.0f} s")
        return entry.found

    def _read(self, key: _Key) -> _Entry:
        store, document = key
        now = self._clock()
        before = self._entries.get(key)
        found, failure = self._tried(store, document)
        if found is not None:
            entry = _Entry(found, now, now + store.life)
        elif before is not None and before.found is not None:
            _log.warning("a secret is used as it was before: %s", failure)
            entry = _Entry(before.found, before.read_at, now + _RETRY_AFTER)
        else:
            _log.warning("a secret cannot be read: %s", failure)
            entry = _Entry(None, now, now + _RETRY_AFTER, failure)
        with self._lock:
            self._entries[key] = entry
            if before is not None and before.found != entry.found:
                self.changes += 1
            while len(self._entries) > _MAX_DOCUMENTS:
                del self._entries[next(iter(self._entries))]
        return entry

    def _tried(self, store: SecretStore, document: str) -> tuple[Mapping[str, str] | None, str]:
        """What `store` reads, or None and why."""
        started = self._clock()
        if started < self._hangs_until.get(store, started):
            return None, "its store does not answer"
        try:
            return dict(store.read(document)), ""
        except SecretUnavailable as error:
            failure = str(error)
        except Exception as error:  # its text may hold the secret
            failure = f"its store failed ({type(error).__name__})"
        now = self._clock()
        if now - started > _SLOW:
            # There may be thousands of documents, and each try would take as long.
            self._hangs_until[store] = now + _RETRY_AFTER
        return None, failure

    def _read_soon(self, key: _Key) -> None:
        with self._lock:
            self._pending.add(key)
            if self._worker is None:
                self._worker = threading.Thread(
                    target=self._work, name="kafkaroute-secrets", daemon=True
                )
                self._worker.start()

    def _work(self) -> None:
        """Reads what is pending, then ends."""
        while True:
            with self._lock:
                if not self._pending:
                    self._worker = None
                    return
                key = self._pending.pop()
            self._read(key)


_caches: weakref.WeakSet[SecretCache] = weakref.WeakSet()


def _in_child() -> None:
    for cache in list(_caches):
        cache.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
