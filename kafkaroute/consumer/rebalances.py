"""One call of the application's rebalance callback, and what it may do meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..messages import (
    OFFSET_INVALID,
    OFFSET_STORED,
    KafkaError,
    TopicPartition,
    bare,
    kafka_exception,
)
from .clients import Member

__all__ = ["Rebalance"]

#: Offsets that leave it to the group where to start.
_NOWHERE = frozenset({OFFSET_INVALID, OFFSET_STORED})


class Rebalance:
    """The callback of one member.

    Args:
        member: whose partitions come or go.
        hidden: partitions that come or go in the same rebalance, and which the application does
            not see as their channel is moving: they are treated as it treats the others.
        unplaced: partitions of which kafkaroute says later where reading starts.
        told: the group gave or took nothing just now; the partitions have been there before, or
            stay, and only the application is told.

    Attributes:
        handled: the application has assigned or unassigned by itself.
        chosen: partitions for which it said where to start.
    """

    __slots__ = ("_unplaced", "chosen", "handled", "hidden", "member", "told")

    def __init__(
        self,
        member: Member,
        hidden: Sequence[TopicPartition] = (),
        *,
        unplaced: Iterable[TopicPartition] = (),
        told: bool = False,
    ) -> None:
        self.member = member
        self._unplaced = {(one.topic, one.partition) for one in unplaced}
        self.hidden = self.started(hidden)
        self.told = told
        self.handled = False
        self.chosen: list[TopicPartition] = []

    def started(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """`partitions` as they are assigned, those that are not placed yet at an offset.

        With none the client would look one up, and may find it after it was told another: librdkafka
        (2.16, seen with a busy broker) then goes on at the end, half a second after a seek.
        """
        return [
            TopicPartition(one.topic, one.partition, 0)
            if one.offset in _NOWHERE and (one.topic, one.partition) in self._unplaced
            else one
            for one in partitions
        ]

    def assign(self, partitions: Sequence[TopicPartition], *, incremental: bool) -> None:
        """As the application said, for this member."""
        share = self._share(partitions)
        chosen = [one for one in share if one.offset not in _NOWHERE]
        share = self.started(share)
        if self.told:
            for one in chosen:
                self.member.client.seek(one)
        elif incremental:
            self.member.client.incremental_assign([*share, *self.hidden])
        else:
            self.member.client.assign([*share, *self.hidden] if share else [])
        self.handled = True
        self.chosen += chosen

    def unassign(self, partitions: Sequence[TopicPartition] | None) -> None:
        """As the application said; None is everything."""
        self.handled = True
        if self.told:
            return
        if partitions is None:
            self.member.client.unassign()
        else:
            self.member.client.incremental_unassign([*self._share(partitions), *self.hidden])

    def _share(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        own = self.member
        share = []
        for partition in partitions:
            channel = getattr(partition, "channel", None)
            topic = partition.topic or own.topics.get(channel or "", "")
            known = channel is None or channel in own.topics or topic in own.origins
            if not known or not topic:
                raise kafka_exception(
                    KafkaError._INVALID_ARG,
                    f"{channel} lives on another cluster than the one that is rebalancing",
                )
            share.append(bare(partition, topic))
        return share
