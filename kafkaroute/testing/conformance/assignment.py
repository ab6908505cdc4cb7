"""Partitions that the application assigns itself; positions."""

from __future__ import annotations

from ...messages import OFFSET_INVALID, TopicPartition
from .kit import Kit

__all__ = ["AssignmentTests"]


def _names(partitions: list[TopicPartition]) -> list[tuple[str, int]]:
    return sorted((each.topic, each.partition) for each in partitions)


class AssignmentTests:
    def test_assignment_is_what_was_assigned(self, kit: Kit) -> None:
        topic = kit.topic(3)
        consumer = kit.consumer()
        assert consumer.assignment() == []
        consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 2)])
        assert _names(consumer.assignment()) == [(topic, 0), (topic, 2)]
        consumer.assign([TopicPartition(topic, 1)])
        assert _names(consumer.assignment()) == [(topic, 1)]
        consumer.unassign()
        assert consumer.assignment() == []

    def test_new_assignment_replaces_the_old(self, kit: Kit) -> None:
        topic = kit.topic(2)
        for partition in (0, 1):
            kit.write(topic, [f"{partition}:{number}" for number in range(50)], partition=partition)
        consumer = kit.reader(topic, (0,))
        kit.read(consumer, 5)
        consumer.assign([TopicPartition(topic, 1, 0)])
        values = [message.value() for message in kit.read(consumer, 50)]
        assert values == [f"1:{number}".encode() for number in range(50)]
        kit.expect_nothing(consumer, 0.3)

    def test_unassign_ends_delivery(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [str(number) for number in range(50)])
        consumer = kit.reader(topic)
        kit.read(consumer, 5)
        consumer.unassign()
        kit.expect_nothing(consumer, 0.4)

    def test_incremental_assign_and_unassign(self, kit: Kit) -> None:
        topic = kit.topic(3)
        for partition in range(3):
            kit.write(topic, [str(partition)], partition=partition)
        consumer = kit.consumer({"enable.auto.commit": False})
        consumer.incremental_assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
        assert {message.value() for message in kit.read(consumer, 2)} == {b"0", b"1"}
        consumer.incremental_assign([TopicPartition(topic, 2, 0)])
        assert [message.value() for message in kit.read(consumer, 1)] == [b"2"]
        consumer.incremental_unassign([TopicPartition(topic, 0)])
        assert _names(consumer.assignment()) == [(topic, 1), (topic, 2)]
        for partition in range(3):
            kit.write(topic, [f"more {partition}"], partition=partition)
        assert {message.value() for message in kit.read(consumer, 2)} == {b"more 1", b"more 2"}
        kit.expect_nothing(consumer, 0.3)

    def test_assign_starts_at_the_committed_offset(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"0", b"1", b"2"])
        group = kit.name("g")
        first = kit.consumer({"enable.auto.commit": False}, group=group)
        first.commit([TopicPartition(topic, 0, 2)], False)
        first.close()
        second = kit.consumer({"enable.auto.commit": False}, group=group)
        second.assign([TopicPartition(topic, 0)])
        assert kit.read(second, 1)[0].value() == b"2"

    def test_position_follows_delivery(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [str(number) for number in range(10)])
        consumer = kit.consumer({"enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, 0, 0)])
        here = [TopicPartition(topic, 0)]
        assert consumer.position(here)[0].offset == OFFSET_INVALID
        kit.read(consumer, 4)
        [answer] = consumer.position(here)
        assert (answer.topic, answer.partition, answer.offset) == (topic, 0, 4)
        kit.read(consumer, 6)
        assert consumer.position(here)[0].offset == 10
