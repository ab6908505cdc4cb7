"""What decides when the new place of a channel may be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .leaving import Leaving

__all__ = ["ReadingPolicy", "WindowPolicy"]


class ReadingPolicy(Protocol):
    """Asked again and again while a new place is held; once True, it stays so."""

    def may_read(self, partition: int | None = None) -> bool:
        """Whether this partition of the new place (None: all of them) may be read now."""


class WindowPolicy:
    """All of the new place, when producers had time to leave the old one and it is empty.

    Args:
        leaving: the old place; ``since`` is when no producer writes to it any more.
        clock: time.monotonic, but for tests.
    """

    def __init__(self, leaving: Leaving, clock: Callable[[], float]) -> None:
        self._leaving = leaving
        self._clock = clock

    def may_read(self, partition: int | None = None) -> bool:
        del partition  # this policy knows only the place as a whole
        return self._clock() >= self._leaving.since and self._leaving.outcome is not None
