"""Routes that a channel has left, but that a group may not have read to the end.

A consumer that was down during a move, or restarts in the middle of one, is given only the new
route by the catalog. What it has to finish first is known from the answer's ``previous`` and from
the snapshot file, which keeps, per channel, every route that was replaced by one to another place.

Several processes, and groups, share the file. An entry says which groups read the channel at the
time, and which of them have finished it; nothing is taken out of it but by age (a week: Kafka's
default for keeping messages). So nobody can erase what another one needs: a process says of its
own group only that it has finished, which by the rules of a move is true for the whole group.
Kept for too long, an entry costs a group that has finished nothing, and another one a look.

There is no moment at which a killed process loses an entry: the old route stays in the file until
the new one is written, and both happen in one write (:func:`snapshot_rows.merged`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from ...route import Route
from ..previous import leads_to_same_place, previous_routes
from .snapshot import SavedRoutes
from .snapshot_rows import Left, SavedRoute, bare, joined

__all__ = ["Unfinished"]


class Unfinished:
    """The unfinished routes of one RouteCache: ``cache.unfinished``. Thread-safe.

    Args:
        saved: the cache's share of the snapshot file.
        current: the channel's usable route.
        accepts: whether the policy lets a route be used.
        wall: time.time.
        intent: whoever does not ``consume`` leaves nothing unread, and is kept no account of.
    """

    def __init__(
        self,
        saved: SavedRoutes,
        current: Callable[[str], Route | None],
        accepts: Callable[[Route], bool],
        wall: Callable[[], float],
        intent: str,
    ) -> None:
        self._saved = saved
        self._current = current
        self._accepts = accepts
        self._wall = wall
        self._active = intent == "consume"
        self._groups: dict[str, set[str]] = {}
        self._left: dict[str, list[Left]] = {}
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    # --- for the consumer -----------------------------------------------------------------------

    def of(self, channel: str, group: str) -> tuple[Route, ...]:
        """Name `group` as a reader of `channel`, and tell which routes it has not finished, oldest
        first: without the place where the channel lives now, and without what the policy forbids.
        Reads the snapshot file where it has changed; call it when a channel is subscribed to,
        after the cache has given its route.

        A group may never have read one that only the answer names: see :meth:`was_read`.
        """
        current = self._current(channel)
        now = self._wall()
        with self._lock:
            groups = self._groups.setdefault(channel, set())
            fresh = group not in groups
            groups.add(group)
        if fresh:
            self._saved.touch(changed=True, soon=True)
        with self._reading:
            in_file = _from_file(self._saved.now(channel), current, now)
        with self._lock:
            known = joined([*self._left.get(channel, ()), *in_file], now)
            self._left[channel] = known
        pending = [one.route for one in known if one.concerns(group)]
        named = previous_routes(current, now) if current is not None else ()
        named = tuple(one for one in named if not _is_done(one, known, group))
        # The answer's own words are newer than what is remembered of the same place.
        routes = [one for one in pending if not _is_among(one, named)] + list(named)
        if current is not None:
            routes = [one for one in routes if not leads_to_same_place(one, current)]
        generations = [one.generation for one in routes if one.generation is not None]
        if len(generations) == len(routes):
            routes.sort(key=lambda one: one.generation or 0)
        return tuple(one for one in routes if self._accepts(one))

    def was_read(self, channel: str, route: Route, group: str) -> bool:
        """Whether `group` is known to have read `route`, as :meth:`of` has just told it. Where it is
        not, and has no committed offset there, nothing of it is left behind."""
        with self._lock:
            return any(
                leads_to_same_place(one.route, route) and group in (one.groups or ())
                for one in self._left.get(channel, ())
            )

    def keep(self, channel: str, route: Route) -> None:
        """Keep `route` until every group that reads the channel has finished it, although no
        answer names it any more (a ``previous`` that is being worked on). A route that the
        cache itself has seen replaced is kept without this."""
        self._add(channel, route, later=False)

    def finish(self, channel: str, route: Route, group: str) -> None:
        """`group` has read `route` to its end, and watched it long enough."""
        now = self._wall()
        with self._lock:
            before = self._left.get(channel, [])
            same = (one.since for one in before if leads_to_same_place(one.route, route))
            # Of an entry that is there only `done` changes.
            left = Left(bare(route), next(same, now), frozenset({group}), {group: now})
            self._left[channel] = joined([*before, left], now)
        self._saved.touch(changed=True)

    def _add(self, channel: str, route: Route, *, later: bool) -> None:
        now = self._wall()
        with self._lock:
            before = self._left.get(channel, [])
            if not later and _is_among(route, (one.route for one in before)):
                return
            left = Left(bare(route), now, frozenset(self._groups.get(channel, ())))
            self._left[channel] = joined([*before, left], now)
        self._saved.touch(changed=True, soon=True)

    # --- for the cache --------------------------------------------------------------------------

    def moved(self, channel: str, old: Route, new: Route) -> None:
        """The cache has another route for the channel."""
        if self._active and not leads_to_same_place(old, new):
            self._add(channel, old, later=True)

    def account(self, saved: SavedRoute) -> SavedRoute:
        """`saved` with who reads the channel, and what it left."""
        if not self._active:
            return saved
        now, channel = self._wall(), saved.route.channel
        with self._lock:
            groups = dict.fromkeys(self._groups.get(channel, ()), now)
            return replace(saved, groups=groups, left=tuple(self._left.get(channel, ())))


def _from_file(saved: SavedRoute | None, current: Route | None, now: float) -> list[Left]:
    """What the file says was left. Its own route counts, too, where this process has another."""
    if saved is None:
        return []
    if current is None or leads_to_same_place(saved.route, current):
        return list(saved.left)
    return [*saved.left, saved.as_left(now)]


def _is_among(route: Route, others: Iterable[Route]) -> bool:
    return any(leads_to_same_place(route, other) for other in others)


def _is_done(route: Route, known: Iterable[Left], group: str) -> bool:
    """Whether `group` has finished this very route. Only generations tell it from an earlier stay
    in the same place; without them the place is looked at once more."""
    return any(
        group in one.done
        and not one.concerns(group)
        and leads_to_same_place(one.route, route)
        and one.route.generation is not None
        and route.generation is not None
        and one.route.generation >= route.generation
        for one in known
    )
