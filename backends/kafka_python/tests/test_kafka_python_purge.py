"""Giving messages up: what kafka-python's sender thread makes of batches that were failed meanwhile,
and in which order messages are reported."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kafkaroute.messages import KafkaError, Message
from kafkaroute.testing.embedded import EmbeddedCluster
from kafkaroute_kafka_python.fast.batches import LeanBatch
from kafkaroute_kafka_python.library import KafkaNetClient, KafkaPartition, MemoryRecordsBuilder, kp
from kafkaroute_kafka_python.network.producer_client import _Client
from kafkaroute_kafka_python.producing.purge import _age
from kafkaroute_kafka_python.producing.reports import Reports

from . import kafka_python_world
from .kafka_python_world import numbers, open_producer

cluster = kafka_python_world.cluster
SLOW = 3000  # ms


class Failures:
    def __init__(self) -> None:
        self.all: list[tuple[int, bytes | None]] = []

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        assert error is not None
        self.all.append((error.code(), message.value()))

    @property
    def values(self) -> list[bytes | None]:
        return [value for _, value in self.all]


@pytest.mark.embedded
def test_batches_failed_in_flight_do_not_trouble_the_sender_when_their_time_is_up(
    cluster: EmbeddedCluster, caplog: pytest.LogCaptureFixture
) -> None:
    topic = cluster.new_topic(1)
    failures = Failures()
    producer = open_producer(cluster, on_failure=failures, linger_ms=0, message_timeout_ms=1000)
    send = producer.sender(topic)
    send(b"known")
    assert producer.flush(10) == 0
    cluster.set_rtt(SLOW)
    for value in numbers(0, 20):
        send(value)
    producer.poll(0.2)
    producer.purge(False, True, True)
    assert producer.flush(0.5) == 0
    assert failures.all == [(KafkaError._PURGE_INFLIGHT, value) for value in numbers(0, 20)]
    # What comes now must time out as ever, though the failed ones are due to do so before.
    send(b"late")
    deadline = time.monotonic() + 8
    while len(failures.all) < 21 and time.monotonic() < deadline:
        producer.poll(0.1)
    assert failures.all[20:] == [(KafkaError._MSG_TIMED_OUT, b"late")]
    cluster.set_rtt(0)
    assert producer.close(5) == 0
    assert not [r for r in caplog.records if "Uncaught error" in r.getMessage()]


@pytest.mark.embedded
@pytest.mark.parametrize("way", ["timeout", "purge", "close"])
def test_messages_in_flight_and_queued_are_reported_in_their_order(
    cluster: EmbeddedCluster, way: str
) -> None:
    topic = cluster.new_topic(1)
    failures = Failures()
    producer = open_producer(
        cluster,
        on_failure=failures,
        linger_ms=0,
        batch_num_messages=10,
        max_in_flight_requests_per_connection=1,
        message_timeout_ms=1200,
    )
    send = producer.sender(topic)
    send(b"known")
    assert producer.flush(10) == 0
    cluster.set_rtt(SLOW)
    for start in (0, 100):
        for value in numbers(start, start + 100):
            send(value)
        producer.poll(0.1)
    if way == "purge":
        producer.purge(True, True, True)
    if way != "close":
        assert producer.flush(6) == 0
        codes = {code for code, _ in failures.all}
        purged = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}
        assert codes == (purged if way == "purge" else {KafkaError._MSG_TIMED_OUT})
    producer.close(0)
    cluster.set_rtt(0)
    assert failures.values == numbers(0, 200)


@pytest.mark.embedded
def test_what_waits_for_its_topic_is_reported_after_what_was_queued_before(
    cluster: EmbeddedCluster,
) -> None:
    topic = cluster.new_topic(1)
    failures = Failures()
    producer = open_producer(cluster, on_failure=failures, linger_ms=5000)
    send = producer.sender(topic)
    send(b"known")
    assert producer.flush(10) == 0
    for value in numbers(0, 5):
        send(value)
    producer._topic(topic).ready = False  # as when the topic vanishes from metadata for a moment
    for value in numbers(5, 10):
        send(value)
    producer.purge(True, False, True)
    assert producer.flush(1) == 0
    assert failures.values == numbers(0, 10)


def test_halves_of_a_batch_keep_its_place() -> None:
    from kafka.producer.record_accumulator import RecordAccumulator

    partition = KafkaPartition("t", 0)
    reports = Reports(100, 10_000, only_errors=False)
    accumulator = RecordAccumulator()

    def batch(count: int) -> Any:
        batch = LeanBatch(partition, MemoryRecordsBuilder(2, 0, 16384), reports, 1.0, 1.0)
        for number in range(count):
            batch.records.append(0, None, b"%d" % number, [])
            batch.entries.append(1)
        return batch

    first, large, last = batch(1), batch(9), batch(1)
    large.records.close()
    accumulator.split_and_reenqueue(large)
    halves = list(accumulator._batches[partition])
    quarters = []
    for half in halves:
        half.records.close()
        accumulator._batches[partition].clear()
        accumulator.split_and_reenqueue(half)
        quarters += list(accumulator._batches[partition])
    assert [quarter.record_count for quarter in quarters] == [3, 2, 2, 2]
    assert sorted([last, *reversed(quarters), first], key=_age) == [first, *quarters, last]


@pytest.mark.parametrize("refusal", [kp.KafkaConnectionError(), kp.SaslAuthenticationFailedError()])
def test_node_that_cannot_be_used_is_told_without_an_exception(
    monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    def refuse(*_: Any, **__: Any) -> bool:
        raise refusal

    waits: list[float] = []
    monkeypatch.setattr(KafkaNetClient, "await_ready", refuse)
    client = _Client.__new__(_Client)
    client.poll = lambda timeout_ms: waits.append(timeout_ms)
    assert client.await_ready(1) is False
    assert waits == [50]
