"""Earlier routes out of an answer's ``previous``, and which routes lead to the same place."""

from __future__ import annotations

from datetime import datetime

from ..route import Route

__all__ = ["leads_to_same_place", "previous_routes"]


def previous_routes(route: Route, now: float) -> tuple[Route, ...]:
    """The earlier routes that `route`'s answer names, oldest first.

    In the order of their generations where all have one, else as the answer lists them. Their
    client configuration is the current answer's (its own where an entry has one); credentials are
    the entry's alone: those of one cluster are never shown to another.

    Args:
        now: time.time(); entries whose ``until`` is over are left out.
    """
    found = [
        Route(
            channel=route.channel,
            topic=place["topic"],
            connection=place["connection"],
            credentials=place.get("credentials") or {},
            configuration=place.get("configuration") or route.configuration,
            generation=place.get("generation"),
            cluster_id=place.get("cluster_id"),
        )
        for place in route.previous
        if not _is_over(place.get("until"), now)
    ]
    generations = [one.generation for one in found if one.generation is not None]
    if len(generations) == len(found):
        found.sort(key=lambda one: one.generation or 0)
    return tuple(found)


def _is_over(until: str | None, now: float) -> bool:
    return until is not None and datetime.fromisoformat(until).timestamp() <= now


def leads_to_same_place(one: Route, other: Route) -> bool:
    """Whether two routes are known to mean one place, without asking the clusters: the same topic,
    and the same cluster id (where both tell one) or the same set of bootstrap servers. Credentials
    and settings do not count. Two lists of one cluster without an id seem to be two places."""
    if one.topic != other.topic:
        return False
    if one.cluster_id is not None and other.cluster_id is not None:
        return one.cluster_id == other.cluster_id
    return _servers(one) == _servers(other)


def _servers(route: Route) -> frozenset[str]:
    servers = str(route.client_config().get("bootstrap.servers", ""))
    return frozenset(part.strip().lower() for part in servers.split(",") if part.strip())
