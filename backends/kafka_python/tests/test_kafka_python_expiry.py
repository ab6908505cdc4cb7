"""An idempotent producer goes on after messages have failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import RLock
from types import SimpleNamespace
from typing import Any

import pytest

from kafkaroute.messages import KafkaError, Message
from kafkaroute.testing.embedded import EmbeddedCluster
from kafkaroute_kafka_python.producing.expiry import _Expiry

from . import kafka_python_world
from .kafka_python_world import numbers

cluster = kafka_python_world.cluster
HANGS = 3000  # ms until an answer comes; requests are given up before
TIMEOUT = 1200

PRODUCE = 0
REQUEST_TIMED_OUT = 7


class Reports:
    def __init__(self) -> None:
        self.all: list[tuple[bytes | None, int | None]] = []

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self.all.append((message.value(), None if error is None else error.code()))


def open_producer(cluster: EmbeddedCluster, **settings: Any) -> Any:
    waits_shortly = {
        "enable.idempotence": True,
        "linger.ms": 0,
        "message.timeout.ms": TIMEOUT,
        "request.timeout.ms": 400,
        "socket.timeout.ms": 400,
    }
    return kafka_python_world.open_producer(cluster, waits_shortly, **settings)


def serve(producer: Any, until: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        producer.poll(0.05)
    assert until()


@pytest.mark.embedded
def test_idempotent_producer_goes_on_after_time_outs(
    cluster: EmbeddedCluster, caplog: pytest.LogCaptureFixture
) -> None:
    topic = cluster.new_topic(1)
    reports = Reports()
    producer = open_producer(cluster)
    send = producer.sender(topic)
    send(b"known", None, -1, reports)
    assert producer.flush(10) == 0
    for outage in range(2):
        reports.all.clear()
        cluster.set_rtt(HANGS)
        for value in numbers(0, 10):
            send(value, None, -1, reports)
            producer.poll(0.02)
        # The first one was sent in vain and waits for another try; all of them have their time.
        serve(producer, lambda: len(reports.all) >= 10)
        # These come while there is no producer id to be had, and time out as ever.
        for value in numbers(10, 20):
            send(value, None, -1, reports)
        serve(producer, lambda: len(reports.all) >= 20)
        late = [(value, KafkaError._MSG_TIMED_OUT) for value in numbers(0, 20)]
        assert reports.all == late, outage
        cluster.set_rtt(0)
        for value in numbers(20, 200):
            send(value, None, -1, reports)
            producer.poll(0.002)
        assert producer.flush(20) == 0
        # Those of a moment in which the cluster was still away may have timed out.
        after = reports.all[20:]
        assert [value for value, _ in after] == numbers(20, 200)
        assert after[-1] == (b"199", None)
    assert producer.close(5) == 0
    assert not [r for r in caplog.records if "Uncaught error" in r.getMessage()]


@pytest.mark.embedded
def test_batch_is_sent_again_under_its_own_id_when_another_one_has_timed_out(
    cluster: EmbeddedCluster,
) -> None:
    topic = cluster.new_topic(2)
    reports = Reports()
    producer = open_producer(cluster, message_timeout_ms=4000)
    send = producer.sender(topic)
    for partition in (0, 1):
        send(b"known", None, partition, reports)
    assert producer.flush(10) == 0
    native = producer._opener.native
    manager, batches = native._transaction_manager, native._accumulator._incomplete
    first_id = manager.producer_id_and_epoch.producer_id
    reports.all.clear()
    cluster.push_request_errors(PRODUCE, [REQUEST_TIMED_OUT] * 1000)
    send(b"old", None, 0, reports)
    producer.poll(3)  # nothing to serve: it only waits; "young" has as long when "old" is too old
    send(b"young", None, 1, reports)
    serve(producer, lambda: bool(reports.all))
    send(b"next", None, 0, reports)
    serve(producer, lambda: manager.producer_id_and_epoch.producer_id not in (-1, first_id))
    ids = {batch.topic_partition.partition: batch.producer_id for batch in batches.all()}
    assert ids[1] == first_id
    producer.poll(TIMEOUT / 6000)
    cluster.clear_request_errors(PRODUCE)
    assert producer.flush(20) == 0
    assert reports.all[0] == (b"old", KafkaError._MSG_TIMED_OUT)
    assert sorted(reports.all[1:]) == [(b"next", None), (b"young", None)]
    assert producer.close(5) == 0


@pytest.mark.embedded
@pytest.mark.parametrize(
    "code",
    [
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.INVALID_RECORD,
    ],
)
def test_refused_message_is_not_the_end_of_an_idempotent_producer(
    cluster: EmbeddedCluster, code: int
) -> None:
    reports = Reports()
    producer = open_producer(cluster)
    refused, other = (producer.sender(cluster.new_topic(1)) for _ in range(2))
    for send in (refused, other):
        send(b"known", None, -1, reports)
    assert producer.flush(10) == 0
    reports.all.clear()
    cluster.push_request_errors(PRODUCE, [code])
    refused(b"bad", None, -1, reports)
    assert producer.flush(20) == 0
    assert reports.all == [(b"bad", code)]
    for number in numbers(0, 20):
        refused(number, None, -1, reports)
        other(number, None, -1, reports)
        producer.poll(0.005)
    assert producer.flush(20) == 0
    assert sorted(reports.all[1:]) == sorted((number, None) for number in numbers(0, 20) * 2)
    assert producer.close(5) == 0


@pytest.mark.embedded
def test_refusal_of_the_whole_cluster_is_the_end_of_an_idempotent_producer(
    cluster: EmbeddedCluster,
) -> None:
    reports = Reports()
    producer = open_producer(cluster)
    send = producer.sender(cluster.new_topic(1))
    send(b"known", None, -1, reports)
    assert producer.flush(10) == 0
    code = KafkaError.CLUSTER_AUTHORIZATION_FAILED
    cluster.push_request_errors(PRODUCE, [code])
    for value in (b"bad", b"next"):
        send(value, None, -1, reports)
        assert producer.flush(20) == 0
    assert reports.all[1:] == [(b"bad", code), (b"next", code)]
    producer.close(1)


@pytest.mark.parametrize("alive", [True, False])
def test_late_answer_lets_nobody_overtake_the_batch_on_the_wire(alive: bool) -> None:
    muted = {"p"}

    def complete(batch: Any, *_: Any) -> None:
        muted.discard(batch.topic_partition)

    late = SimpleNamespace(topic_partition="p", final_state="failed")
    other = SimpleNamespace(topic_partition="p", final_state=None if alive else "aborted")
    sender = SimpleNamespace(
        _can_retry=None,
        _complete_batch=complete,
        _complete_batch_with_exception=complete,
        _in_flight_batches={"p": [(0.0, other)]},
    )
    native = SimpleNamespace(
        _accumulator=SimpleNamespace(expired_batches=None, muted=muted),
        _sender=sender,
        _transaction_manager=SimpleNamespace(
            _current_state=None, reset_producer_id=None, classify_batch_error=None
        ),
    )
    _Expiry(native, SimpleNamespace(lock=RLock()))  # type: ignore[arg-type]
    sender._complete_batch(late, None)
    assert muted == ({"p"} if alive else set())
    other.final_state = None
    sender._complete_batch(other, None)  # its own answer
    assert not muted
