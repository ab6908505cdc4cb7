"""Asking for routes now, and whether they were confirmed since."""

from __future__ import annotations

import threading
import time

from .cache import RouteCache

__all__ = ["Question", "confirm"]

#: Channels asked for at most, and seconds waited for their answers at most.
_MOST = 256
_PATIENCE = 1.0


class Question:
    """Has the catalog asked for a channel's route, from now on.

    Attributes:
        began: time.monotonic() of the question.
    """

    __slots__ = ("_cache", "_channel", "_failures", "began")

    def __init__(self, cache: RouteCache, channel: str) -> None:
        self._cache = cache
        self._channel = channel
        self.began = time.monotonic()
        self._failures = cache.state(channel).failures
        cache.refresh(channel)

    def confirmed(self) -> bool | None:
        """Whether the catalog confirmed the route after it was asked; None: no answer yet, or one
        to an older question."""
        state = self._cache.state(self._channel)
        if state.age is None or state.failures > self._failures:
            return False
        return True if state.age <= time.monotonic() - self.began else None


def confirm(cache: RouteCache, channels: set[str], stop: threading.Event) -> None:
    """Have the routes of `channels` confirmed now, so that what moves together is one sequence.
    What takes longer, or fails, moves by itself later."""
    if len(channels) > _MOST:
        return
    began = time.monotonic()
    waiting = [Question(cache, channel) for channel in channels]
    while time.monotonic() - began < _PATIENCE:
        waiting = [question for question in waiting if question.confirmed() is None]
        if not waiting or stop.wait(0.005):
            return
