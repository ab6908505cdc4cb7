"""What the cache keeps for one channel, and what it tells people about it."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import TypeVar

from ...errors import CatalogUnavailable, is_revoked
from ...route import Route
from .snapshot_rows import SavedRoute

__all__ = ["Entry", "Flight", "KeptErrors", "Lives", "RouteState", "fresh_copy", "is_same"]

_Error = TypeVar("_Error", bound=Exception)
#: Seconds after which a route is found to be too old.
_AFTER_THE_END = 0.01


class Entry:
    """A cached route. Small: there may be 100,000.

    Attributes:
        confirmed: when the question that last confirmed it was asked (the cache's clock).
        due: when it is asked for again.
        failures: refreshes that failed since then.
        error: what the last one failed with; None when all is well.
        expired: too old to be used, as the catalog did not confirm it for so long.
        from_snapshot: not confirmed by the catalog in this process yet.
        named: somebody asked for this channel; else it is only a pattern's member.
    """

    __slots__ = (
        "confirmed",
        "due",
        "error",
        "expired",
        "failures",
        "from_snapshot",
        "named",
        "route",
    )

    def __init__(
        self, route: Route, confirmed: float, *, named: bool = True, from_snapshot: bool = False
    ) -> None:
        self.route = route
        self.confirmed = confirmed
        self.due = float("inf")
        self.failures = 0
        self.expired = False
        self.error: Exception | None = None
        self.from_snapshot = from_snapshot
        self.named = named

    def ask_for(self) -> Route:
        """The route; somebody wants this channel from now on."""
        self.named = True
        return self.route

    def replace(self, route: Route) -> None:
        """From now on the channel has this route."""
        self.route = route

    def confirm(self, asked: float) -> None:
        """The catalog confirmed it, by a question that was asked then (never: -inf)."""
        self.confirmed = asked
        self.failures, self.error, self.from_snapshot, self.expired = 0, None, False, False

    def invalidate(self) -> None:
        """It must not be used before the catalog confirms it."""
        self.confirmed, self.expired = float("-inf"), False

    def plan(self, due: float) -> None:
        """It is asked for again then."""
        self.due = due

    def fail(self, error: Exception, now: float, lives: Lives, chance: float) -> bool:
        """Note that a refresh failed, and when to try again; True where that is news."""
        ends = self.confirmed + lives.limit(self.route)
        expired = float("-inf") < ends < now
        news = type(self.error) is not type(error) or expired != self.expired
        self.error, self.expired = error, expired
        self.failures += 1
        self.due = now + lives.backoff(self.failures, lives.ttl(self.route), chance, error)
        if now <= ends < self.due:
            self.due = ends + _AFTER_THE_END
        return news

    def saved(self, offset: float, lives: Lives) -> SavedRoute:
        """For the snapshot; `offset` turns the cache's clock into time.time()."""
        return SavedRoute(self.route, self.confirmed + offset, lives.limit(self.route))

    def state(self, channel: str, now: float, lives: Lives) -> RouteState:
        age = now - self.confirmed
        ttl, limit = lives.ttl(self.route), lives.limit(self.route)
        status = "fresh" if age <= ttl and self.error is None else "stale"
        return RouteState(
            channel,
            status if age <= limit else "expired",
            age,
            ttl,
            limit,
            str(self.error) if self.error is not None else None,
            self.failures,
            max(0.0, self.due - now),
            self.from_snapshot,
        )


class Flight:
    """A look-up under way. Whoever wants the same channel waits for it.

    Attributes:
        again: refresh() was called after the question was asked: ask once more.
        outdated: invalidate() was: the answer must not be used as it is.
        unwanted: forget() was: the answer must not be kept.
        part: it is in the answer for a pattern.
    """

    __slots__ = ("again", "done", "error", "outdated", "part", "route", "unwanted")

    def __init__(self, *, part: bool = False) -> None:
        self.part = part
        self.done = threading.Event()
        self.route: Route | None = None
        self.error: Exception | None = None
        self.again = False
        self.outdated = False
        self.unwanted = False

    def ask_again(self, *, outdated: bool = False) -> None:
        """The answer under way is too old; `outdated`: and must not be used."""
        self.again = True
        self.outdated = self.outdated or outdated

    def drop(self) -> None:
        """Nobody wants the answer any more."""
        self.unwanted = True

    def land(self, outcome: Route | Exception) -> None:
        """What the question came to; who waits goes on when :attr:`done` is set."""
        if isinstance(outcome, Exception):
            self.error = outcome
        else:
            self.route = outcome

    def result(self) -> Route:
        """The landed route; raises the landed error."""
        if self.error is not None:
            raise fresh_copy(self.error)
        assert self.route is not None
        return self.route


@dataclass(frozen=True, slots=True)
class RouteState:
    """How things stand with one channel, for people.

    Attributes:
        status: ``fresh``, ``stale`` (used while a better one is awaited), ``expired`` (too old to
            be used), or ``absent``.
        age: seconds since the catalog last confirmed the route; None where absent.
        ttl, max_stale: seconds, as they hold for this route.
        error: what the last question failed with (no secrets), or None.
        failures: questions that failed since the last success.
        next_refresh: seconds until the next question; None where none is planned.
        from_snapshot: the route is from the snapshot file, not from the catalog.
    """

    channel: str
    status: str
    age: float | None = None
    ttl: float | None = None
    max_stale: float | None = None
    error: str | None = None
    failures: int = 0
    next_refresh: float | None = None
    from_snapshot: bool = False


def fresh_copy(error: _Error) -> _Error:
    """A copy to raise: one object raised by many threads collects all their tracebacks."""
    try:
        return copy.copy(error)
    except Exception:
        # A plug-in's own kind of error, with a constructor of its own.
        return error.with_traceback(None)


def is_same(one: Route, other: Route) -> bool:
    """Equal in what equality leaves out, too."""
    return one == other and (one.etag, one.max_age, one.stale_if_error) == (
        other.etag,
        other.max_age,
        other.stale_if_error,
    )


#: The shortest TTL that an answer may ask for, or its clients would do nothing else.
_SHORTEST_TTL = 1.0
#: The share of the TTL after which a route is refreshed: from, and how much more at most.
_REFRESH_FROM, _REFRESH_SPREAD = 0.75, 0.2
#: After a first failure; doubled with each further one, up to the TTL.
_FIRST_BACKOFF = 2.0
#: For how long errors are kept where there is no route; the second for what a retry may mend.
_NOT_FOUND_LIFE, _ERROR_LIFE = 10.0, 1.0


@dataclass(frozen=True, slots=True)
class Lives:
    """`ttl` and `max_stale` hold where a route's own ``Cache-Control`` does not say. An answer may
    shorten both; it may lengthen the TTL up to `max_ttl` and `max_stale` (what stands between asks
    for a year now and then), and `max_stale` not at all.

    The `chance` of several methods is a random number in 0…1: clients that did something at the
    same time must not do the next thing at the same time.
    """

    default_ttl: float
    default_max_stale: float
    max_ttl: float = 3600.0

    def ttl(self, route: Route) -> float:
        """How long the route is fresh."""
        if (own := route.max_age) is None:
            return max(_SHORTEST_TTL, self.default_ttl)
        longest = max(self.default_ttl, min(self.max_ttl, self.default_max_stale))
        return max(_SHORTEST_TTL, min(own, longest))

    def limit(self, route: Route) -> float:
        """How long the route may be used after the catalog confirmed it."""
        own, most = route.stale_if_error, self.default_max_stale
        return max(self.ttl(route), most if own is None else min(own, most))

    def refresh_after(self, route: Route, chance: float) -> float:
        return self.ttl(route) * (_REFRESH_FROM + _REFRESH_SPREAD * chance)

    def backoff(self, failures: int, ttl: float, chance: float, error: Exception) -> float:
        """How long to wait after so many failures in a row, the last of them `error`."""
        # The bound keeps the power a float: no TTL is longer than 2**40 s.
        wait = min(ttl, _FIRST_BACKOFF * 2.0 ** min(failures - 1, 40)) * (1 - chance / 2)
        asked = error.retry_after if isinstance(error, CatalogUnavailable) else None
        return max(wait, min(asked or 0.0, ttl))

    def back_again(self, chance: float) -> float:
        """When channels that failed are asked for once the catalog is back."""
        return _FIRST_BACKOFF * chance

    def error(self, error: Exception) -> float:
        """How long an error is kept for a channel without a route."""
        if is_revoked(error):
            return min(self.default_ttl, _NOT_FOUND_LIFE)
        return _ERROR_LIFE


#: Kept at most: an application may ask for any number of channels that do not exist.
_MOST = 1024


class KeptErrors:
    """Channel → error, until it is over. Guarded by its cache's lock."""

    def __init__(self) -> None:
        self._errors: dict[str, tuple[float, Exception]] = {}

    def keep(self, channel: str, error: Exception, now: float, life: float) -> None:
        if len(self._errors) >= _MOST:
            self._errors = {key: kept for key, kept in self._errors.items() if now < kept[0]}
            while len(self._errors) >= _MOST:
                del self._errors[next(iter(self._errors))]
        self._errors[channel] = (now + life, error)

    def get(self, channel: str, now: float) -> Exception | None:
        kept = self._errors.get(channel)
        if kept is None:
            return None
        if now < kept[0]:
            return kept[1]
        del self._errors[channel]
        return None

    def drop(self, channel: str) -> None:
        self._errors.pop(channel, None)
