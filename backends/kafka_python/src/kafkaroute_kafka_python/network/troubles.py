"""Errors of a client as a whole, for ``error_cb`` or as events: told, but not over and over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from kafkaroute.messages import KafkaError

from ..errors import to_kafka_error

__all__ = ["Troubles"]

logger = logging.getLogger("kafkaroute.backend.kafka_python")

#: Seconds before an error with the same code is told again.
_REPEAT = 1.0


class Troubles:
    """Collects errors from any thread and passes them to `sink`, at most one a second per code."""

    def __init__(self, sink: Callable[[KafkaError], None]) -> None:
        self._sink = sink
        self._told_at: dict[int, float] = {}
        self.closing = False

    def connection_lost(self, exc: BaseException) -> None:
        self.tell(to_kafka_error(exc))

    def tell(self, error: KafkaError) -> None:
        now = time.monotonic()
        code = error.code()
        if self.closing or now - self._told_at.get(code, -_REPEAT) < _REPEAT:
            return
        self._told_at[code] = now
        logger.info("%s: %s", error.name(), error.str())
        self._sink(error)
