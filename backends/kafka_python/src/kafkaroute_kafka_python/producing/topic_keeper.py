"""Finds out about a producer's topics in the background, so that produce() never waits."""

from __future__ import annotations

import time
from threading import Condition, Thread
from typing import Any

from kafkaroute.messages import KafkaError

from ..library import kp
from .appender import Appender
from .reports import Reports
from .topics import Topic

__all__ = ["TopicKeeper"]

#: Seconds between two looks while messages wait (their time-outs are checked then).
_TICK = 0.1
#: Seconds after which an unknown topic is asked for once more. The library forgets one that is added
#: while the answer to another question is under way, until it refreshes everything (minutes later).
_ASK_AGAIN = 0.25
#: Kafka's limit on the length of a topic's name.
_NAME_MAX = 249


class TopicKeeper:
    """A thread that asks for unknown topics, hands over what waited, and times it out.

    It sleeps without any tick while nothing waits.
    """

    def __init__(self, reports: Reports, message_timeout: float, propagation_max: float) -> None:
        self._reports = reports
        self._message_timeout = message_timeout
        self._propagation_max = propagation_max
        self._changed = Condition()
        self._closed = False
        self._client: Any = None
        self._append: Appender | None = None
        self._thread: Thread | None = None
        self.topics: dict[str, Topic] = {}

    def opened(self, client: Any, append: Appender) -> None:
        """The native producer is there. Called once, from any thread."""
        client.cluster.add_listener(self._metadata_changed)
        self._client = client
        self._append = append
        self.nudge()

    def nudge(self) -> None:
        """Something waits now: look after it."""
        with self._changed:
            if self._thread is None and not self._closed:
                self._thread = Thread(target=self._run, name="kafkaroute-topics", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(5)
        if self._client is not None:
            self._client.cluster.remove_listener(self._metadata_changed)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                self._changed.wait(_TICK if self._anything_waits() else None)
                if self._closed:
                    return
            self._look_after()

    def _anything_waits(self) -> bool:
        return any(topic.waiting for topic in list(self.topics.values()))

    def _look_after(self) -> None:
        now = time.monotonic()
        for topic in list(self.topics.values()):
            if not topic.waiting:
                continue
            topic.expire(now - self._message_timeout, self._reports)
            if self._client is None or self._append is None:
                continue
            if topic.count == 0:
                self._ask(topic, now)
            if topic.count:
                topic.drain(self._append, self._reports)
            elif topic.error is not None:
                topic.fail_all(topic.error, self._reports)

    def _ask(self, topic: Topic, now: float) -> None:
        if not topic.asked:
            if not _is_valid(topic.name):
                topic.error = KafkaError(KafkaError.TOPIC_EXCEPTION)
                return
            topic.asked = True
            topic.ask_again_at = now + _ASK_AGAIN
            cluster = self._client.cluster
            # On the loop's thread: it iterates over the set of topics that this adds to.
            self._client._net.call_soon_threadsafe(lambda: cluster.add_topic(topic.name))
        elif now >= topic.ask_again_at:
            topic.ask_again_at = now + _ASK_AGAIN
            self._client._net.call_soon_threadsafe(self._client.cluster.request_update)
        wanted_at = topic.wanted_at if topic.wanted_at is not None else now
        if topic.missing and now - wanted_at >= self._propagation_max:
            topic.error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)

    def _metadata_changed(self, cluster: Any) -> None:
        """Called by kafka-python on its I/O thread after every metadata answer."""
        for topic in list(self.topics.values()):
            if not topic.asked:
                continue
            count = len(cluster.partitions_for_topic(topic.name) or ())
            if count == 0:
                topic.ready = False
                topic.count = 0
                topic.missing = True
                if topic.name in cluster.unauthorized_topics:
                    topic.error = KafkaError(kp.TopicAuthorizationFailedError.errno)
            elif count != topic.count:
                topic.set_count(count)
        with self._changed:
            self._changed.notify_all()


def _is_valid(name: str) -> bool:
    legal = all(char.isascii() and (char.isalnum() or char in "._-") for char in name)
    return legal and 0 < len(name) <= _NAME_MAX and name not in {".", ".."}
