"""What of a moving channel reaches the application."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ...errors import KafkaException
from ...messages import KafkaError, Message, TopicPartition
from ..clients import Member, Members
from ..pauses import Why
from .stages import Stage, State, Way

__all__ = ["Gate"]

_log = logging.getLogger("kafkaroute.moves")

#: The topic is not there any more.
_GONE = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)


class Gate:
    """Called for every message and every rebalance while something moves.

    Args:
        ways: the channels that move.
        confirm: called before the delivery of a message (partition, offset) from a place that was
            left; whether the channel still lives elsewhere, or None: that is being asked.
        begin: called with what the group gave, before anything else.
    """

    def __init__(
        self,
        ways: Mapping[str, Way],
        members: Members,
        confirm: Callable[[Way, Stage, int, int], bool | None],
        begin: Callable[[Member, Sequence[TopicPartition]], None],
    ) -> None:
        self._begin = begin
        self._ways = ways
        self._members = members
        self._confirm = confirm
        self._logged: set[tuple[str | None, int]] = set()

    def _stages(self, member: Member) -> Iterator[Stage]:
        for way in self._ways.values():
            for stage in way.live():
                if stage.member is member:
                    yield stage

    def came(
        self, member: Member, partitions: Sequence[TopicPartition]
    ) -> list[tuple[TopicPartition, Why]]:
        """The group gave partitions to `member`: those that must be kept back for now."""
        self._begin(member, partitions)
        kept = []
        for stage in self._stages(member):
            stage.heard = time.monotonic()  # what could not be read during the rebalance may come
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
            for number in numbers & stage.returned.keys():
                del stage.returned[number]
            for number in numbers & stage.asked.keys():
                del stage.asked[number]

    def admit(self, member: Member, message: Message) -> Message | None:
        """A message or event of `member` that is about to be delivered; None where it must not
        be."""
        if (error := message.error()) is not None:
            return self._event(member, message, error)
        origin = message.origin()
        topic, number = message.topic(), message.partition()
        if origin is None or topic is None or number is None:
            return message
        place = self._members.current(origin.place)
        way = self._ways.get(origin.channel)
        stage = None
        if way is not None:
            stage = next((one for one in way.live() if one.is_at(place, topic)), None)
        if way is None or stage is None:
            return message
        if stage.state is State.LEFT:
            why = None if stage.beside else self._stops(way, stage, number, message)
            if why is not None and self._put_back(stage, message, why):
                return None
            stage.late += not stage.beside
        elif self._is_held(way, stage, number, message.offset() or 0) and self._put_back(
            stage, message, Why.RETURNED
        ):
            return None
        stage.heard = time.monotonic()
        self._members.delivered[origin.channel, number] = (place, topic)
        return message

    def _event(self, member: Member, message: Message, error: KafkaError) -> Message | None:
        """The application does not hear of places that it does not read."""
        topic, code = message.topic(), error.code()
        if topic not in member.hidden if topic else member.topics or member.beside:
            return message
        if code == KafkaError._PARTITION_EOF:
            return None
        if (topic, code) not in self._logged:
            self._logged.add((topic, code))
            where = f"topic {topic}" if topic else member.place.config.get("bootstrap.servers")
            _log.warning("a place that is not read now, %s: %s", where, error)
        if code in _GONE:
            for stage in self._stages(member):
                if stage.topic == topic and stage.state is State.LEFT:
                    stage.heard = float("-inf")  # nothing can come from it any more
        return None

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
    def _put_back(stage: Stage, message: Message, why: Why) -> bool:
        """Have it read again later. Where that cannot be, it is delivered: this costs its order,
        but the message may be committed already."""
        topic, number, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None and number is not None and offset is not None
        assert stage.member is not None
        one, kept = TopicPartition(topic, number, offset), stage.member.kept
        if kept.holds(one, why) and offset > stage.returned.get(number, offset):
            return True  # of the same batch; reading goes on before it anyway
        try:
            stage.member.client.put_back(one)
        except KafkaException as error:
            _log.info("%s [%d] has gone: %s", topic, number, error)
            return False
        stage.returned[number] = offset
        # Only now: a partition that was assigned anew may have lost its pause.
        kept.keep([one], why)
        return True
