"""What every test of the suite works with: clients that are closed, names that nobody else uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from ...backend.contract import (
    Backend,
    BackendConsumer,
    BackendProducer,
    DeliveryCallback,
    HeadersInput,
)
from ...backend.settings_keys import ConfigValue
from ...messages import KafkaError, Message, Origin, TopicPartition
from ..cluster import Cluster, unique_name

__all__ = ["PATIENCE", "UNREACHABLE", "Kit", "Reports"]

#: Seconds until a test gives up waiting for what must happen.
PATIENCE = 20.0
#: Nobody listens on port 1 (tcpmux) of the loopback interface.
UNREACHABLE = "127.0.0.1:1"


class Reports:
    """A delivery callback that keeps what it is given."""

    def __init__(self) -> None:
        self.all: list[tuple[KafkaError | None, Message]] = []

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self.all.append((error, message))

    def __len__(self) -> int:
        return len(self.all)

    @property
    def codes(self) -> list[int | None]:
        """Error codes, in order; None for what was delivered."""
        return [None if error is None else error.code() for error, _ in self.all]

    @property
    def messages(self) -> list[Message]:
        return [message for _, message in self.all]


class Kit:
    """A backend and a cluster.

    Args:
        settings: what this backend needs to be told on this cluster.
    """

    def __init__(
        self, backend: Backend, cluster: Cluster, settings: Mapping[str, ConfigValue]
    ) -> None:
        self.backend = backend
        self.cluster = cluster
        self.settings = dict(settings)
        self._open = ExitStack()
        self._writer: BackendProducer | None = None

    def name(self, prefix: str) -> str:
        return unique_name(prefix)

    def topic(self, partitions: int = 1) -> str:
        """A new topic."""
        return self.cluster.new_topic(partitions)

    def config(
        self, settings: Mapping[str, Any] | None = None, security: str = "plaintext"
    ) -> dict[str, ConfigValue]:
        return {**self.cluster.client_config(security), **self.settings, **(settings or {})}

    def producer(
        self,
        settings: Mapping[str, Any] | None = None,
        security: str = "plaintext",
        *,
        on_failure: DeliveryCallback | None = None,
        only_failures: bool = False,
    ) -> BackendProducer:
        """A producer that is closed when the test ends."""
        producer = self.backend.open_producer(
            self.config(settings, security), on_failure=on_failure, only_failures=only_failures
        )
        self._open.callback(producer.close, 0.2)
        return producer

    def stranded_producer(
        self, settings: Mapping[str, Any] | None = None, **failures: Any
    ) -> BackendProducer:
        """A producer whose cluster cannot be reached."""
        return self.producer({"bootstrap.servers": UNREACHABLE, **(settings or {})}, **failures)

    def consumer(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        group: str | None = None,
        security: str = "plaintext",
        origins: Mapping[str, Origin] | None = None,
    ) -> BackendConsumer:
        """A consumer that reads from the beginning, in a group of its own unless one is given,
        and is closed when the test ends."""
        config = self.config(
            {
                "group.id": group or self.name("g"),
                "auto.offset.reset": "earliest",
                "session.timeout.ms": self.cluster.session_timeout_ms,
                "heartbeat.interval.ms": 300,
                "fetch.wait.max.ms": 50,
                **(settings or {}),
            },
            security,
        )
        consumer = self.backend.open_consumer(config, {} if origins is None else origins)
        self._open.callback(consumer.close)
        return consumer

    def reader(self, topic: str, partitions: Iterable[int] = (0,)) -> BackendConsumer:
        """A consumer that reads `partitions` of `topic` from the beginning, outside any group."""
        consumer = self.consumer({"enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        return consumer

    def write(
        self,
        topic: str,
        values: Iterable[bytes | str | None],
        *,
        key: bytes | str | None = None,
        partition: int = -1,
        timestamp: int = 0,
        headers: HeadersInput | None = None,
    ) -> list[Message]:
        """Deliver `values`; returns the delivered messages."""
        if self._writer is None:
            self._writer = self.producer({"linger.ms": 0})
        reports = Reports()
        send = self._writer.sender(topic)
        for value in values:
            send(value, key, partition, reports, timestamp, headers)
        assert self._writer.flush(PATIENCE) == 0
        assert set(reports.codes) <= {None}
        return reports.messages

    def next(self, consumer: BackendConsumer, timeout: float) -> Message | None:
        """The next message or event, asked for as kafkaroute's Consumer does."""
        for call in (consumer.fetched, consumer.ready):
            if (message := call()) is not None:
                return message
        return consumer.poll(timeout)

    def read(
        self, consumer: BackendConsumer, count: int, timeout: float = PATIENCE
    ) -> list[Message]:
        """Exactly `count` messages; an event or too few of them fails the test."""
        messages: list[Message] = []
        deadline = time.monotonic() + timeout
        while len(messages) < count:
            message = self.next(consumer, 0.1)
            if message is not None:
                assert message.error() is None, message.error()
                messages.append(message)
            elif time.monotonic() > deadline:
                pytest.fail(f"{len(messages)} of {count} messages came within {timeout:.0f} s")
        return messages

    def read_all(self, topic: str, count: int, partitions: Iterable[int] = (0,)) -> list[Message]:
        """`count` messages of `topic` from the beginning, and not one more."""
        consumer = self.reader(topic, partitions)
        messages = self.read(consumer, count)
        self.expect_nothing(consumer, 0.2)
        return messages

    def expect_nothing(self, consumer: BackendConsumer, seconds: float) -> None:
        """No message comes for `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            message = self.next(consumer, min(left, 0.1))
            assert message is None, f"unexpected: {message!r} {message.error()}"

    def event(self, consumer: BackendConsumer, code: int, timeout: float = PATIENCE) -> Message:
        """The next event with `code`; messages and other events before it are dropped."""
        deadline = time.monotonic() + timeout
        seen = []
        while time.monotonic() < deadline:
            message = self.next(consumer, 0.1)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() == code:
                return message
            seen.append(error)
        return pytest.fail(f"no event {code} within {timeout:.0f} s, only {seen}")

    def join(
        self, consumer: BackendConsumer, topics: Sequence[str], **callbacks: Any
    ) -> list[Message]:
        """Subscribe and poll until partitions are assigned; returns what was read meanwhile."""
        consumer.subscribe(
            topics,
            callbacks.get("on_assign"),
            callbacks.get("on_revoke"),
            callbacks.get("on_lost"),
        )
        return self.poll_until(consumer.assignment, consumer)

    def poll_until(
        self,
        condition: Callable[[], object],
        *consumers: BackendConsumer,
        timeout: float = PATIENCE,
    ) -> list[Message]:
        """Poll `consumers` in turn until `condition`; returns the messages that came."""
        messages: list[Message] = []
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"did not happen within {timeout:.0f} s")
            for consumer in consumers:
                message = self.next(consumer, 0.02)
                if message is not None:
                    assert message.error() is None, message.error()
                    messages.append(message)
        return messages

    def serve_until(
        self,
        producer: BackendProducer,
        condition: Callable[[], object],
        timeout: float = PATIENCE,
    ) -> None:
        """Poll `producer` until `condition`."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"did not happen within {timeout:.0f} s")
            producer.poll(0.05)

    def committed(self, group: str, topic: str, partition: int = 0) -> int:
        """What `group` has committed, as a member that owns nothing sees it."""
        onlooker = self.consumer(group=group)
        [answer] = onlooker.committed([TopicPartition(topic, partition)], PATIENCE)
        onlooker.close()
        return answer.offset

    def close(self) -> None:
        """Close every client, each even if another fails to."""
        self._open.close()
