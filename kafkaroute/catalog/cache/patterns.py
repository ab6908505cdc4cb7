"""What a cache does with the answer for a pattern channel: it lands the routes of its members, as
if each had been asked for, so that one question a TTL serves them all.

The members' own questions come later than the pattern's: only where that one fails. A member that
the answer names no more is dropped, unless somebody has asked for it by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...route import Route
from .entry import Entry

__all__ = ["AFTER_THE_PATTERN", "dropped", "gone", "landing"]

#: Added to the chance that decides when a member's own refresh is due: after 105-125 % of the TTL,
#: and so after the pattern's.
AFTER_THE_PATTERN = 1.5


def gone(before: Route | None, now: Route) -> set[str]:
    """The members that the pattern's answer names no more."""
    if before is None or before.members is None:
        return set()
    return before.members.keys() - (now.members or {}).keys()


def landing(pattern: Route, entries: Mapping[str, Entry], started: float) -> list[Route]:
    """The routes in an answer that was asked for at `started`, but for those that are known from a
    later one of their own."""
    return [
        route
        for name, route in (pattern.members or {}).items()
        if route is not None and ((own := entries.get(name)) is None or own.confirmed <= started)
    ]


def dropped(names: Iterable[str], entries: Mapping[str, Entry]) -> list[str]:
    """Those of `names` that neither another pattern nor anybody else asks for."""
    found = {name for name in names if name in entries and not entries[name].named}
    if found:
        for entry in entries.values():
            found -= (entry.route.members or {}).keys()
    return sorted(found)
