"""What a snapshot file holds for one channel, and how the knowledge of several processes joins.

Beside the route, a consumer's row names the groups that read the channel, and the routes that it
left: each with when, which groups read it then, and which have finished it since. All of that only
grows (times get later, groups more), until it is too old: so processes that write one after the
other need not know of each other, and nobody erases what another one needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...channel import Channel
from ...errors import KafkarouteError
from ...route import Route
from ..answer import answer_from_route, route_from_answer
from ..previous import leads_to_same_place

__all__ = ["KEPT", "Left", "SavedRoute", "bare", "is_alive", "joined", "merged", "read_row"]

#: Seconds for which a place that was left may hold unread messages: a week, Kafka's default
#: for ``log.retention.hours``.
KEPT = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Left:
    """A route that the channel left.

    Attributes:
        since: time.time() when somebody last found it replaced.
        groups: which groups read the channel then; None where it is not known.
        done: group → time.time() when it had finished this route.
    """

    route: Route
    since: float
    groups: frozenset[str] | None = None
    done: Mapping[str, float] = field(default_factory=dict)

    def concerns(self, group: str) -> bool:
        """`group` read it, and has not finished it since."""
        read = self.groups is None or group in self.groups
        return read and self.done.get(group, 0.0) < self.since


@dataclass(frozen=True, slots=True)
class SavedRoute:
    """A route as last confirmed.

    Attributes:
        confirmed: time.time() when the catalog last gave it.
        limit: seconds after that for which it may be used.
        groups: group → time.time() when it last read the channel; None where nobody keeps account
            (a producer's, or from an older file).
        left: routes that the channel left.
    """

    route: Route
    confirmed: float
    limit: float
    groups: Mapping[str, float] | None = None
    left: tuple[Left, ...] = ()

    def as_left(self, now: float) -> Left:
        """The same, replaced by another route."""
        groups = None if self.groups is None else frozenset(self.groups)
        return Left(bare(self.route), now, groups)


def bare(route: Route) -> Route:
    """`route` without what does not tell where it leads."""
    return replace(route, previous=(), schema_registry=None)


def joined(lefts: Iterable[Left], now: float) -> list[Left]:
    """One entry a place, oldest first; what nobody needs any more is left out."""
    found: list[Left] = []
    for one in lefts:
        if now - one.since > KEPT or one.groups == frozenset():
            continue
        same = (k for k, it in enumerate(found) if leads_to_same_place(it.route, one.route))
        if (k := next(same, None)) is None:
            found.append(one)
        else:
            found[k] = _both(found[k], one)
    return sorted(found, key=lambda one: one.since)


def _both(one: Left, other: Left) -> Left:
    later = max(one, other, key=lambda left: left.since)
    groups = None
    if one.groups is not None and other.groups is not None:
        groups = one.groups | other.groups
    return Left(later.route, later.since, groups, _latest(one.done, other.done))


def _latest(*times: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in times:
        for name, at in each.items():
            found[name] = max(at, found.get(name, at))
    return found


def merged(known: Mapping[str, Any] | None, own: SavedRoute, now: float) -> Mapping[str, Any]:
    """The row to write where the file has `known`: the route that was confirmed last. The other
    one, if it leads elsewhere, is one that the channel left."""
    mine = _row(own)
    if known is None:
        return mine
    newer = known["confirmed"] <= own.confirmed
    if own.groups is None:
        return mine if newer else known
    same = known.get("answer") == mine["answer"] and not own.left and not known.get("left")
    if newer and same and own.groups.keys() >= _times(known.get("groups")).keys():
        return mine  # the usual case, and a cheap one
    other = read_row(own.route.channel, known)
    if other is None:
        return mine
    first, second = (own, other) if newer else (other, own)
    left = [*own.left, *other.left]
    if not leads_to_same_place(first.route, second.route):
        left.append(second.as_left(now))
    groups = _latest(own.groups, other.groups or {})
    recent = {group: at for group, at in groups.items() if now - at <= KEPT}
    return _row(replace(first, groups=recent, left=tuple(joined(left, now))))


def is_alive(row: Mapping[str, Any], now: float) -> bool:
    """Whether the row is still of use to anybody."""
    limit = row.get("limit")
    if not isinstance(limit, int | float):
        return False
    kept = KEPT if "groups" in row else 0.0
    return bool(now - row["confirmed"] <= max(limit, kept))


def read_row(channel: str, row: Mapping[str, Any]) -> SavedRoute | None:
    """What a row says; None where it is damaged. Single damaged parts are left out."""
    try:
        route = route_from_answer(
            Channel.parse(channel),
            row["answer"],
            max_age=_optional(row.get("max_age")),
            stale_if_error=_optional(row.get("stale_if_error")),
            etag=row.get("etag") if isinstance(row.get("etag"), str) else None,
        )
        saved = SavedRoute(route, float(row["confirmed"]), float(row["limit"]))
    except (KafkarouteError, KeyError, TypeError, ValueError):
        return None
    if "groups" not in row:
        return saved
    left = row.get("left")
    entries = left if isinstance(left, list) else []
    found = (_read_left(channel, one) for one in entries)
    return replace(
        saved,
        groups=_times(row["groups"]),
        left=tuple(one for one in found if one is not None),
    )


def _read_left(channel: str, entry: Any) -> Left | None:
    try:
        route = route_from_answer(Channel.parse(channel), entry["answer"])
        groups = entry.get("groups")
        names = None if groups is None else frozenset(map(str, groups))
        return Left(route, float(entry["since"]), names, _times(entry.get("done")))
    except (KafkarouteError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _times(table: object) -> dict[str, float]:
    if not isinstance(table, Mapping):
        return {}
    return {str(name): float(at) for name, at in table.items() if isinstance(at, int | float)}


def _optional(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _row(saved: SavedRoute) -> dict[str, Any]:
    route = saved.route
    row: dict[str, Any] = {
        "confirmed": saved.confirmed,
        "limit": saved.limit,
        "answer": answer_from_route(route),
        "max_age": route.max_age,
        "stale_if_error": route.stale_if_error,
        "etag": route.etag,
    }
    if saved.groups is not None:
        row["groups"] = dict(saved.groups)
        row["left"] = [_left_row(one) for one in saved.left] or None
    return {key: value for key, value in row.items() if value is not None}


def _left_row(left: Left) -> dict[str, Any]:
    return {
        "answer": answer_from_route(left.route),
        "since": left.since,
        "groups": None if left.groups is None else sorted(left.groups),
        "done": dict(left.done),
    }
