"""How a cache's catalog is doing: what is said about it, and when it is left alone."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...errors import CatalogUnavailable
from ...policy import overridden_security_keys
from ...route import Route

__all__ = ["Health"]

_log = logging.getLogger("kafkaroute.catalog.cache")


class Health:
    """Which channels fail, by kind of failure; one log line when a kind of failure begins and one
    when no channel has it any more. Guarded by its cache's lock.

    Log calls are returned, to be made when the lock is free.

    Attributes:
        failures: times in a row that the catalog could not be had, by any channel.
        quiet_until: no background question before that (the cache's clock).
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._told_overrides: set[tuple[str, ...]] = set()
        self._failing: dict[type[Exception], set[str]] = {}
        self.failures = 0
        self.quiet_until = float("-inf")

    def failed(
        self, channel: str, before: Exception | None, error: Exception
    ) -> list[Callable[[], object]]:
        """A channel that has a route could not be refreshed; `before` was its last error."""
        calls = [] if type(before) is type(error) else self.cleared(channel, before)
        channels = self._failing.setdefault(type(error), set())
        if not channels:
            calls.append(lambda: _log.warning("%s; the last known routes stay in use", error))
        channels.add(channel)
        return calls

    def cleared(self, channel: str, before: Exception | None) -> list[Callable[[], object]]:
        """A channel no longer fails with `before`."""
        channels = self._failing.get(type(before)) if before is not None else None
        if not channels or channel not in channels:
            return []
        channels.discard(channel)
        if channels:
            return []
        kind, name = type(before).__name__, self._name
        return [lambda: _log.info("catalog %s: no channel fails with %s any more", name, kind)]

    def unavailable(self, now: float, wait: float) -> None:
        """The catalog itself could not be had: leave it alone for `wait` seconds."""
        self.failures += 1
        self.quiet_until = now + wait

    def ask_now(self) -> None:
        """Somebody wants to know: the catalog is asked although it failed a moment ago."""
        self.quiet_until = float("-inf")

    def available(self) -> set[str]:
        """The catalog answered; returns the channels that waited for that."""
        if not self.failures:
            return set()
        self.failures, self.quiet_until = 0, float("-inf")
        return set(self._failing.get(CatalogUnavailable, ()))

    def is_quiet(self, now: float) -> bool:
        """The catalog failed a moment ago, and is not to be asked in the background."""
        return now < self.quiet_until

    def overridden(self, route: Route) -> list[Callable[[], object]]:
        """A new route whose profile may undo its login settings: told once for the same ones."""
        keys = tuple(overridden_security_keys(route))
        if not keys or keys in self._told_overrides:
            return []
        self._told_overrides.add(keys)
        text = "the configuration profile overrides %s of the credentials (first seen: %s)"
        return [lambda: _log.warning(text, ", ".join(keys), route.channel)]
