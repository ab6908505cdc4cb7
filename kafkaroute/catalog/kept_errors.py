"""Errors of channels that have no route, kept for a moment (negative caching)."""

from __future__ import annotations

__all__ = ["KeptErrors"]

#: Kept at most: an application may ask for any number of channels that do not exist.
_MOST = 1024


class KeptErrors:
    """Channel → error, until it is over. Guarded by its cache's lock."""

    def __init__(self) -> None:
        self._errors: dict[str, tuple[float, Exception]] = {}

    def keep(self, channel: str, error: Exception, now: float, life: float) -> None:
        if len(self._errors) >= _MOST:
            self._errors = {key: kept for key, kept in self._errors.items() if now < kept[0]}
            while len(self._errors) >= _MOST:
                del self._errors[next(iter(self._errors))]
        self._errors[channel] = (now + life, error)

    def get(self, channel: str, now: float) -> Exception | None:
        kept = self._errors.get(channel)
        if kept is None:
            return None
        if now < kept[0]:
            return kept[1]
        del self._errors[channel]
        return None

    def drop(self, channel: str) -> None:
        self._errors.pop(channel, None)
