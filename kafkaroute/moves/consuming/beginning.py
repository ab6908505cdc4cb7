"""Places that this process was never told of: before it began, or between two answers."""

from __future__ import annotations

import logging
import time

from ...backend.registry import get_backend
from ...catalog.previous import previous_routes
from ...errors import RouteRejected
from ...members import Member
from ...route import Route
from ...router import Router
from ...settings import Settings
from ..scout import Scout

__all__ = ["missed_routes", "unfinished_routes"]

_log = logging.getLogger("kafkaroute.moves")

#: Seconds for a look at an older place.
_PATIENCE = 3.0


def unfinished_routes(router: Router[Member], route: Route) -> list[Route]:
    """Older routes of a channel that the group has to read to the end before `route`, oldest first.

    Known from the answer's ``previous`` and from the snapshot. One in which the group has never
    committed anything, and has not been seen, is none of its business; it is said to be finished.
    """
    group = str(router.place(route).config.get("group.id", ""))
    unfinished = router.cache.unfinished
    found = []
    for older in unfinished.of(route.channel, group):
        place = router.place(older)
        scout = Scout(get_backend(place.backend), place.config)
        try:
            look = scout.look(older.topic, _PATIENCE)
        finally:
            scout.close()
        if look.untouched and not unfinished.was_read(route.channel, older, group):
            unfinished.finish(route.channel, older, group)
            continue
        unfinished.keep(route.channel, older)
        found.append(older)
    if found:
        _log.info("channel %s: %d earlier place(s) to be finished first", route.channel, len(found))
    return found


def missed_routes(settings: Settings, known: Route, new: Route) -> list[Route]:
    """The places between `known` and `new`, oldest first: moves may follow each other faster than
    the catalog is asked. Generations tell, where the answer has them and names its ``previous``."""
    if known.generation is None or new.generation is None:
        return []
    found = []
    for one in previous_routes(new, time.time()):
        if one.generation is None or not known.generation < one.generation < new.generation:
            continue
        try:
            settings.policy.check(one, settings.client_config)
        except RouteRejected as error:
            _log.warning("channel %s: an earlier place is not read: %s", new.channel, error)
        else:
            found.append(one)
    return found
