"""One scout for each old place that is being left, and how long to wait there."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable, Mapping

from ...backend.registry import get_backend
from ...places import Place
from ...settings import Settings
from .drainage.scout import Scout
from .leaving import MISSES, Leaving
from .positions import rebalance_seconds, session_seconds
from .stages import Stage, Way

__all__ = ["Scouting"]

#: Seconds that one look at an old place may take at most.
_LOOK = 3.0


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

    def since(self, old: Stage) -> float | None:
        """Since when producers may know what follows `old`, heard of just now; None where a group
        without offsets begins at the beginning. Seconds since the epoch."""
        if self._settings.on_move_start == "timestamp":
            return time.time() - self.window(old)
        return None

    def linger(self, left: Stage) -> float:
        """Seconds without a message after which `left` is watched no more."""
        settings = self._settings
        seconds = settings.move_linger
        if seconds is None:
            seconds = max(600.0, 10 * settings.ttl, min(settings.max_stale, 3600.0))
        # While the group deals out its partitions, nothing can come.
        settled = left.member is None or left.member.settled
        return seconds + (0.0 if settled else rebalance_seconds(left.place))

    def leave(self, head: Stage, since: float, *, commits: bool) -> Leaving:
        """Begin to look whether `head` is empty; `since`: time.monotonic() from which on it
        counts."""
        place = head.place
        if (scout := self._scouts.get(place)) is None:
            patience = min(_LOOK, self._settings.drain_timeout / MISSES)
            backend = get_backend(place.backend)
            scout = self._scouts[place] = Scout(backend, place.config, patience=patience)
            self._topics[place] = set()
        self._topics[place].add(head.topic)
        return Leaving(
            scout,
            head.topic,
            since,
            self._settings.drain_timeout,
            session_seconds(place),
            rebalance_seconds(place),
            commits=commits,
        )

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
