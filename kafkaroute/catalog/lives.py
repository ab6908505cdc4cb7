"""How long what a catalog said is good for. All in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CatalogUnauthorized, CatalogUnavailable, ChannelNotFound
from ..route import Route

__all__ = ["Lives"]

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
    """`ttl` and `max_stale` hold where a route's own ``Cache-Control`` does not say.

    The `chance` of several methods is a random number in 0…1: clients that did something at the
    same time must not do the next thing at the same time.
    """

    default_ttl: float
    default_max_stale: float

    def ttl(self, route: Route) -> float:
        """How long the route is fresh."""
        own = route.max_age
        return max(_SHORTEST_TTL, self.default_ttl if own is None else own)

    def limit(self, route: Route) -> float:
        """How long the route may be used after the catalog confirmed it."""
        own = route.stale_if_error
        return max(self.ttl(route), self.default_max_stale if own is None else own)

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
        if isinstance(error, ChannelNotFound | CatalogUnauthorized):
            return min(self.default_ttl, _NOT_FOUND_LIFE)
        return _ERROR_LIFE
