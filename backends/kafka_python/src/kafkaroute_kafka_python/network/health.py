"""Trouble that kafka-python only logs, as events: missing topics, lost brokers, refusals."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kafkaroute.messages import KafkaError

__all__ = ["Health"]

#: Seconds before the same error is reported again.
_REPEAT = 10.0
#: Seconds between two answers that must both lack a topic before it counts as missing: the first
#: may belong to a question that was asked before the topic was of interest.
_CONFIRM = 0.05
#: Seconds between two looks at the connections.
_LOOK = 1.0


class Health:
    """Watches one consumer's cluster; `note` queues an event and may be called from any thread."""

    def __init__(
        self, note: Callable[[KafkaError, str | None], None], topics: Callable[[], set[str]]
    ) -> None:
        self._note = note
        self._topics = topics
        self._client: Any = None
        self._missing_since: dict[str, float] = {}
        self._told: set[str] = set()
        self._last: tuple[int, str | None] | None = None
        self._last_at = 0.0
        self._down = False
        self._look_at = 0.0

    def watch(self, client: Any) -> None:
        self._client = client
        client.cluster.add_listener(self._metadata_changed)

    def stop(self) -> None:
        if self._client is not None:
            self._client.cluster.remove_listener(self._metadata_changed)

    def forget_topics(self) -> None:
        """The subscription is new: missing topics are to be told again."""
        self._told.clear()
        self._missing_since.clear()

    def report(self, error: KafkaError, topic: str | None) -> None:
        """Queue `error` unless the same was queued a moment ago and nothing worked since."""
        now = time.monotonic()
        kind = (error.code(), topic)
        if kind == self._last and now - self._last_at < _REPEAT:
            return
        self._last, self._last_at = kind, now
        self._note(error, topic)

    def fine(self) -> None:
        """kafka-python went through a poll without an error."""
        if self._last is not None and time.monotonic() - self._last_at >= _LOOK:
            self._last = None

    def look(self) -> None:
        """Tell when every known broker has become unreachable; once per outage."""
        now = time.monotonic()
        if now < self._look_at or self._client is None:
            return
        self._look_at = now + _LOOK
        failing = getattr(self._client._manager, "_backoff", None)
        brokers = self._client.cluster.brokers()
        if failing is None or not brokers:
            return
        down = all(broker.node_id in failing for broker in brokers)
        if down and not self._down:
            count = f"{len(brokers)}/{len(brokers)} brokers are down"
            self._note(KafkaError(KafkaError._ALL_BROKERS_DOWN, count), None)
        self._down = down

    def _metadata_changed(self, cluster: Any) -> None:
        """Called by kafka-python on its I/O thread after every metadata answer."""
        now = time.monotonic()
        for topic in self._topics():
            if topic in self._told:
                continue
            if topic in cluster.unauthorized_topics:
                self._tell(KafkaError.TOPIC_AUTHORIZATION_FAILED, topic)
            elif cluster.partitions_for_topic(topic) is not None:
                self._missing_since.pop(topic, None)
            elif now - self._missing_since.setdefault(topic, now) >= _CONFIRM:
                self._tell(KafkaError.UNKNOWN_TOPIC_OR_PART, topic)

    def _tell(self, code: int, topic: str) -> None:
        self._told.add(topic)
        error = KafkaError(code)
        text = f"Subscribed topic not available: {topic}: {error.str()}"
        self._note(KafkaError(code, text), topic)
