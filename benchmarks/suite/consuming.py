"""A filled channel, and the ways to read it: what the groups of consumer figures share."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import confluent_kafka

from kafkaroute import Consumer

from .readback import Ledger
from .runs import BrokenMeasurement, Clock, Sample, check
from .setting import Setting
from .shapes import KEYS, VALUE

__all__ = ["Filled", "consume_batches", "poll_loop"]

#: Seconds in which a consumer fetches ahead before it is timed, so that not the broker is timed.
_AHEAD = 0.5
_READ = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "queued.min.messages": 200_000,
    "fetch.wait.max.ms": 50,
}
_names = itertools.count()


class Filled:
    """A topic of `count` messages, over four partitions, and a channel that lives there."""

    def __init__(self, setting: Setting, count: int, backend: str) -> None:
        servers = setting.servers
        self.count = count
        self.topic = servers.topic()
        self.channel = f"kafka://bench.example/{self.topic}"
        self._backend = backend
        self._servers = servers
        self.config = {**servers.config(), **_READ}
        known = {} if backend == "confluent-kafka" else {"queued.min.messages": None}
        tuning = {k: v for k, v in {**_READ, **known}.items() if v is not None}
        servers.put(self.channel, self.topic, backend, tuning)
        producer = confluent_kafka.Producer(servers.config())
        ledger = Ledger(servers.config(), self.topic)
        with ledger.balanced():
            for number in range(count):
                producer.produce(self.topic, VALUE, KEYS[number & 15], number & 3)
            check(producer.flush(60) == 0, "the topic could not be filled")
            ledger.produced = count

    @contextmanager
    def bare(self, group: str) -> Iterator[Any]:
        """confluent-kafka's consumer."""
        consumer = confluent_kafka.Consumer({**self.config, "group.id": group})
        consumer.subscribe([self.topic])
        try:
            yield consumer
        finally:
            consumer.close()

    @contextmanager
    def routed(self, group: str) -> Iterator[Consumer]:
        settings = self._servers.settings(self._backend, client_config={"group.id": group})
        with Consumer(settings) as consumer:
            consumer.subscribe([self.channel])
            yield consumer

    def run(
        self,
        open_consumer: Callable[[str], AbstractContextManager[Any]],
        read: Callable[[Any, int], int],
        ahead: float = _AHEAD,
    ) -> Sample:
        """One run: everything read once, by a group of its own, which may fetch for `ahead`
        seconds before it is timed. An event instead of a message shows in the bytes read."""
        with open_consumer(f"bench-{next(_names)}-{time.monotonic_ns()}") as consumer:
            first = read(consumer, 1)  # joins the group, and begins to fetch ahead
            time.sleep(ahead)
            with Clock.running() as clock:
                size = read(consumer, self.count - 1)
                clock.lap()
        check(
            first + size == self.count * len(VALUE),
            f"{first + size} bytes read, of {self.count * len(VALUE)}",
        )
        return clock.sample(self.count - 1)


def poll_loop(consumer: Any, count: int) -> int:
    """Read `count` messages one by one; how many bytes they had."""
    read = size = 0
    poll = consumer.poll
    while read < count:
        message = poll(10)
        if message is None:
            raise BrokenMeasurement("poll() gave no message")
        size += len(message.value())
        read += 1
    return size


def consume_batches(consumer: Any, count: int) -> int:
    """Read `count` messages, 500 at once."""
    read = size = 0
    while read < count:
        messages = consumer.consume(min(500, count - read), 10)
        check(messages, "no message for 10 s")
        for message in messages:
            size += len(message.value())
        read += len(messages)
    return size
