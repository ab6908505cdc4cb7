"""Partitions that kafkaroute does not let be read for now, beside those that the application paused.

Both rest in the native consumer's one pause, which outlives a partition's going and coming back.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from ..backend.contract import BackendConsumer
from ..messages import TopicPartition

__all__ = ["MOVING", "KeptBack", "Why"]


class Why(Enum):
    """Why a partition is kept back; there may be several reasons at once."""

    #: Its place is held.
    HELD = auto()
    #: It is not known yet where to start.
    UNPLACED = auto()
    #: Other members hold its place.
    AWAITED = auto()
    #: The catalog refuses the channel.
    REFUSED = auto()
    #: Messages were put back, as others come before them.
    RETURNED = auto()
    #: Whether its messages come late, or the channel is back, is being asked.
    ASKED = auto()


#: The reasons that end with a channel's move.
MOVING = (Why.HELD, Why.UNPLACED, Why.RETURNED, Why.ASKED)


class KeptBack:
    """The set of one native consumer.

    Args:
        paused: what the application paused, as (topic, partition); live.
    """

    __slots__ = ("_client", "_paused", "_silent", "_why")

    def __init__(self, client: BackendConsumer, paused: set[tuple[str, int]]) -> None:
        self._client = client
        self._paused = paused
        self._why: dict[tuple[str, int], set[Why]] = {}
        #: Paused for us in the native consumer, perhaps from before the partition went.
        self._silent: set[tuple[str, int]] = set()

    def keep(self, partitions: Iterable[TopicPartition], why: Why) -> None:
        """Deliver nothing of these assigned partitions."""
        chosen = list(partitions)
        if not chosen:
            return
        for one in chosen:
            self._why.setdefault(_key(one), set()).add(why)
            self._silent.add(_key(one))
        self._client.pause(chosen)

    def let_go(self, partitions: Iterable[TopicPartition], why: Why) -> None:
        """`why` is over; they are read again where no other reason is left."""
        free = []
        for one in partitions:
            reasons = self._why.get(_key(one), set())
            if why not in reasons:
                continue
            reasons.remove(why)
            if not reasons:
                del self._why[_key(one)]
                free.append(one)
        self._wake(free)

    def let_go_all(self, topic: str, *reasons: Why) -> None:
        """`reasons` are over for all partitions of `topic`."""
        own = [TopicPartition(*key) for key in self._why if key[0] == topic]
        for why in reasons:
            self.let_go(own, why)

    def went(self, partitions: Iterable[TopicPartition]) -> None:
        """The group took partitions away: no reason is left."""
        for one in partitions:
            self._why.pop(_key(one), None)

    def came(self, partitions: Iterable[TopicPartition]) -> None:
        """The group gave partitions, which are assigned: those that nobody keeps back now are
        read, whatever was paused when they were here before."""
        self._wake([one for one in partitions if _key(one) not in self._why])

    def was_silent(self, partitions: Iterable[TopicPartition]) -> bool:
        """Whether one of them was kept back when it was here before."""
        return bool(self._silent) and any(_key(one) in self._silent for one in partitions)

    def holds(self, partition: TopicPartition, why: Why | None = None) -> bool:
        """Whether it is kept back (for this reason)."""
        reasons = self._why.get(_key(partition), ())
        return bool(reasons) if why is None else why in reasons

    def _wake(self, partitions: Iterable[TopicPartition]) -> None:
        ready = []
        for one in partitions:
            if _key(one) in self._silent:
                self._silent.remove(_key(one))
                if _key(one) not in self._paused:
                    ready.append(TopicPartition(one.topic, one.partition))
        if ready:
            self._client.resume(ready)


def _key(partition: TopicPartition) -> tuple[str, int]:
    return partition.topic, partition.partition
