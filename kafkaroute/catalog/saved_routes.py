"""One cache's share of a snapshot file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .snapshot import Provider, SavedRoute, Snapshot

__all__ = ["SavedRoutes"]


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
