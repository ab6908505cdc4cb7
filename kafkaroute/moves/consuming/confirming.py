"""Asking the catalog whether a channel is really not where a late message comes from."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...members import Member
from ...route import Route
from ...router import Router
from .stages import Stage, State, Way

__all__ = ["Confirming"]

#: Seconds for which an answer counts: late messages come in bursts.
_KNOWN_FOR = 0.02
#: Seconds between two looks whether the answer is there.
_LOOK = 0.002


class Confirming:
    """A message from a place that was left may mean that the channel moved back there: then it
    has to wait for the rest of the place in between.

    Args:
        follow: called as ``(channel, old, new)`` where the catalog answers a new route.
    """

    def __init__(self, router: Router[Member], follow: Callable[[str, Route, Route], None]) -> None:
        self._router = router
        self._follow = follow
        self._confirmed: dict[str, float] = {}

    def still_left(self, way: Way, stage: Stage) -> bool:
        """Whether the channel still lives elsewhere than in `stage`, as the catalog says now (or
        said last, where it does not answer in time)."""
        now = time.monotonic()
        if now - self._confirmed.get(way.channel, float("-inf")) > _KNOWN_FOR:
            route = self._ask(way.channel, now)
            self._confirmed[way.channel] = time.monotonic()
            if route is not None:
                self._follow(way.channel, way.stages[-1].route, route)
        return stage.state is State.LEFT

    def _ask(self, channel: str, began: float) -> Route | None:
        """The route, confirmed since `began`. The cached one stays in use for everybody else."""
        cache = self._router.cache
        failures = cache.state(channel).failures
        cache.refresh(channel)
        give_up = began + self._router.settings.timeout
        while (now := time.monotonic()) < give_up:
            state = cache.state(channel)
            if state.age is not None and state.age <= now - began and state.error is None:
                break
            if state.failures > failures:
                break
            time.sleep(_LOOK)
        return cache.peek(channel)
