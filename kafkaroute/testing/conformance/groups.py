"""Members of a group: callbacks on the caller's thread, subscriptions, leaving."""

from __future__ import annotations

import threading
import time

import pytest

from ...errors import KafkaException
from ...messages import KafkaError, TopicPartition
from ..cluster import ClusterFeature
from .kit import PATIENCE, Kit
from .requirements import needs

__all__ = ["Calls", "GroupTests"]

_MANUAL = {"enable.auto.commit": False}


class Calls:
    """Rebalance callbacks that keep what they are given, and by which thread."""

    def __init__(self) -> None:
        self.assigned: list[list[tuple[str, int]]] = []
        self.revoked: list[list[tuple[str, int]]] = []
        self.lost: list[list[tuple[str, int]]] = []
        self.threads: set[int] = set()

    def _note(self, into: list[list[tuple[str, int]]], partitions: list[TopicPartition]) -> None:
        self.threads.add(threading.get_ident())
        into.append(sorted((each.topic, each.partition) for each in partitions))

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        self._note(self.assigned, partitions)

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        self._note(self.revoked, partitions)

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        self._note(self.lost, partitions)


class GroupTests:
    def test_callbacks_run_on_the_callers_thread(self, kit: Kit) -> None:
        topic = kit.topic(2)
        consumer = kit.consumer()
        calls = Calls()
        kit.join(consumer, [topic], on_assign=calls.on_assign, on_revoke=calls.on_revoke)
        both = [(topic, 0), (topic, 1)]
        assert (calls.assigned, calls.revoked) == ([both], [])
        consumer.close()
        assert (calls.assigned, calls.revoked) == ([both], [both])
        assert calls.threads == {threading.get_ident()}

    def test_callbacks_run_only_inside_calls(self, kit: Kit) -> None:
        consumer = kit.consumer()
        calls = Calls()
        consumer.subscribe([kit.topic()], calls.on_assign, calls.on_revoke, None)
        time.sleep(1)
        assert calls.assigned == []
        kit.poll_until(lambda: calls.assigned, consumer)

    @pytest.mark.parametrize("call", ["poll", "ready"])
    def test_a_consumer_that_is_polled_without_waiting_joins(self, kit: Kit, call: str) -> None:
        consumer = kit.consumer()
        consumer.subscribe([kit.topic()], None, None, None)
        deadline = time.monotonic() + PATIENCE
        while not consumer.assignment() and time.monotonic() < deadline:
            consumer.poll(0) if call == "poll" else consumer.ready()
        assert consumer.assignment()

    def test_a_consumer_that_is_polled_now_and_then_joins(self, kit: Kit) -> None:
        consumer = kit.consumer()
        consumer.subscribe([kit.topic()], None, None, None)
        deadline = time.monotonic() + PATIENCE
        while not consumer.assignment() and time.monotonic() < deadline:
            # As when it takes turns with others: each step of the join ends between two polls.
            consumer.poll(0.001)
            time.sleep(0.05)
        assert consumer.assignment()

    @needs(ClusterFeature.SEVERAL_MEMBERS)
    def test_only_on_assign_gets_an_empty_list(self, kit: Kit) -> None:
        topic, group = kit.topic(1), kit.name("g")
        calls = [Calls(), Calls()]
        members = [kit.consumer(group=group) for _ in range(2)]
        for member, own in zip(members, calls, strict=True):
            member.subscribe([topic], own.on_assign, own.on_revoke, own.on_lost)
        # One partition for two members: one of them has nothing to be assigned.
        kit.poll_until(lambda: any(own.assigned for own in calls), *members)
        kit.poll_until(iter([False] * 40 + [True]).__next__, *members)
        members[0].close()
        kit.poll_until(members[1].assignment, members[1])
        members[1].close()
        assert all(own.assigned for own in calls)
        assert [] in [each for own in calls for each in own.assigned]
        assert [] not in [each for own in calls for each in own.revoked + own.lost]

    def test_on_assign_may_choose_the_offsets(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [str(number) for number in range(20)])
        consumer = kit.consumer(_MANUAL)

        def start_at_15(partitions: list[TopicPartition]) -> None:
            consumer.assign([TopicPartition(each.topic, each.partition, 15) for each in partitions])

        messages = kit.join(consumer, [topic], on_assign=start_at_15)
        messages += kit.read(consumer, 5 - len(messages))
        assert [message.value() for message in messages] == [
            str(number).encode() for number in range(15, 20)
        ]

    def test_on_assign_may_pause(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"v"] * 5)
        consumer = kit.consumer(_MANUAL)

        def assign_paused(partitions: list[TopicPartition]) -> None:
            consumer.assign(partitions)
            consumer.pause(partitions)

        assert kit.join(consumer, [topic], on_assign=assign_paused) == []
        kit.expect_nothing(consumer, 0.6)
        consumer.resume([TopicPartition(topic, 0)])
        kit.read(consumer, 5)

    def test_on_assign_may_ask_for_committed_offsets(self, kit: Kit) -> None:
        topic, group = kit.topic(), kit.name("g")
        before = kit.consumer(_MANUAL, group=group)
        before.commit([TopicPartition(topic, 0, 3)], False)
        before.close()
        consumer = kit.consumer(_MANUAL, group=group)
        answers: list[TopicPartition] = []
        kit.join(
            consumer,
            [topic],
            on_assign=lambda partitions: answers.extend(consumer.committed(partitions, PATIENCE)),
        )
        assert [(each.topic, each.offset) for each in answers] == [(topic, 3)]

    def test_on_revoke_may_commit(self, kit: Kit) -> None:
        topic, group = kit.topic(), kit.name("g")
        kit.write(topic, [b"v"] * 10)
        consumer = kit.consumer(_MANUAL, group=group)
        answers: list[object] = []

        def commit(_partitions: list[TopicPartition]) -> None:
            answers.append(consumer.commit(None, False))

        messages = kit.join(consumer, [topic], on_revoke=commit)
        kit.read(consumer, 6 - len(messages))
        consumer.close()
        assert len(answers) == 1
        assert kit.committed(group, topic) == 6

    def test_exception_in_a_rebalance_callback_reaches_the_caller(self, kit: Kit) -> None:
        topic = kit.topic()
        consumer = kit.consumer()

        def fail(_partitions: list[TopicPartition]) -> None:
            raise ZeroDivisionError("from on_assign")

        consumer.subscribe([topic], fail, None, None)
        deadline = time.monotonic() + PATIENCE
        raised = None
        while raised is None and time.monotonic() < deadline:
            try:
                kit.next(consumer, 0.1)
            except (ZeroDivisionError, KafkaException) as error:
                raised = error
        assert isinstance(raised, ZeroDivisionError), raised

    def test_unsubscribe_ends_delivery_and_revokes(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [str(number) for number in range(50)])
        consumer = kit.consumer()
        calls = Calls()
        messages = kit.join(consumer, [topic], on_assign=calls.on_assign, on_revoke=calls.on_revoke)
        kit.read(consumer, 5 - len(messages))
        consumer.unsubscribe()
        kit.expect_nothing(consumer, 0.5)
        assert calls.revoked == [[(topic, 0)]]
        assert consumer.assignment() == []

    def test_new_subscription_replaces_the_old(self, kit: Kit) -> None:
        old, new = kit.topic(), kit.topic()
        for topic in (old, new):
            kit.write(topic, [topic])
        consumer = kit.consumer()
        messages = kit.join(consumer, [old])
        kit.read(consumer, 1 - len(messages))
        consumer.subscribe([new], None, None, None)
        [message] = kit.read(consumer, 1)
        assert message.value() == new.encode()
        kit.write(old, [b"more"])
        kit.expect_nothing(consumer, 0.4)
        assert [(each.topic, each.partition) for each in consumer.assignment()] == [(new, 0)]

    def test_topic_may_be_added_to_a_subscription(self, kit: Kit) -> None:
        first, second = kit.topic(), kit.topic()
        consumer = kit.consumer(_MANUAL)
        kit.join(consumer, [first])
        consumer.subscribe([first, second], None, None, None)
        messages = kit.poll_until(lambda: len(consumer.assignment()) == 2, consumer)
        for topic in (first, second):
            kit.write(topic, [topic])
        messages += kit.read(consumer, 2 - len(messages))
        assert {message.value() for message in messages} == {first.encode(), second.encode()}

    def test_member_has_an_id_and_group_metadata(self, kit: Kit) -> None:
        consumer = kit.consumer()
        kit.join(consumer, [kit.topic()])
        assert consumer.memberid()
        assert consumer.consumer_group_metadata() is not None

    @needs(ClusterFeature.SEVERAL_MEMBERS)
    def test_close_leaves_the_group_at_once(self, kit: Kit) -> None:
        topic, group = kit.topic(), kit.name("g")
        settings = {"session.timeout.ms": 30_000}
        first = kit.consumer(settings, group=group)
        kit.join(first, [topic])
        second = kit.consumer(settings, group=group)
        second.subscribe([topic], None, None, None)
        kit.poll_until(iter([False] * 30 + [True]).__next__, first, second)
        owner, other = (first, second) if first.assignment() else (second, first)
        owner.close()
        kit.poll_until(other.assignment, other, timeout=5)

    def test_member_that_stops_polling_is_told(self, kit: Kit) -> None:
        topic = kit.topic()
        limit = max(kit.cluster.min_session_timeout_ms, 2500)  # or a busy machine exceeds it, too
        settings = {"session.timeout.ms": limit, "max.poll.interval.ms": limit + 200}
        consumer = kit.consumer(settings)
        calls = Calls()
        kit.join(
            consumer,
            [topic],
            on_assign=calls.on_assign,
            on_revoke=calls.on_revoke,
            on_lost=calls.on_lost,
        )
        time.sleep((limit + 200) / 1000 + 1.5)
        kit.event(consumer, KafkaError._MAX_POLL_EXCEEDED)
        kit.poll_until(lambda: len(calls.assigned) == 2, consumer)
        assert calls.lost == [[(topic, 0)]]
        assert calls.revoked == []

    def test_lost_partitions_are_revoked_without_on_lost(self, kit: Kit) -> None:
        topic = kit.topic()
        limit = max(kit.cluster.min_session_timeout_ms, 2500)  # or a busy machine exceeds it, too
        settings = {"session.timeout.ms": limit, "max.poll.interval.ms": limit + 200}
        consumer = kit.consumer(settings)
        calls = Calls()
        kit.join(consumer, [topic], on_assign=calls.on_assign, on_revoke=calls.on_revoke)
        time.sleep((limit + 200) / 1000 + 1.5)
        kit.event(consumer, KafkaError._MAX_POLL_EXCEEDED)
        kit.poll_until(lambda: len(calls.assigned) == 2, consumer)
        assert calls.revoked == [[(topic, 0)]]
