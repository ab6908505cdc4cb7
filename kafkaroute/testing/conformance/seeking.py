"""seek(), pause() and resume() act at once, on what is already fetched too."""

from __future__ import annotations

from contextlib import suppress

import pytest

from ...errors import KafkaException
from ...messages import OFFSET_BEGINNING, OFFSET_END, KafkaError, TopicPartition
from .kit import Kit

__all__ = ["SeekingTests"]


def _numbers(start: int, end: int) -> list[bytes]:
    return [str(number).encode() for number in range(start, end)]


class SeekingTests:
    @pytest.mark.parametrize(
        ("target", "expected"),
        [(3, b"3"), (40, b"40"), (OFFSET_BEGINNING, b"0")],
        ids=["back", "forward", "beginning"],
    )
    def test_seek_drops_what_is_fetched(self, kit: Kit, target: int, expected: bytes) -> None:
        topic = kit.topic()
        kit.write(topic, _numbers(0, 50))
        consumer = kit.reader(topic)
        kit.read(consumer, 10)
        consumer.seek(TopicPartition(topic, 0, target))
        first = int(expected)
        values = [message.value() for message in kit.read(consumer, 50 - first)]
        assert values == _numbers(first, 50)
        kit.expect_nothing(consumer, 0.3)

    @pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
    def test_what_is_put_back_is_not_committed(self, kit: Kit, strategy: str) -> None:
        topic, group = kit.topic(2), kit.name("g")
        for partition in (0, 1):
            kit.write(topic, _numbers(0, 20), partition=partition)
        settings = {"auto.commit.interval.ms": 200, "partition.assignment.strategy": strategy}
        consumer = kit.consumer(settings, group=group)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 40 - len(messages))
        back, other = TopicPartition(topic, 0, 15), TopicPartition(topic, 1)
        consumer.pause([back])
        consumer.put_back(back)
        consumer.pause([back])
        kit.expect_nothing(consumer, 0.6)
        assert [one.offset for one in consumer.position([back, other])] == [15, 20]
        with suppress(KafkaException):  # auto-commit may have left nothing to do
            consumer.commit(None, False)
        assert [kit.committed(group, topic, number) for number in (0, 1)] == [15, 20]
        consumer.resume([back])
        assert [message.value() for message in kit.read(consumer, 2)] == _numbers(15, 17)
        consumer.put_back(TopicPartition(topic, 0, 16))
        consumer.close()
        assert [kit.committed(group, topic, number) for number in (0, 1)] == [16, 20]

    def test_what_is_put_back_is_not_committed_by_call(self, kit: Kit) -> None:
        topic, group = kit.topic(2), kit.name("g")
        for partition in (0, 1):
            kit.write(topic, _numbers(0, 20), partition=partition)
        consumer = kit.consumer({"enable.auto.commit": False}, group=group)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 40 - len(messages))
        consumer.put_back(TopicPartition(topic, 0, 15))
        consumer.commit(None, False)
        assert [kit.committed(group, topic, number) for number in (0, 1)] == [15, 20]
        with pytest.raises(KafkaException) as caught:
            consumer.commit(None, False)
        assert caught.value.args[0].code() == KafkaError._NO_OFFSET
        assert [message.value() for message in kit.read(consumer, 5)] == _numbers(15, 20)
        consumer.commit(None, False)
        assert [kit.committed(group, topic, number) for number in (0, 1)] == [20, 20]

    def test_seek_to_the_end(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, _numbers(0, 50))
        consumer = kit.consumer({"enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, 0, 0)])
        kit.read(consumer, 10)
        consumer.seek(TopicPartition(topic, 0, OFFSET_END))
        event = consumer.poll(10)
        assert event is not None
        error = event.error()
        assert error is not None
        assert (error.code(), event.offset()) == (KafkaError._PARTITION_EOF, 50)
        kit.write(topic, [b"new"])
        assert kit.read(consumer, 1)[0].value() == b"new"

    def test_seek_of_one_partition_leaves_the_others(self, kit: Kit) -> None:
        topic = kit.topic(2)
        for partition in (0, 1):
            kit.write(topic, _numbers(0, 20), partition=partition)
        consumer = kit.reader(topic, (0, 1))
        read: dict[int, list[bytes | None]] = {0: [], 1: []}
        for message in kit.read(consumer, 40):
            read[message.partition() or 0].append(message.value())
        consumer.seek(TopicPartition(topic, 1, 15))
        again = kit.read(consumer, 5)
        assert [(message.partition(), message.value()) for message in again] == [
            (1, value) for value in _numbers(15, 20)
        ]
        assert read == {0: _numbers(0, 20), 1: _numbers(0, 20)}
        kit.expect_nothing(consumer, 0.3)

    def test_seek_needs_an_assigned_partition(self, kit: Kit) -> None:
        topic = kit.topic(2)
        consumer = kit.reader(topic, (0,))
        kit.expect_nothing(consumer, 0.2)
        with pytest.raises(KafkaException) as caught:
            consumer.seek(TopicPartition(topic, 1, 0))
        code = caught.value.args[0].code()
        assert code in {KafkaError._STATE, KafkaError._UNKNOWN_PARTITION}

    def test_nothing_is_delivered_after_pause(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, _numbers(0, 500))
        consumer = kit.reader(topic)
        before = kit.read(consumer, 5)
        consumer.pause([TopicPartition(topic, 0)])
        kit.expect_nothing(consumer, 0.5)
        assert consumer.consume(10, 0.1) == []
        kit.write(topic, [b"500"])
        kit.expect_nothing(consumer, 0.3)
        consumer.resume([TopicPartition(topic, 0)])
        after = kit.read(consumer, 496)
        assert [message.value() for message in before + after] == _numbers(0, 501)
        kit.expect_nothing(consumer, 0.2)

    def test_pause_of_one_partition_leaves_the_others(self, kit: Kit) -> None:
        topic = kit.topic(2)
        consumer = kit.reader(topic, (0, 1))
        kit.expect_nothing(consumer, 0.2)
        consumer.pause([TopicPartition(topic, 0)])
        for partition in (0, 1):
            kit.write(topic, _numbers(0, 10), partition=partition)
        assert {message.partition() for message in kit.read(consumer, 10)} == {1}
        kit.expect_nothing(consumer, 0.3)
        consumer.resume([TopicPartition(topic, 0)])
        assert {message.partition() for message in kit.read(consumer, 10)} == {0}

    def test_pause_and_resume_twice_are_fine(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, _numbers(0, 10))
        consumer = kit.reader(topic)
        here = [TopicPartition(topic, 0)]
        kit.read(consumer, 1)
        consumer.pause(here)
        consumer.pause(here)
        consumer.resume(here)
        consumer.resume(here)
        assert [message.value() for message in kit.read(consumer, 9)] == _numbers(1, 10)

    def test_seek_while_paused(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, _numbers(0, 20))
        consumer = kit.reader(topic)
        kit.read(consumer, 5)
        consumer.pause([TopicPartition(topic, 0)])
        consumer.seek(TopicPartition(topic, 0, 12))
        kit.expect_nothing(consumer, 0.4)
        consumer.resume([TopicPartition(topic, 0)])
        assert [message.value() for message in kit.read(consumer, 8)] == _numbers(12, 20)
