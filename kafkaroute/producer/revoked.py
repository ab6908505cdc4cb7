"""Channels that worked, and that the catalog refuses now."""

from __future__ import annotations

from ..catalog.cache.entry import fresh_copy
from ..errors import is_revoked
from ..events import Phase

__all__ = ["Refusals"]


class Refusals:
    """Remembers them.

    Args:
        stop: their next message is refused, too (``on_revoked``).
    """

    def __init__(self, *, stop: bool) -> None:
        self._stop = stop
        self._refused: dict[str, Exception] = {}

    def check(self, channel: str) -> None:
        """Raise what the catalog said where that is to stop the channel."""
        if self.stops(channel):
            raise fresh_copy(self._refused[channel])

    def stops(self, channel: str) -> bool:
        return self._stop and channel in self._refused

    def heed(self, channel: str, error: Exception | None) -> Phase | None:
        """Take what the catalog answered; the phase that begins, if one does."""
        if error is not None and is_revoked(error):
            known = channel in self._refused
            self._refused[channel] = error
            return None if known else Phase.REVOKED
        if error is None and self._refused.pop(channel, None) is not None:
            return Phase.RESTORED
        return None

    def clear(self) -> None:
        self._refused.clear()
