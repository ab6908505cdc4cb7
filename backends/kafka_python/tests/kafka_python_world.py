"""What tests of the kafka-python backend on the embedded cluster share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from kafkaroute.backend.contract import BackendConsumer, BackendProducer
from kafkaroute.messages import Message, TopicPartition
from kafkaroute.testing.embedded import KAFKA_PYTHON_SETTINGS, EmbeddedCluster
from kafkaroute_kafka_python import KafkaPythonBackend


class Clients:
    def __init__(self, cluster: EmbeddedCluster) -> None:
        self.cluster = cluster
        self.open: list[Any] = []

    def config(self, settings: dict[str, Any]) -> dict[str, Any]:
        servers = {"bootstrap.servers": self.cluster.bootstrap_servers}
        return {**servers, **KAFKA_PYTHON_SETTINGS, **settings}

    def producer(self, **settings: Any) -> BackendProducer:
        given = {key.replace("_", "."): value for key, value in settings.items()}
        producer = KafkaPythonBackend().open_producer(self.config(given))
        self.open.append(lambda: producer.close(5))
        return producer

    def consumer(self, topic: str, partitions: int = 1, **settings: Any) -> BackendConsumer:
        given = {
            key if callable(value) else key.replace("_", "."): value
            for key, value in settings.items()
        }
        config = self.config({"group.id": "g", "fetch.wait.max.ms": 20, **given})
        consumer = KafkaPythonBackend().open_consumer(config, {})
        self.open.append(consumer.close)
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        return consumer


@pytest.fixture
def clients(embedded_cluster: EmbeddedCluster) -> Iterator[Clients]:
    clients = Clients(embedded_cluster)
    yield clients
    for close in reversed(clients.open):
        close()


def read(consumer: BackendConsumer, count: int) -> list[Message]:
    messages: list[Message] = []
    deadline = time.monotonic() + 20
    while len(messages) < count and time.monotonic() < deadline:
        messages += consumer.consume(count - len(messages), 0.2)
    assert [message.error() for message in messages] == [None] * count
    return messages


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    """One of the test's own, which it may slow down."""
    with EmbeddedCluster(partitions=1) as cluster:
        yield cluster


def open_producer(
    cluster: EmbeddedCluster,
    config: Mapping[str, Any] | None = None,
    *,
    on_failure: Any = None,
    **settings: Any,
) -> Any:
    """`settings` have underscores instead of dots."""
    own = {name.replace("_", "."): value for name, value in settings.items()}
    base = cluster.client_config(backend="kafka-python")
    backend = KafkaPythonBackend()
    return backend.open_producer({**base, **(config or {}), **own}, on_failure=on_failure)


def numbers(start: int, end: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, end)]
