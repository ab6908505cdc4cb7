"""Routes that a channel has left, but that a group may not have read to the end.

A consumer that was down during a move, or restarts in the middle of one, is given only the new
route by the catalog. What it has to finish first is known from the answer's ``previous`` and from
the snapshot file, which keeps, per channel, every route that was replaced by one to another place.

Several processes, and groups, share the file. An entry says which groups read the channel at the
time, and which of them have finished it; nothing is taken out of it but by age (a week: Kafka's
default for keeping messages). So nobody can erase what another one needs: a process says of its
own group only that it has finished, which by the rules of a move is true for the whole group.
Kept for too long, an entry costs a group that has finished nothing, and another one a look.
"""

from __future__ import annotations

from ..route import Route

__all__ = ["Unfinished"]


class Unfinished:
    """The unfinished routes of one RouteCache: ``cache.unfinished``. Thread-safe."""

    def of(self, channel: str, group: str) -> tuple[Route, ...]:
        """Name `group` as a reader of `channel`, and tell which routes it has not finished, oldest
        first: without the place where the channel lives now, and without what the policy forbids.
        Their configuration is the current route's. Reads the snapshot file where it has changed;
        call it when a channel is subscribed to, after the cache has given its route.

        A group may never have read one of them: then it has no committed offset there, and the
        caller finishes it at once.
        """
        return ()

    def keep(self, channel: str, route: Route) -> None:
        """Keep `route` until every group that reads the channel has finished it, although no
        answer names it any more (a ``previous`` that is being worked on). A route that the
        cache itself has seen replaced is kept without this."""

    def finish(self, channel: str, route: Route, group: str) -> None:
        """`group` has read `route` to its end, and watched it long enough."""
