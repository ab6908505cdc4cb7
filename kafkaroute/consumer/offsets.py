"""The Consumer's calls about offsets."""

from __future__ import annotations

from collections.abc import Sequence

from ..arguments import seconds
from ..errors import KafkaException
from ..messages import KafkaError, Message, TopicPartition, bare, kafka_exception
from .clients import Member
from .state import ConsumerState

__all__ = ["OffsetCalls"]


class OffsetCalls(ConsumerState):
    """commit, store_offsets, committed, position, seek and what tells offsets."""

    def commit(
        self,
        message: Message | None = None,
        offsets: Sequence[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> list[TopicPartition] | None:
        """Commit one message, `offsets`, or everything stored, on the clusters concerned.

        Returns:
            None, or with ``asynchronous=False`` the partitions, each with its own ``error``.

        Raises:
            KafkaException: ``_NO_OFFSET`` when nothing is stored; ``_INVALID_ARG`` for an event
                or a partition that could mean two clusters; ``_STATE`` for a message of a cluster
                that is no longer read.
        """
        with self._turn():
            self._has_committed = True
            if message is not None and offsets is not None:
                raise kafka_exception(KafkaError._INVALID_ARG, "give message or offsets, not both")
            if message is not None:
                offsets = [_after(message)]
                member = self._deliverer(message)
                shares = [(member, offsets)] if member else self._split(offsets)
            elif offsets is not None:
                shares = self._split(offsets)
            else:
                return self._commit_stored(asynchronous)
            answers: list[TopicPartition] = []
            for member, share in shares:
                answers += member.all_named(member.client.commit(share, asynchronous) or ())
            return None if asynchronous else answers

    def _split(
        self, offsets: Sequence[TopicPartition]
    ) -> list[tuple[Member, list[TopicPartition]]]:
        return self._members.split(offsets, commits=True)

    def _commit_stored(self, asynchronous: bool) -> list[TopicPartition] | None:
        answers: list[TopicPartition] = []
        nothing: KafkaException | None = None
        committed = False
        for member in self._members.all:
            try:
                answers += member.all_named(member.client.commit(None, asynchronous) or ())
                committed = True
            except KafkaException as error:
                if error.args[0].code() != KafkaError._NO_OFFSET:
                    raise
                nothing = error
        if not committed:
            raise nothing or kafka_exception(KafkaError._NO_OFFSET)
        return None if asynchronous else answers

    def _deliverer(self, message: Message) -> Member | None:
        origin = message.origin() if hasattr(message, "origin") else None
        if origin is None:
            return None
        member = self._members.by_place(origin.place)
        if member is None:
            # Its topic's name may mean something else on the clusters that are read now.
            raise kafka_exception(
                KafkaError._STATE,
                f"the cluster that delivered this message of {origin.channel} is no longer read",
            )
        return member

    def store_offsets(
        self,
        message: Message | None = None,
        offsets: Sequence[TopicPartition] | None = None,
    ) -> None:
        """Mark one message or `offsets` for the next commit (``enable.auto.offset.store=false``)."""
        with self._turn():
            if (message is None) == (offsets is None):
                raise kafka_exception(KafkaError._INVALID_ARG, "give message or offsets")
            if message is not None:
                offsets = [_after(message)]
                if (member := self._deliverer(message)) is not None:
                    member.client.store_offsets(offsets)
                    return
            for member, share in self._split(offsets or ()):
                member.client.store_offsets(share)

    def committed(
        self, partitions: Sequence[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """The group's committed offsets, in the order of `partitions`."""
        timeout = seconds(timeout)
        with self._turn():
            return self._members.gather(partitions, lambda c, share: c.committed(share, timeout))

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """The offsets after the last delivered messages, in the order of `partitions`."""
        with self._turn():
            return self._members.gather(partitions, lambda c, share: c.position(share))

    def seek(self, partition: TopicPartition) -> None:
        """Go on at ``partition.offset``."""
        with self._turn():
            member, topic = self._members.locate(partition)
            member.client.seek(bare(partition, topic))

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float | None = None, cached: bool = False
    ) -> tuple[int, int]:
        """(low, high) of a partition; `timeout` in seconds."""
        timeout = seconds(timeout)
        with self._turn():
            member, topic = self._members.locate(partition)
            return member.client.get_watermark_offsets(bare(partition, topic), timeout, cached)

    def offsets_for_times(
        self, partitions: Sequence[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """The first offset at or after each ``offset``, read as milliseconds since the epoch."""
        timeout = seconds(timeout)
        with self._turn():
            return self._members.gather(
                partitions, lambda c, share: c.offsets_for_times(share, timeout)
            )


def _after(message: Message) -> TopicPartition:
    """The position after `message`; by convention that is what is committed."""
    if (error := message.error()) is not None:
        raise kafka_exception(KafkaError._INVALID_ARG, f"an event cannot be committed: {error}")
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None
    return TopicPartition(topic, partition, offset + 1, None, message.leader_epoch())
