"""Two members of a group: nothing lost, nothing read twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from ...backend.contract import BackendConsumer, Capability
from ...messages import Message, TopicPartition
from ..cluster import ClusterFeature
from .groups import Calls
from .kit import PATIENCE, Kit
from .requirements import needs, requires

__all__ = ["RebalancingTests"]

_PARTITIONS = 4


class _Load:
    """Writes numbered messages to every partition and counts which are read."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self.topic = kit.topic(_PARTITIONS)
        self.written = 0
        self.read: Counter[bytes | None] = Counter()

    def write(self, count: int) -> None:
        for partition in range(_PARTITIONS):
            values = [f"{partition}:{self.written + number}" for number in range(count)]
            self._kit.write(self.topic, values, partition=partition)
        self.written += count

    def take(self, messages: list[Message]) -> None:
        self.read.update(message.value() for message in messages)

    def read_everything(self, *members: BackendConsumer) -> None:
        """Each message that was written is read, and none twice."""
        expected = self.written * _PARTITIONS
        deadline = time.monotonic() + PATIENCE
        while len(self.read) < expected and time.monotonic() < deadline:
            self.take(self._kit.poll_until(_after_rounds(1), *members))
        self.take(self._kit.poll_until(_after_rounds(20), *members))
        assert len(self.read) == expected
        assert set(self.read.values()) == {1}, "some messages were read twice"


def _after_rounds(count: int) -> Callable[[], bool]:
    return iter([False] * count + [True]).__next__


def _subscribe_committing(member: BackendConsumer, topic: str, calls: Calls | None = None) -> None:
    """Commit what was delivered before partitions go: nothing is read twice then."""

    def on_revoke(partitions: list[TopicPartition]) -> None:
        positions = [each for each in member.position(partitions) if each.offset >= 0]
        if positions:
            member.commit(positions, False)
        if calls is not None:
            calls.on_revoke(partitions)

    member.subscribe([topic], None if calls is None else calls.on_assign, on_revoke, None)


