"""One scout for each old place that is being left, and how long to wait there."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping

from ...backend.registry import get_backend
from ...router import Place
from ...settings import Settings
from ..scout import Scout
from .leaving import Leaving
from .stages import Stage, Way

__all__ = ["Scouting"]

#: librdkafka's default for session.timeout.ms.
_SESSION = 45_000.0


class Scouting:
    """Channels that leave one place together share its scout."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scouts: dict[Place, Scout] = {}
        #: What each looks at.
        self._topics: dict[Place, set[str]] = {}

    def window(self, old: Stage) -> float:
        """Seconds in which producers may still write to `old`."""
        settings = self._settings
        if settings.move_window is not None:
            return settings.move_window
        if old.route.max_age is not None:
            return old.route.max_age
        return max(settings.ttl, 300.0)

    def leave(self, head: Stage, since: float, *, commits: bool) -> Leaving:
        """Begin to look whether `head` is empty; `since`: time.monotonic() from which on it
        counts."""
        place = head.place
        if (scout := self._scouts.get(place)) is None:
            scout = self._scouts[place] = Scout(get_backend(place.backend), place.config)
            self._topics[place] = set()
        self._topics[place].add(head.topic)
        session = place.config.get("session.timeout.ms", _SESSION)
        takeover = float(session) if isinstance(session, int | float | str) else _SESSION
        patience = self._settings.drain_timeout
        return Leaving(scout, head.topic, since, patience, takeover / 1000, commits=commits)

    def keep(self, heads: Iterable[Stage]) -> None:
        """Look at nothing but these from now on."""
        wanted: dict[Place, set[str]] = {}
        for head in heads:
            wanted.setdefault(head.place, set()).add(head.topic)
        for place in self._scouts.keys() - wanted.keys():
            del self._topics[place]
            self._scouts.pop(place).close()
        for place, topics in self._topics.items():
            for topic in topics - wanted[place]:
                self._scouts[place].unwatch(topic)
            topics.intersection_update(wanted[place])

    def end_with(self, owner: object, ways: Mapping[str, Way]) -> None:
        """Where `owner` is dropped without close(), end what runs in the background for it."""
        weakref.finalize(owner, _give_up, self, ways).atexit = False

    def after_fork_in_child(self) -> None:
        self._scouts, self._topics = {}, {}


def _give_up(scouting: Scouting, ways: Mapping[str, Way]) -> None:
    for way in ways.values():
        for stage in way.stages:
            if stage.opening is not None:
                stage.opening.stop()
    scouting.keep(())
