"""Reading: where it starts, how it waits, what it says about the end and about unknown topics."""

from __future__ import annotations

import statistics
import time

import pytest

from ...messages import OFFSET_BEGINNING, OFFSET_END, KafkaError, Origin, TopicPartition
from ..cluster import ClusterFeature
from .kit import PATIENCE, Kit
from .requirements import needs

__all__ = ["ConsumingTests"]


class ConsumingTests:
    def test_earliest_reads_from_the_beginning(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"1", b"2"])
        consumer = kit.consumer({"auto.offset.reset": "earliest"})
        messages = kit.join(consumer, [topic])
        messages += kit.read(consumer, 2 - len(messages))
        assert [message.value() for message in messages] == [b"1", b"2"]

    def test_latest_reads_what_comes_after(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"old"])
        consumer = kit.consumer({"auto.offset.reset": "latest"})
        kit.join(consumer, [topic])
        kit.expect_nothing(consumer, 1.0)
        kit.write(topic, [b"new"])
        [message] = kit.read(consumer, 1)
        assert message.value() == b"new"

    def test_error_reset_is_an_event(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"v"])
        consumer = kit.consumer({"auto.offset.reset": "error"})
        consumer.subscribe([topic], None, None, None)
        event = kit.event(consumer, KafkaError._AUTO_OFFSET_RESET)
        assert event.topic() == topic
        kit.expect_nothing(consumer, 0.3)

    def test_consumer_polls_no_longer_than_asked(self, kit: Kit) -> None:
        consumer = kit.reader(kit.topic())
        kit.expect_nothing(consumer, 0.5)
        began = time.monotonic()
        assert consumer.poll(0.4) is None
        assert 0.3 <= time.monotonic() - began < 10
        waits = []
        for _ in range(5):
            began = time.monotonic()
            assert consumer.ready() is None
            assert consumer.poll(0) is None
            waits.append(time.monotonic() - began)
        assert min(waits) < 0.1, waits

    def test_consume_returns_what_is_there(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [str(number) for number in range(100)])
        consumer = kit.reader(topic)
        values: list[bytes | None] = []
        deadline = time.monotonic() + PATIENCE
        while len(values) < 100 and time.monotonic() < deadline:
            batch = consumer.consume(30, 0.5)
            assert len(batch) <= 30
            values += [message.value() for message in batch]
        assert values == [str(number).encode() for number in range(100)]
        began = time.monotonic()
        assert consumer.consume(10, 0.3) == []
        assert time.monotonic() - began < 10

    def test_poll_and_consume_may_take_turns(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [str(number) for number in range(60)])
        consumer = kit.reader(topic)
        values: list[bytes | None] = []
        deadline = time.monotonic() + PATIENCE
        while len(values) < 60 and time.monotonic() < deadline:
            values += [m.value() for m in (consumer.poll(0.5), consumer.ready()) if m is not None]
            values += [message.value() for message in consumer.consume(7, 0.05)]
        assert values == [str(number).encode() for number in range(60)]

    @needs(ClusterFeature.PROMPT_FETCH)
    def test_waiting_consumer_gets_a_message_at_once(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"first"])
        consumer = kit.consumer({"enable.auto.commit": False, "fetch.wait.max.ms": 500})
        consumer.assign([TopicPartition(topic, 0, 0)])
        kit.read(consumer, 1)
        producer = kit.producer({"linger.ms": 0})
        send = producer.sender(topic)
        delays = []
        for _ in range(9):
            kit.expect_nothing(consumer, 0.12)
            began = time.monotonic()
            send(b"v")
            message = kit.next(consumer, PATIENCE)
            delays.append(time.monotonic() - began)
            assert message is not None
            assert message.value() == b"v"
        assert statistics.median(delays) < 0.05, delays

    def test_partition_end_is_an_event(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"1", b"2"])
        consumer = kit.consumer({"enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, 0, 0)])
        kit.read(consumer, 2)
        event = kit.event(consumer, KafkaError._PARTITION_EOF)
        assert (event.topic(), event.partition(), event.offset()) == (topic, 0, 2)
        kit.expect_nothing(consumer, 0.5)  # once for each end
        kit.write(topic, [b"3"])
        assert kit.read(consumer, 1)[0].value() == b"3"
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 3

    def test_end_of_an_empty_partition_is_an_event(self, kit: Kit) -> None:
        consumer = kit.consumer({"enable.partition.eof": True})
        consumer.assign([TopicPartition(kit.topic(), 0, OFFSET_BEGINNING)])
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 0

    def test_partition_end_is_told_to_each_assignment(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"1", b"2"])
        consumer = kit.consumer({"enable.partition.eof": True})
        for _ in range(3):
            consumer.assign([TopicPartition(topic, 0, 2)])
            assert kit.event(consumer, KafkaError._PARTITION_EOF, 5).offset() == 2
            consumer.unassign()

    def test_no_event_at_the_end_by_default(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"v"])
        kit.read_all(topic, 1)

    @needs(ClusterFeature.UNKNOWN_TOPICS)
    def test_unknown_topic_is_an_event(self, kit: Kit) -> None:
        unknown, known = kit.name("never-created"), kit.topic()
        kit.write(known, [b"v"])
        consumer = kit.consumer()
        consumer.subscribe([unknown], None, None, None)
        event = kit.event(consumer, KafkaError.UNKNOWN_TOPIC_OR_PART)
        assert event.topic() == unknown
        consumer.subscribe([known], None, None, None)
        assert kit.read(consumer, 1)[0].value() == b"v"

    def test_several_topics(self, kit: Kit) -> None:
        topics = [kit.topic() for _ in range(3)]
        for topic in topics:
            kit.write(topic, [topic])
        consumer = kit.consumer()
        messages = kit.join(consumer, topics)
        messages += kit.read(consumer, 3 - len(messages))
        assert {message.value() for message in messages} == {topic.encode() for topic in topics}

    def test_pattern_subscription(self, kit: Kit) -> None:
        prefix = kit.name("pattern")
        matching = [f"{prefix}.one", f"{prefix}.two"]
        for topic in [*matching, f"not-{prefix}.one"]:
            kit.cluster.create_topic(topic, 1)
            kit.write(topic, [topic])
        consumer = kit.consumer({"topic.metadata.refresh.interval.ms": 1000})
        messages = kit.join(consumer, [f"^{prefix}\\..*"])
        messages += kit.read(consumer, 2 - len(messages))
        assert {message.topic() for message in messages} == set(matching)
        kit.expect_nothing(consumer, 0.3)

    def test_messages_carry_their_origin(self, kit: Kit) -> None:
        topic, other = kit.topic(), kit.topic()
        kit.write(topic, [b"1"])
        origins = {topic: Origin("kafka://example.com/one", place=1)}
        consumer = kit.consumer(origins=origins)
        consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(other, 0, 0)])
        [message] = kit.read(consumer, 1)
        assert message.origin() == Origin("kafka://example.com/one", place=1)
        assert message.channel() == "kafka://example.com/one"
        kit.write(other, [b"2"])
        assert kit.read(consumer, 1)[0].origin() is None
        origins[topic] = Origin("kafka://example.com/moved")  # the mapping is live
        kit.write(topic, [b"3"])
        assert kit.read(consumer, 1)[0].channel() == "kafka://example.com/moved"

    @pytest.mark.parametrize(
        ("offset", "expected"),
        [(OFFSET_BEGINNING, b"0"), (OFFSET_END, b"new"), (2, b"2")],
        ids=["beginning", "end", "absolute"],
    )
    def test_assignment_says_where_to_start(self, kit: Kit, offset: int, expected: bytes) -> None:
        topic = kit.topic()
        kit.write(topic, [b"0", b"1", b"2"])
        consumer = kit.consumer({"enable.auto.commit": False, "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, 0, offset)])
        if offset == OFFSET_END:
            kit.event(consumer, KafkaError._PARTITION_EOF)
            kit.write(topic, [b"new"])
        assert kit.read(consumer, 1)[0].value() == expected

    def test_compressed_batches_are_read(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer({"compression.type": "gzip", "linger.ms": 50})
        send = producer.sender(topic)
        for number in range(200):
            send(str(number))
        assert producer.flush(PATIENCE) == 0
        values = [message.value() for message in kit.read_all(topic, 200)]
        assert values == [str(number).encode() for number in range(200)]
