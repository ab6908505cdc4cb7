"""Asking for the routes of channels that may have moved together with another."""

from __future__ import annotations

import threading
import time

from .cache import RouteCache

__all__ = ["confirm"]

#: Channels asked for at most, and seconds waited for their answers at most.
_MOST = 256
_PATIENCE = 1.0


def confirm(cache: RouteCache, channels: set[str], stop: threading.Event) -> None:
    """Have the routes of `channels` confirmed now, so that what moves together is one sequence.
    What takes longer, or fails, moves by itself later."""
    if len(channels) > _MOST:
        return
    began = time.monotonic()
    waiting = set(channels)
    for channel in waiting:
        cache.refresh(channel)
    while waiting and (waited := time.monotonic() - began) < _PATIENCE:
        for channel in list(waiting):
            state = cache.state(channel)
            if state.error is not None or state.age is None or state.age <= waited:
                waiting.discard(channel)
        if waiting and stop.wait(0.005):
            return
