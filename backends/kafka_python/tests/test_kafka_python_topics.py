"""How a producer finds out about its topics."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from kafkaroute_kafka_python.partitioner import PARTITIONERS
from kafkaroute_kafka_python.producing.reports import Reports
from kafkaroute_kafka_python.producing.topic_keeper import TopicKeeper
from kafkaroute_kafka_python.producing.topics import Topic, Waiting


class _Forgetful:
    """The library's cluster while the answer to another question is under way: what is added now
    is not in it, and nothing is asked behind it."""

    unauthorized_topics: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.partitions: set[int] = set()
        self._listeners: list[Callable[[Any], object]] = []
        self.updates = 0

    def add_listener(self, listener: Callable[[Any], object]) -> None:
        self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[Any], object]) -> None:
        self._listeners.remove(listener)

    def add_topic(self, _name: str) -> None:
        for listener in self._listeners:
            listener(self)

    def request_update(self) -> None:
        self.updates += 1
        self.partitions = {0, 1}
        for listener in self._listeners:
            listener(self)

    def partitions_for_topic(self, _name: str) -> set[int]:
        return self.partitions


def test_a_topic_that_the_library_forgot_is_asked_for_again() -> None:
    cluster = _Forgetful()
    loop = SimpleNamespace(call_soon_threadsafe=lambda call: call())
    appended: list[Any] = []
    keeper = TopicKeeper(Reports(10, 1000, only_errors=False), 300.0, 30.0)
    try:
        keeper.opened(
            SimpleNamespace(cluster=cluster, _net=loop), lambda *message: appended.append(message)
        )
        topic = keeper.topics["t"] = Topic("t", PARTITIONERS["consistent_random"], 0.0)
        assert topic.wait(Waiting(-1, 0, b"k", b"v", [], 1, time.monotonic()))
        keeper.nudge()
        until = time.monotonic() + 5
        while not appended:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert cluster.updates == 1
        assert topic.ready
    finally:
        keeper.close()
