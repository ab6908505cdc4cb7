"""Events that a loop over a Consumer outlives: the client goes on by itself when their cause ends."""

from __future__ import annotations

import logging
import time

from ..messages import KafkaError, Message

__all__ = ["PassingErrors"]

_log = logging.getLogger("kafkaroute.consumer")

#: Clusters and topics that are not there (yet, or just now).
_PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
    }
)
#: Seconds until the same is told again.
_QUIET = 30.0


class PassingErrors:
    """Those that one Consumer has told of."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: dict[tuple[int, str | None], float] = {}

    def outlives(self, message: Message, error: KafkaError) -> bool:
        """Whether reading goes on after the event `message`; a WARNING names the channel."""
        if error.fatal() or error.code() not in _PASSING:
            return False
        about = message.channel() or message.topic()
        now = time.monotonic()
        if now - self._told.get((error.code(), about), float("-inf")) >= _QUIET:
            self._told[error.code(), about] = now
            _log.warning("%s: %s; reading goes on when that is over", about or "a cluster", error)
        return True
