"""Committed offsets: only what was delivered, by whom and when the settings say."""

from __future__ import annotations

import pytest

from ...errors import KafkaException
from ...messages import OFFSET_INVALID, KafkaError, TopicPartition
from .kit import PATIENCE, Kit

__all__ = ["CommitTests"]

_MANUAL = {"enable.auto.commit": False}
_OWN_STORE = {"enable.auto.commit": False, "enable.auto.offset.store": False}


def _filled(kit: Kit, count: int = 100, partitions: int = 1) -> str:
    topic = kit.topic(partitions)
    kit.write(topic, [str(number) for number in range(count)], partition=0)
    return topic


class CommitTests:
    def test_group_goes_on_where_it_committed(self, kit: Kit) -> None:
        topic, group = _filled(kit), kit.name("g")
        first = kit.consumer(_MANUAL, group=group)
        messages = kit.join(first, [topic])
        messages += kit.read(first, 30 - len(messages))
        first.commit(None, False)
        messages += kit.read(first, 5)  # delivered, but not committed
        first.close()
        second = kit.consumer(_MANUAL, group=group)
        messages = kit.join(second, [topic])
        messages += kit.read(second, 70 - len(messages))
        assert [m.value() for m in messages] == [str(number).encode() for number in range(30, 100)]

    def test_close_commits_what_was_delivered_and_no_more(self, kit: Kit) -> None:
        topic, group = _filled(kit), kit.name("g")
        consumer = kit.consumer(group=group)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 7 - len(messages))
        consumer.close()
        assert kit.committed(group, topic) == 7

    def test_close_commits_what_consume_returned(self, kit: Kit) -> None:
        topic, group = _filled(kit), kit.name("g")
        consumer = kit.consumer(group=group)
        consumer.subscribe([topic], None, None, None)
        read = 0
        while read < 9:
            read += len(consumer.consume(9 - read, 1.0))
        consumer.close()
        assert kit.committed(group, topic) == 9

    def test_auto_commit_by_the_clock(self, kit: Kit) -> None:
        topic, group = _filled(kit, 5), kit.name("g")
        consumer = kit.consumer({"auto.commit.interval.ms": 200}, group=group)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 5 - len(messages))
        onlooker = kit.consumer(group=group)
        here = [TopicPartition(topic, 0)]
        kit.poll_until(
            lambda: onlooker.committed(here, PATIENCE)[0].offset == 5, consumer, timeout=10
        )

    def test_auto_commit_leaves_out_what_is_only_buffered(self, kit: Kit) -> None:
        topic, group = _filled(kit), kit.name("g")
        consumer = kit.consumer({"auto.commit.interval.ms": 100}, group=group)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 3 - len(messages))
        consumer.pause([TopicPartition(topic, 0)])
        kit.expect_nothing(consumer, 0.8)
        assert kit.committed(group, topic) == 3

    def test_without_auto_commit_nothing_is_committed(self, kit: Kit) -> None:
        topic, group = _filled(kit), kit.name("g")
        consumer = kit.consumer({**_MANUAL, "auto.commit.interval.ms": 100}, group=group)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 20 - len(messages))
        kit.poll_until(iter([False] * 20 + [True]).__next__, consumer)
        consumer.close()
        assert kit.committed(group, topic) == OFFSET_INVALID

    def test_synchronous_commit_tells_what_it_committed(self, kit: Kit) -> None:
        topic = _filled(kit)
        consumer = kit.consumer(_MANUAL)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 10 - len(messages))
        answer = consumer.commit(None, False)
        assert answer is not None
        assert [(each.topic, each.partition, each.offset, each.error) for each in answer] == [
            (topic, 0, 10, None)
        ]

    def test_asynchronous_commit(self, kit: Kit) -> None:
        topic, group = _filled(kit), kit.name("g")
        consumer = kit.consumer(_MANUAL, group=group)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 10 - len(messages))
        assert consumer.commit(None, True) is None
        onlooker = kit.consumer(group=group)
        here = [TopicPartition(topic, 0)]
        consumer.pause(here)
        kit.poll_until(
            lambda: onlooker.committed(here, PATIENCE)[0].offset == 10, consumer, timeout=10
        )

    def test_commit_of_given_offsets_with_metadata(self, kit: Kit) -> None:
        topic = _filled(kit)
        consumer = kit.consumer(_MANUAL)
        kit.join(consumer, [topic])
        answer = consumer.commit([TopicPartition(topic, 0, 42, metadata="why")], False)
        assert answer is not None
        assert answer[0].error is None
        [committed] = consumer.committed([TopicPartition(topic, 0)], PATIENCE)
        assert (committed.offset, committed.metadata) == (42, "why")

    def test_commit_outside_a_subscription(self, kit: Kit) -> None:
        topic, group = _filled(kit), kit.name("g")
        consumer = kit.consumer(_MANUAL, group=group)
        consumer.commit([TopicPartition(topic, 0, 5)], False)
        assert kit.committed(group, topic) == 5

    def test_commit_of_nothing_is_an_error(self, kit: Kit) -> None:
        consumer = kit.consumer(_MANUAL)
        kit.join(consumer, [kit.topic()])
        with pytest.raises(KafkaException) as caught:
            consumer.commit(None, False)
        assert caught.value.args[0].code() == KafkaError._NO_OFFSET

    def test_nothing_to_commit_in_the_background_is_no_error(self, kit: Kit) -> None:
        consumer = kit.consumer(_MANUAL)
        kit.join(consumer, [kit.topic()])
        assert consumer.commit(None, True) is None

    def test_stored_offsets_are_what_is_committed(self, kit: Kit) -> None:
        topic, group = _filled(kit), kit.name("g")
        consumer = kit.consumer(_OWN_STORE, group=group)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 20 - len(messages))
        with pytest.raises(KafkaException) as caught:
            consumer.commit(None, False)
        assert caught.value.args[0].code() == KafkaError._NO_OFFSET
        consumer.store_offsets([TopicPartition(topic, 0, 12)])
        consumer.commit(None, False)
        assert kit.committed(group, topic) == 12

    def test_auto_commit_of_stored_offsets(self, kit: Kit) -> None:
        topic, group = _filled(kit), kit.name("g")
        consumer = kit.consumer({"enable.auto.offset.store": False}, group=group)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 20 - len(messages))
        consumer.store_offsets([TopicPartition(topic, 0, 11)])
        consumer.close()
        assert kit.committed(group, topic) == 11

    def test_storing_needs_automatic_storing_off(self, kit: Kit) -> None:
        topic = _filled(kit)
        consumer = kit.consumer()
        kit.join(consumer, [topic])
        with pytest.raises(KafkaException) as caught:
            consumer.store_offsets([TopicPartition(topic, 0, 1)])
        assert caught.value.args[0].code() == KafkaError._INVALID_ARG

    def test_storing_needs_an_assigned_partition(self, kit: Kit) -> None:
        topic = _filled(kit)
        consumer = kit.consumer(_OWN_STORE)
        kit.join(consumer, [topic])
        with pytest.raises(KafkaException) as caught:
            consumer.store_offsets([TopicPartition(kit.topic(), 0, 1)])
        code = caught.value.args[0].code()
        assert code in {KafkaError._STATE, KafkaError._UNKNOWN_PARTITION}

    def test_committed_of_partitions_that_others_own(self, kit: Kit) -> None:
        topic, group = _filled(kit, partitions=2), kit.name("g")
        owner = kit.consumer(_MANUAL, group=group)
        messages = kit.join(owner, [topic])
        kit.read(owner, 10 - len(messages))
        owner.commit(None, False)
        onlooker = kit.consumer(group=group)
        answer = onlooker.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], PATIENCE)
        assert [(each.partition, each.offset) for each in answer] == [(0, 10), (1, OFFSET_INVALID)]

    def test_given_offsets_may_go_back(self, kit: Kit) -> None:
        topic, group = _filled(kit), kit.name("g")
        consumer = kit.consumer(_MANUAL, group=group)
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 20 - len(messages))
        consumer.commit(None, False)
        consumer.commit([TopicPartition(topic, 0, 5)], False)
        assert kit.committed(group, topic) == 5
