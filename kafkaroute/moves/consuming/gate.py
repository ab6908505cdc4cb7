"""What of a moving channel reaches the application."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ...kept import Why
from ...members import Member, Members
from ...messages import Message, TopicPartition
from .stages import Stage, State, Way

__all__ = ["Gate"]


class Gate:
    """Called for every message and every rebalance while something moves.

    Args:
        ways: the channels that move.
        confirm: called before the delivery of a message (partition, offset) from a place that was
            left; whether the channel still lives elsewhere, or None: that is being asked.
    """

    def __init__(
        self,
        ways: Mapping[str, Way],
        members: Members,
        confirm: Callable[[Way, Stage, int, int], bool | None],
    ) -> None:
        self._ways = ways
        self._members = members
        self._confirm = confirm

    def _stages(self, member: Member) -> Iterator[Stage]:
        for way in self._ways.values():
            for stage in way.live():
                if stage.member is member:
                    yield stage

    def came(
        self, member: Member, partitions: Sequence[TopicPartition]
    ) -> list[tuple[TopicPartition, Why]]:
        """The group gave partitions to `member`: those that must be kept back for now."""
        kept = []
        for stage in self._stages(member):
            for one in partitions:
                if one.topic != stage.topic:
                    continue
                stage.arriving = False
                if stage.by_move:
                    stage.unplaced.add(one.partition)
                    kept.append((one, Why.UNPLACED))
                if stage.state is State.HELD:
                    kept.append((one, Why.HELD))
        return kept

    def went(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """The group took partitions away from `member`."""
        member.kept.went(partitions)
        self._placed(member, partitions)

    def chosen(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """The application itself said where to start on them."""
        member.kept.let_go(partitions, Why.UNPLACED)
        self._placed(member, partitions)

    def _placed(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        for stage in self._stages(member):
            numbers = {p.partition for p in partitions if p.topic == stage.topic}
            stage.unplaced -= numbers
            for number in numbers & stage.asked.keys():
                del stage.asked[number]

    def admit(self, message: Message) -> Message | None:
        """A message that is about to be delivered; None where it must not be."""
        origin = message.origin()
        topic, number = message.topic(), message.partition()
        if origin is None or topic is None or number is None or message.error() is not None:
            return message
        way = self._ways.get(origin.channel)
        if way is None:
            return message
        place = self._members.current(origin.place)
        stage = next((one for one in way.live() if one.is_at(place, topic)), None)
        if stage is None:
            return message
        if stage.state is State.LEFT:
            if not stage.beside and (why := self._stops(way, stage, number, message)):
                self._put_back(stage, message, why)
                return None
            stage.late += not stage.beside
        elif self._is_held(way, stage, number, message.offset() or 0):
            self._put_back(stage, message, Why.RETURNED)
            return None
        stage.heard = time.monotonic()
        self._members.delivered[origin.channel, number] = (place, topic)
        return message

    @staticmethod
    def _is_held(way: Way, stage: Stage, number: int, offset: int) -> bool:
        if stage.state is State.HELD or number in stage.unplaced:
            return True
        return stage is way.head and stage.cut is not None and offset >= stage.cut.get(number, 0)

    def _stops(self, way: Way, left: Stage, number: int, message: Message) -> Why | None:
        """Why a message of a place that was left must not be delivered now, if so."""
        if self._comes_back(way, left):
            return Why.RETURNED
        late = self._confirm(way, left, number, message.offset() or 0)
        if late is None:
            return Why.ASKED
        return None if late else Why.RETURNED

    @staticmethod
    def _comes_back(way: Way, left: Stage) -> bool:
        """Whether it is known that the channel will return, after places in between."""
        return any(one.is_at(left.place, left.topic) for one in way.stages)

    @staticmethod
    def _put_back(stage: Stage, message: Message, why: Why) -> None:
        """Read it again later."""
        topic, number, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None and number is not None and offset is not None  # noqa: PT018
        assert stage.member is not None
        one, kept = TopicPartition(topic, number, offset), stage.member.kept
        if kept.holds(one, why) and offset > stage.returned.get(number, offset):
            return  # of the same batch; reading goes on before it anyway
        stage.returned[number] = offset
        stage.member.client.put_back(one)
        # Only now: a partition that was assigned anew may have lost its pause.
        kept.keep([one], why)
