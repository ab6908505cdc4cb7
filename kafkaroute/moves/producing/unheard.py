"""Messages that failed without a callback to tell."""

from __future__ import annotations

import logging
import threading
import time

from ...messages import KafkaError

__all__ = ["Unheard"]

_log = logging.getLogger("kafkaroute.producer")

#: Seconds between two warnings.
_WARN_EVERY = 60.0


class Unheard:
    """Counts them, and warns now and then.

    Attributes:
        count: how many so far.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._warned_at = float("-inf")
        self.count = 0

    def add(self, channel: str, error: KafkaError) -> None:
        now = time.monotonic()
        with self._lock:
            self.count += 1
            count, warn = self.count, now - self._warned_at > _WARN_EVERY
            if warn:
                self._warned_at = now
        if warn:
            text = "channel %s: a message without a delivery callback failed (%s); %d so far"
            _log.warning(text, channel, error.name(), count)
