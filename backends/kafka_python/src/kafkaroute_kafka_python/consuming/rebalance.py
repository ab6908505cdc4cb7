"""Rebalances: kafka-python's listener, and assignors that do not claim what they lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..library import (
    AsyncConsumerRebalanceListener,
    ConsumerProtocolAssignment,
    CooperativeStickyAssignor,
    RangePartitionAssignor,
    RoundRobinPartitionAssignor,
)
from ..network.pump import Pump

__all__ = ["Listener", "make_assignors"]

Partitions = list[Any]


class Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # untyped library
    """Takes each event to the thread that polls, and lets the rebalance wait for it there."""

    def __init__(
        self,
        pump: Pump,
        assigned: Callable[[Partitions], None],
        revoked: Callable[[Partitions], None],
        lost: Callable[[Partitions], None],
    ) -> None:
        self._pump = pump
        self._assigned = assigned
        self._revoked = revoked
        self._lost = lost

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        # Also an empty list: the group has nothing for this member.
        await self._hand_over(self._assigned, assigned, empty=True)

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        await self._hand_over(self._revoked, revoked)

    async def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        await self._hand_over(self._lost, lost)

    async def _hand_over(
        self,
        handler: Callable[[Partitions], None],
        partitions: Iterable[Any],
        *,
        empty: bool = False,
    ) -> None:
        chosen = sorted(partitions)
        # Else an empty list is the library's way to say that there was nothing before the first
        # join.
        if chosen or empty:
            await self._pump.post(lambda: handler(chosen))


class _HonestCooperativeSticky(CooperativeStickyAssignor):  # type: ignore[misc]  # untyped
    """Claims only partitions that this consumer owns, of topics that it still wants.

    The library's own remembers its last assignment for ever: after a topic was dropped or the
    membership lost, it keeps claiming partitions that others read, and the group never settles.
    """

    def __init__(self, owned: Callable[[], set[Any]]) -> None:
        super().__init__()
        self._owned = owned

    def metadata(self, topics: Iterable[str]) -> Any:
        wanted = set(topics)
        claimed = getattr(self, "member_assignment", None)
        if claimed is not None:
            owned = self._owned()
            self.member_assignment = [tp for tp in claimed if tp.topic in wanted and tp in owned]
        return super().metadata(wanted)


class _RoundRobin(RoundRobinPartitionAssignor):  # type: ignore[misc]  # untyped library
    """Deals the partitions of all topics out in turn.

    The library's own fails with a KeyError where members subscribe to different topics.
    """

    @classmethod
    def assign(cls, cluster: Any, members: Iterable[Any]) -> dict[str, Any]:
        # Static members first, as the library has it, so that they keep what they have.
        dealt = sorted(
            members, key=lambda member: (member.group_instance_id is None, member.member_id)
        )
        topics = sorted({topic for member in dealt for topic in member.metadata.topics})
        hands: dict[str, dict[str, list[int]]] = {member.member_id: {} for member in dealt}
        turn = 0
        for topic in topics:
            for partition in sorted(cluster.partitions_for_topic(topic) or ()):
                while topic not in dealt[turn % len(dealt)].metadata.topics:
                    turn += 1
                hand = hands[dealt[turn % len(dealt)].member_id]
                hand.setdefault(topic, []).append(partition)
                turn += 1
        return {
            member_id: ConsumerProtocolAssignment(cls.version, sorted(hand.items()), b"")
            for member_id, hand in hands.items()
        }


def make_assignors(strategies: Iterable[str], owned: Callable[[], set[Any]]) -> list[Any]:
    """Assignors by librdkafka's names; `owned` tells what the consumer owns just now."""
    makers: dict[str, Callable[[], Any]] = {
        "range": RangePartitionAssignor,
        "roundrobin": _RoundRobin,
        "cooperative-sticky": lambda: _HonestCooperativeSticky(owned),
    }
    return [makers[name]() for name in strategies]
