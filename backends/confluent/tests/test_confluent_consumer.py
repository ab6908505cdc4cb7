"""What the confluent backend's consumer adds to the conformance suite."""

from __future__ import annotations

import time
from collections.abc import Iterator

import confluent_kafka
import pytest

import kafkaroute
from kafkaroute import TopicPartition
from kafkaroute.backend.contract import BackendConsumer
from kafkaroute.messages import Message, Origin
from kafkaroute.testing.embedded import EmbeddedCluster
from kafkaroute_confluent import ConfluentBackend
from kafkaroute_confluent.messages import to_partitions


@pytest.fixture
def origins() -> dict[str, Origin]:
    return {}


@pytest.fixture
def consumer(
    embedded_cluster: EmbeddedCluster, origins: dict[str, Origin]
) -> Iterator[BackendConsumer]:
    consumer = ConfluentBackend().open_consumer(
        {
            **embedded_cluster.client_config(),
            "group.id": "test-confluent-consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
        },
        origins,
    )
    yield consumer
    consumer.close()


def _fill(cluster: EmbeddedCluster, *values: bytes | None) -> str:
    topic = cluster.new_topic()
    producer = ConfluentBackend().open_producer({**cluster.client_config(), "linger.ms": 0})
    send = producer.sender(topic)
    for value in values:
        send(value, b"k", 0, None, 1_600_000_000_000, [("h", b"1")])
    assert producer.close(10) == 0
    return topic


def _poll(consumer: BackendConsumer) -> Message:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if (message := consumer.poll(0.1)) is not None:
            return message
    raise AssertionError("no message came")


def _consume(consumer: BackendConsumer, count: int) -> list[Message]:
    messages: list[Message] = []
    deadline = time.monotonic() + 10
    while len(messages) < count and time.monotonic() < deadline:
        messages += consumer.consume(count - len(messages), 0.1)
    assert len(messages) == count
    return messages


@pytest.mark.parametrize("how", ["poll", "consume"])
def test_messages_answer_every_call(
    consumer: BackendConsumer,
    embedded_cluster: EmbeddedCluster,
    origins: dict[str, Origin],
    how: str,
) -> None:
    topic = _fill(embedded_cluster, b"value")
    origins[topic] = Origin("kafka://example.com/c", "place")
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = _poll(consumer) if how == "poll" else _consume(consumer, 1)[0]
    assert isinstance(message, kafkaroute.Message)
    assert message.origin() is origins[topic]
    assert message.channel() == "kafka://example.com/c"
    assert (message.topic(), message.partition(), message.offset()) == (topic, 0, 0)
    assert (message.key(), message.value(), message.headers()) == (b"k", b"value", [("h", b"1")])
    assert message.timestamp() == (kafkaroute.TIMESTAMP_CREATE_TIME, 1_600_000_000_000)
    assert message.error() is None
    assert message.latency() is None
    assert isinstance(message.leader_epoch(), int)
    assert len(message) == 5
    assert "value" not in repr(message)
    assert topic in repr(message)


@pytest.mark.parametrize("how", ["poll", "consume"])
def test_the_origin_is_the_one_at_delivery(
    consumer: BackendConsumer,
    embedded_cluster: EmbeddedCluster,
    origins: dict[str, Origin],
    how: str,
) -> None:
    topic = _fill(embedded_cluster, b"1", b"2")
    before, after = Origin("kafka://example.com/before"), Origin("kafka://example.com/after")
    consumer.assign([TopicPartition(topic, 0, 0)])
    seen = []
    for origins[topic] in (before, after):
        seen.append(_poll(consumer) if how == "poll" else _consume(consumer, 1)[0])
    origins.clear()
    assert [message.origin() for message in seen] == [before, after]
    assert [message.origin() for message in seen] == [before, after]


def test_a_topic_without_an_origin_has_no_channel(
    consumer: BackendConsumer, embedded_cluster: EmbeddedCluster
) -> None:
    topic = _fill(embedded_cluster, b"1", b"2")
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = [_poll(consumer), *_consume(consumer, 1)]
    assert [message.channel() for message in messages] == [None, None]
    assert "None" not in repr(messages[0]).split("error")[0]


