"""What the confluent backend's producer adds to the conformance suite."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import confluent_kafka
import pytest

import kafkaroute
from kafkaroute.backend.contract import BackendProducer
from kafkaroute.testing.embedded import EmbeddedCluster
from kafkaroute_confluent import ConfluentBackend

UNREACHABLE = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.fixture
def producer(embedded_cluster: EmbeddedCluster) -> Iterator[BackendProducer]:
    producer = ConfluentBackend().open_producer(
        {**embedded_cluster.client_config(), "linger.ms": 0}
    )
    yield producer
    producer.close(5)


@pytest.fixture
def stranded() -> Iterator[BackendProducer]:
    producer = ConfluentBackend().open_producer(UNREACHABLE)
    yield producer
    producer.close(0)


def test_exceptions_belong_to_both_trees(
    producer: BackendProducer, embedded_cluster: EmbeddedCluster
) -> None:
    send = producer.sender(embedded_cluster.new_topic())
    with pytest.raises(confluent_kafka.KafkaException) as native:
        send(b"x" * 2_000_000)
    with pytest.raises(kafkaroute.KafkaException) as own:
        send(b"x" * 2_000_000)
    assert type(native.value) is type(own.value)
    error = own.value.args[0]
    assert isinstance(error, confluent_kafka.KafkaError)
    assert isinstance(error, kafkaroute.KafkaError)
    assert error.code() == kafkaroute.KafkaError.MSG_SIZE_TOO_LARGE
    assert own.value.__suppress_context__


def test_the_callback_takes_the_native_objects_in_either_form_of_the_call(
    producer: BackendProducer, embedded_cluster: EmbeddedCluster
) -> None:
    send = producer.sender(embedded_cluster.new_topic())
    seen: list[tuple[object, kafkaroute.Message]] = []

    def report(error: object, message: kafkaroute.Message) -> None:
        seen.append((error, message))

    send(b"five arguments", b"k", -1, report)
    send(b"eight arguments", b"k", -1, report, 1_600_000_000_000, {"h": "v"})
    assert producer.flush(10) == 0
    assert [error for error, _ in seen] == [None, None]
    for _, message in seen:
        assert type(message) is confluent_kafka.Message
        assert isinstance(message, kafkaroute.Message)
    assert {message.value() for _, message in seen} == {b"five arguments", b"eight arguments"}


def test_an_exception_of_a_callback_leaves_poll_or_flush_unchanged(
    producer: BackendProducer, embedded_cluster: EmbeddedCluster
) -> None:
    def fail(_error: object, _message: object) -> None:
        raise RuntimeError("the application's own")

    producer.sender(embedded_cluster.new_topic())(b"v", None, -1, fail)
    with pytest.raises(RuntimeError, match="own") as caught:
        producer.flush(10)
    assert type(caught.value) is RuntimeError


def test_close_reports_every_message_even_when_callbacks_raise() -> None:
    producer = ConfluentBackend().open_producer(UNREACHABLE)
    codes = []

    def fail(error: kafkaroute.KafkaError, _message: object) -> None:
        codes.append(error.code())
        raise RuntimeError("the application's own")

    for _ in range(5):
        producer.sender("t")(b"v", None, -1, fail)
    with pytest.raises(RuntimeError, match="own") as caught:
        producer.close(0)
    assert type(caught.value) is RuntimeError
    assert codes == [kafkaroute.KafkaError._PURGE_QUEUE] * 5
    assert producer.close(0) == 0


def test_close_counts_messages_and_not_events(stranded: BackendProducer) -> None:
    codes = []
    for _ in range(7):
        stranded.sender("t")(b"v", None, -1, lambda error, _message: codes.append(error.code()))
    time.sleep(0.3)  # log lines and error events queue up
    began = time.monotonic()
    assert stranded.close(0.2) == 7
    assert time.monotonic() - began < 2
    assert codes == [kafkaroute.KafkaError._PURGE_QUEUE] * 7


def test_flush_tells_messages_and_not_events(stranded: BackendProducer) -> None:
    stranded.sender("t")(b"v")
    time.sleep(0.3)
    assert len(stranded) >= 1
    assert stranded.flush(0.1) == 1


def test_a_closed_producer_says_so(producer: BackendProducer) -> None:
    send = producer.sender("t")
    assert producer.close(1) == 0
    for use in (
        lambda: send(b"v"),
        lambda: producer.poll(0),
        lambda: producer.flush(0),
        lambda: producer.purge(True, True, True),
        lambda: producer.list_topics(None, 1),
        lambda: producer.set_sasl_credentials("u", "p"),
        lambda: producer.begin_transaction(),
    ):
        with pytest.raises(kafkaroute.ClosedError):
            use()


def test_closing_with_an_open_transaction_does_not_wait_for_a_dead_cluster() -> None:
    with EmbeddedCluster() as cluster:
        producer = ConfluentBackend().open_producer(
            {**cluster.client_config(), "transactional.id": "tx"}
        )
        producer.init_transactions(10)
        producer.begin_transaction()
        producer.sender("t")(b"v")
        producer.flush(10)
    began = time.monotonic()
    producer.close(0)
    del producer
    gc.collect()
    assert time.monotonic() - began < 8


def test_metadata_is_kafkaroutes(
    producer: BackendProducer, embedded_cluster: EmbeddedCluster
) -> None:
    topic = embedded_cluster.new_topic(3)
    metadata = producer.list_topics(topic, 10)
    assert metadata.cluster_id == embedded_cluster.cluster_id
    [broker] = metadata.brokers.values()
    assert f"{broker.host}:{broker.port}" == embedded_cluster.bootstrap_servers
    assert metadata.topics[topic].error is None
    partitions = metadata.topics[topic].partitions
    assert sorted(partitions) == [0, 1, 2]
    assert partitions[2].leader == broker.id
    assert list(partitions[2].replicas) == [broker.id]
    assert metadata.orig_broker_name


def test_wrong_types_are_the_clients_own_errors(producer: BackendProducer) -> None:
    with pytest.raises(TypeError):
        producer.sender("t")(3)  # type: ignore[arg-type]


def test_what_is_produced_after_a_blocking_purge_is_not_purged(
    embedded_cluster: EmbeddedCluster,
) -> None:
    # The bare client fails two of three here: its `blocking` is inverted.
    for _ in range(20):
        producer = ConfluentBackend().open_producer(
            {**embedded_cluster.client_config(), "linger.ms": 5000}
        )
        send = producer.sender(embedded_cluster.new_topic())
        send(b"makes the topic known")
        producer.flush(10)
        purged: list[int | None] = []
        kept: list[int | None] = []

        def report(error: kafkaroute.KafkaError | None, _message: object, to=purged) -> None:
            to.append(error and error.code())

        for _ in range(5):
            send(b"v", b"k", -1, report)
        producer.purge(True, False, True)
        send(b"v", b"k", -1, lambda error, message, to=kept, say=report: say(error, message, to))
        assert producer.close(10) == 0
        assert kept == [None]
        assert purged == [kafkaroute.KafkaError._PURGE_QUEUE] * 5


def test_the_native_sender_fails_as_the_sender_does(
    producer: BackendProducer, embedded_cluster: EmbeddedCluster
) -> None:
    native = producer.native_sender(embedded_cluster.new_topic())
    assert native is not None
    with pytest.raises(confluent_kafka.KafkaException) as raw:
        native.send(b"x" * 2_000_000)
    assert not isinstance(raw.value, kafkaroute.KafkaException)
    with pytest.raises(kafkaroute.KafkaException):
        native.refuse(raw.value)
    mine = ValueError("of the application")
    with pytest.raises(ValueError, match="of the application"):
        native.refuse(mine)
    producer.close(0)
    with pytest.raises(RuntimeError) as closed:
        native.send(b"v")
    with pytest.raises(kafkaroute.ClosedError):
        native.refuse(closed.value)


def test_the_native_sender_takes_all_of_its_forms(
    producer: BackendProducer, embedded_cluster: EmbeddedCluster
) -> None:
    native = producer.native_sender(embedded_cluster.new_topic())
    assert native is not None
    seen: list[tuple[bytes | None, int | None, tuple[int, int]]] = []

    def report(_error: object, message: kafkaroute.Message) -> None:
        seen.append((message.value(), message.partition(), message.timestamp()))

    native.send(b"1", b"k")
    native.send(b"2", b"k", 2, report)
    native.send(b"3", b"k", 3, report, None, 1234, [("h", b"x")])
    assert producer.flush(10) == 0
    assert [(value, partition) for value, partition, _ in sorted(seen)] == [(b"2", 2), (b"3", 3)]
