"""Warnings that a stranger can cause, and that must not fill the log."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

__all__ = ["Rarely"]

#: Seconds between two warnings.
_QUIET = 60.0


class Rarely(logging.LoggerAdapter[logging.Logger]):
    """Writes a warning once in a minute, and how many were held back meanwhile."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger)
        self._held_back = 0
        self._next = float("-inf")

    @property
    def level(self) -> int:
        return self.logger.level

    def warning(self, msg: object, *args: object, **more: Any) -> None:
        now = monotonic()
        if now < self._next:
            self._held_back += 1
            return
        self._next = now + _QUIET
        if self._held_back:
            msg = f"{msg} ({self._held_back} more warnings since the last one)"
        self._held_back = 0
        super().warning(msg, *args, **more)
