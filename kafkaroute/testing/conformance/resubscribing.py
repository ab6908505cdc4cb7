"""Members of a group that change what they subscribe to, one after the other, as when a route
changes: everybody gets there soon, and nothing is missed or read twice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from ...backend.contract import BackendConsumer, Capability
from ...messages import TopicPartition
from ..cluster import ClusterFeature
from .kit import Kit
from .requirements import needs, requires

__all__ = ["GroupUnderChange", "ResubscribingTests"]

#: Seconds in which every member must have got its share of a new subscription.
_SOON = 3.0
_PARTITIONS = 4


class GroupUnderChange:
    """Two or more members that are polled in turn, in short slices, and what they read.

    Args:
        kit: writes the load, and creates the topics.
        members: consumers of one group, with any backend, without auto-commit.
        slice_: seconds of each poll().
    """

    def __init__(self, kit: Kit, members: Sequence[BackendConsumer], slice_: float) -> None:
        self._kit = kit
        self._slice = slice_
        self.members = list(members)
        self.old, self.new = kit.topic(_PARTITIONS), kit.topic(_PARTITIONS)
        self.written: dict[str, int] = {self.old: 0, self.new: 0}
        self.read: list[tuple[str | None, int | None, int | None]] = []

    def subscribe(self, member: BackendConsumer, topics: Sequence[str]) -> None:
        def commit(partitions: list[TopicPartition]) -> None:
            reached = [each for each in member.position(partitions) if each.offset >= 0]
            if reached:
                member.commit(reached, False)

        member.subscribe(list(topics), None, commit, None)

    def write(self, topic: str, count: int = 10) -> None:
        for partition in range(_PARTITIONS):
            self._kit.write(topic, [b"v"] * count, partition=partition)
        self.written[topic] += count

    def turn(self) -> None:
        for member in self.members:
            message = self._kit.next(member, self._slice)
            while message is not None:
                assert message.error() is None, message.error()
                self.read.append((message.topic(), message.partition(), message.offset()))
                message = member.ready()

    def turns(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.turn()

    def shares(self) -> list[list[tuple[str, int]]]:
        """Who has what."""
        return [
            sorted((each.topic, each.partition) for each in member.assignment())
            for member in self.members
        ]

    def settle(self, topics: Sequence[str], within: float) -> None:
        """All of `topics` and nothing else is assigned, each partition once."""
        expected = sorted((topic, number) for topic in topics for number in range(_PARTITIONS))
        began = time.monotonic()
        while True:
            shares = self.shares()
            if sorted(each for share in shares for each in share) == expected and all(shares):
                return
            if time.monotonic() - began > within:
                pytest.fail(f"after {within:.0f} s the shares are {shares}")
            self.turn()

    def read_out(self) -> None:
        """Everything written was read, once."""
        expected = sorted(
            (topic, partition, offset)
            for topic, count in self.written.items()
            for partition in range(_PARTITIONS)
            for offset in range(count)
        )
        until = time.monotonic() + 10
        while len(self.read) < len(expected) and time.monotonic() < until:
            self.turn()
        self.turns(0.3)
        missing = set(expected) - set(self.read)
        assert not missing, f"{len(missing)} of {len(expected)} were not read"
        assert len(self.read) == len(expected), "something was read twice"

    def change(self) -> None:
        """Both topics instead of the old one, then the new one alone; members one by one."""
        for member in self.members:
            self.subscribe(member, [self.old])
        self.settle([self.old], 2 * _SOON)
        self.write(self.old)
        self.turns(0.3)
        for step in ([self.old, self.new], [self.new]):
            for member in self.members:
                self.subscribe(member, step)
                self.write(self.old if self.old in step else self.new, 3)
                self.turns(0.4)
            self.settle(step, _SOON)
            self.write(self.new)
            if self.old in step:
                self.write(self.old)
            self.read_out()


@contextmanager
def _closed(members: Sequence[BackendConsumer]) -> Iterator[None]:
    try:
        yield
    finally:
        for member in members:
            member.close()


class ResubscribingTests:
    @needs(ClusterFeature.SEVERAL_MEMBERS)
    @pytest.mark.parametrize("slice_", [0.02, 0.1], ids=["20ms", "100ms"])
    def test_subscriptions_change_one_by_one(self, kit: Kit, slice_: float) -> None:
        group = kit.name("g")
        settings = {"enable.auto.commit": False, "partition.assignment.strategy": "range"}
        members = [kit.consumer(settings, group=group) for _ in range(2)]
        with _closed(members):
            GroupUnderChange(kit, members, slice_).change()

    @needs(ClusterFeature.COOPERATIVE)
    @requires(Capability.COOPERATIVE_REBALANCE)
    def test_subscriptions_of_cooperative_members_change_one_by_one(self, kit: Kit) -> None:
        group = kit.name("g")
        settings = {
            "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky",
        }
        members = [kit.consumer(settings, group=group) for _ in range(2)]
        with _closed(members):
            GroupUnderChange(kit, members, 0.05).change()