class RebalancingTests:
    @needs(ClusterFeature.SEVERAL_MEMBERS)
    def test_second_member_joins_and_leaves(self, kit: Kit) -> None:
        load, group = _Load(kit), kit.name("g")
        load.write(20)
        settings = {"enable.auto.commit": False, "partition.assignment.strategy": "range"}
        first, second = (kit.consumer(settings, group=group) for _ in range(2))
        _subscribe_committing(first, load.topic)
        load.take(kit.poll_until(lambda: len(first.assignment()) == 4, first))
        load.take(kit.poll_until(_after_rounds(30), first))
        _subscribe_committing(second, load.topic)
        load.take(
            kit.poll_until(
                lambda: [len(each.assignment()) for each in (first, second)] == [2, 2],
                first,
                second,
            )
        )
        load.write(20)
        load.read_everything(first, second)
        second.close()
        load.take(kit.poll_until(lambda: len(first.assignment()) == 4, first))
        load.write(20)
        load.read_everything(first)

    @needs(ClusterFeature.SEVERAL_MEMBERS)
    def test_members_may_use_round_robin(self, kit: Kit) -> None:
        topics, group = [kit.topic(), kit.topic()], kit.name("g")
        settings = {"partition.assignment.strategy": "roundrobin"}
        members = [kit.consumer(settings, group=group) for _ in range(2)]
        for member in members:
            member.subscribe(topics, None, None, None)
        # range would give the first partition of both topics to the same member.
        kit.poll_until(lambda: [len(member.assignment()) for member in members] == [1, 1], *members)

    @needs(ClusterFeature.SEVERAL_MEMBERS)
    def test_all_commits_of_a_rebalance_are_seen(self, kit: Kit) -> None:
        topic, group = kit.topic(2), kit.name("g")
        for partition in (0, 1):
            kit.write(topic, [b"v"] * 10, partition=partition)
        first, second = (kit.consumer(group=group) for _ in range(2))
        messages = kit.join(first, [topic])
        kit.read(first, 20 - len(messages))
        second.subscribe([topic], None, None, None)
        # Auto-commit happens before partitions are handed over.
        again = kit.poll_until(
            lambda: [len(each.assignment()) for each in (first, second)] == [1, 1], first, second
        )
        assert again == []
        kit.expect_nothing(second, 0.4)

    @needs(ClusterFeature.COOPERATIVE)
    @requires(Capability.COOPERATIVE_REBALANCE)
    def test_cooperative_members_keep_what_stays(self, kit: Kit) -> None:
        load, group = _Load(kit), kit.name("g")
        load.write(20)
        settings = {
            "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky",
        }
        first, second = (kit.consumer(settings, group=group) for _ in range(2))
        calls, others = Calls(), Calls()
        _subscribe_committing(first, load.topic, calls)
        load.take(kit.poll_until(lambda: len(first.assignment()) == 4, first))
        load.take(kit.poll_until(_after_rounds(30), first))
        _subscribe_committing(second, load.topic, others)
        load.take(kit.poll_until(lambda: len(second.assignment()) == 2, first, second))
        kept = [(each.topic, each.partition) for each in first.assignment()]
        gone = [each for partitions in calls.revoked for each in partitions]
        assert len(kept) == len(gone) == 2
        assert not set(kept) & set(gone)
        assert sorted(each for partitions in others.assigned for each in partitions) == sorted(gone)
        assert [] not in calls.revoked  # on_assign may come with none
        load.write(20)
        load.read_everything(first, second)

    @needs(ClusterFeature.COOPERATIVE)
    @requires(Capability.COOPERATIVE_REBALANCE)
    def test_cooperative_callbacks_may_assign(self, kit: Kit) -> None:
        topic, group = kit.topic(2), kit.name("g")
        for partition in (0, 1):
            kit.write(topic, [f"{partition}:{number}" for number in range(10)], partition=partition)
        consumer = kit.consumer(
            {
                "enable.auto.commit": False,
                "partition.assignment.strategy": "cooperative-sticky",
            },
            group=group,
        )

        def start_at_7(partitions: list[TopicPartition]) -> None:
            consumer.incremental_assign(
                [TopicPartition(each.topic, each.partition, 7) for each in partitions]
            )

        messages = kit.join(
            consumer,
            [topic],
            on_assign=start_at_7,
            on_revoke=consumer.incremental_unassign,
        )
        messages += kit.read(consumer, 6 - len(messages))
        assert {message.value() for message in messages} == {
            f"{partition}:{number}".encode() for partition in (0, 1) for number in (7, 8, 9)
        }
        consumer.close()

    @needs(ClusterFeature.STATIC_MEMBERSHIP)
    @requires(Capability.STATIC_MEMBERSHIP)
    def test_static_member_restarts_unnoticed(self, kit: Kit) -> None:
        topic, group = kit.topic(2), kit.name("g")

        def open_member(instance: str) -> BackendConsumer:
            return kit.consumer(
                {"group.instance.id": instance, "session.timeout.ms": 20_000}, group=group
            )

        calls = Calls()
        stays, restarts = open_member("stays"), open_member("restarts")
        stays.subscribe([topic], calls.on_assign, calls.on_revoke, calls.on_lost)
        restarts.subscribe([topic], None, None, None)
        kit.poll_until(
            lambda: [len(each.assignment()) for each in (stays, restarts)] == [1, 1],
            stays,
            restarts,
        )
        before = [each.partition for each in restarts.assignment()]
        rebalances = len(calls.assigned) + len(calls.revoked)
        restarts.close()
        restarts = open_member("restarts")
        restarts.subscribe([topic], None, None, None)
        kit.poll_until(restarts.assignment, stays, restarts)
        kit.poll_until(_after_rounds(20), stays, restarts)
        assert [each.partition for each in restarts.assignment()] == before
        assert len(calls.assigned) + len(calls.revoked) == rebalances
        assert calls.lost == []