def test_none_and_empty_values(
    consumer: BackendConsumer, embedded_cluster: EmbeddedCluster
) -> None:
    topic = _fill(embedded_cluster, None, b"")
    consumer.assign([TopicPartition(topic, 0, 0)])
    tombstone, empty = _poll(consumer), _consume(consumer, 1)[0]
    assert (tombstone.value(), len(tombstone)) == (None, 0)
    assert (empty.value(), len(empty)) == (b"", 0)


def test_deserializers_may_replace_parts(
    consumer: BackendConsumer, embedded_cluster: EmbeddedCluster
) -> None:
    topic = _fill(embedded_cluster, b"1")
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = _poll(consumer)
    message.set_value({"a": 1})  # type: ignore[attr-defined]
    message.set_key(2)  # type: ignore[attr-defined]
    message.set_headers([("n", b"x")])  # type: ignore[attr-defined]
    assert (message.value(), message.key(), message.headers()) == ({"a": 1}, 2, [("n", b"x")])


def test_events_carry_a_native_error(embedded_cluster: EmbeddedCluster) -> None:
    topic = _fill(embedded_cluster)
    consumer = ConfluentBackend().open_consumer(
        {**embedded_cluster.client_config(), "group.id": "g", "enable.partition.eof": True},
        {topic: Origin("kafka://example.com/c")},
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        event = _poll(consumer)
    finally:
        consumer.close()
    error = event.error()
    assert isinstance(error, kafkaroute.KafkaError)
    assert isinstance(error, confluent_kafka.KafkaError)
    assert error == kafkaroute.KafkaError._PARTITION_EOF
    assert event.channel() == "kafka://example.com/c"


def test_partitions_keep_metadata_epoch_and_error_both_ways(
    consumer: BackendConsumer, embedded_cluster: EmbeddedCluster
) -> None:
    topic = _fill(embedded_cluster, b"1")
    [answer] = consumer.commit([TopicPartition(topic, 0, 1, "note", 0)], False) or []
    assert type(answer) is TopicPartition
    assert (answer.topic, answer.partition, answer.offset, answer.error) == (topic, 0, 1, None)
    [answer] = consumer.committed([TopicPartition(topic, 0)], 10)
    assert (answer.offset, answer.metadata) == (1, "note")
    with pytest.raises(kafkaroute.KafkaException) as caught:
        consumer.store_offsets([TopicPartition(topic, 0, 0)])
    assert isinstance(caught.value, confluent_kafka.KafkaException)
    assert caught.value.args[0].code() == kafkaroute.KafkaError._INVALID_ARG


def test_an_exception_of_a_rebalance_callback_leaves_poll_unchanged(
    consumer: BackendConsumer, embedded_cluster: EmbeddedCluster
) -> None:
    def fail(_partitions: list[TopicPartition]) -> None:
        raise RuntimeError("the application's own")

    consumer.subscribe([_fill(embedded_cluster, b"1")], fail, None, None)
    with pytest.raises(RuntimeError, match="own") as caught:
        _poll(consumer)
    assert type(caught.value) is RuntimeError


def test_a_closed_consumer_says_so(consumer: BackendConsumer) -> None:
    consumer.close()
    consumer.close()
    partition = TopicPartition("t", 0, 0)
    for use in (
        lambda: consumer.poll(0),
        lambda: consumer.consume(1, 0),
        lambda: consumer.subscribe(["t"], None, None, None),
        lambda: consumer.unsubscribe(),
        lambda: consumer.assign([partition]),
        lambda: consumer.assignment(),
        lambda: consumer.commit(None, False),
        lambda: consumer.committed([partition], 1),
        lambda: consumer.position([partition]),
        lambda: consumer.seek(partition),
        lambda: consumer.pause([partition]),
        lambda: consumer.list_topics(None, 1),
        lambda: consumer.memberid(),
        lambda: consumer.set_sasl_credentials("u", "p"),
    ):
        with pytest.raises(kafkaroute.ClosedError):
            use()


def test_metadata_that_goes_on_into_memory() -> None:
    """confluent-kafka keeps metadata as C text, and decodes it when asked."""

    class Native:
        topic, partition, offset, leader_epoch, error = "t", 0, 5, None, None

        @property
        def metadata(self) -> str:
            return b"kr1:held:g1:5;\x07}\xfe\xff".decode()

    [partition] = to_partitions([Native()])
    assert partition.metadata == "kr1:held:g1:5;\x07}"
