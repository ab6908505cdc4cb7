"""Places that this member joined while others hold them: heeding the notes of :mod:`.noting`."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from ...backend.contract import BackendConsumer
from ...messages import TopicPartition
from ..clients import Member, Members
from ..pauses import Why
from .hold_notes import all_of
from .notes import Summary, summary

__all__ = ["Awaiting", "held_by_others"]

#: Seconds for one question to the broker.
_PATIENCE = 1.0
#: Seconds between two looks at the notes of others.
_LOOK = 0.5
#: A partition that was committed without a note for so many seconds is read by its member: notes
#: are written when a hold begins, and the first commit after the release takes their place.
_SETTLED = 3.0


class Awaiting:
    """The channels whose partitions wait.

    Args:
        own: see :class:`.noting.Noting`.
    """

    def __init__(self, members: Members, own: Collection[str]) -> None:
        self._members = members
        self._own = own
        self.channels: dict[str, _Awaited] = {}

    def add(self, member: Member, channel: str, partitions: Sequence[TopicPartition]) -> None:
        """These came to `member`, bare and paused; others hold them."""
        awaited = _Awaited(member, partitions, self._own)
        if (before := self.channels.get(channel)) is not None:
            awaited.waiting |= before.waiting  # its next step leaves out what has gone
        self.channels[channel] = awaited

    def step(self, channel: str, now: float) -> None:
        """Let those go on that may be read now.

        Raises KafkaException: the broker does not answer just now."""
        awaited = self.channels[channel]
        if awaited.member not in self._members.all:
            # It was closed. Another has taken its place where settings changed.
            heir = self._members.of_channel(channel)
            if heir is None:
                del self.channels[channel]
                return
            awaited.member = heir
        awaited.member.kept.let_go(awaited.step(now), Why.AWAITED)
        if not awaited.waiting:
            del self.channels[channel]


class _Awaited:
    def __init__(
        self,
        member: Member,
        partitions: Sequence[TopicPartition],
        own: Collection[str],
    ) -> None:
        self._own = own
        self.member = member
        self.topic = partitions[0].topic
        self.waiting = {one.partition for one in partitions}
        self._all: list[TopicPartition] = []
        self._next = 0.0
        #: Partition → since when it has been seen read (-inf: it was held before).
        self._read: dict[int, float] = {}
        self._held: set[int] = set()

    def step(self, now: float) -> list[TopicPartition]:
        """Those that may be read now.

        Raises KafkaException: the broker does not answer just now."""
        if now < self._next or not self.member.settled:
            return []  # what went in a rebalance may come back, and is to wait then
        self._next = now + _LOOK
        client = self.member.client
        self.waiting &= {one.partition for one in client.assignment() if one.topic == self.topic}
        if not self.waiting:
            return []
        if not self._all:
            self._all = all_of(client, self.topic)
        notes = summary(client.committed(self._all, _PATIENCE))
        free = self.waiting - (set() if self._is_over(notes, now) else _held(notes, self._own))
        self.waiting -= free
        return [TopicPartition(self.topic, number) for number in sorted(free)]

    def _is_over(self, notes: Summary, now: float) -> bool:
        """Whether another member reads this place: a ``released`` note lasts only until the next
        commit of its partition, so a note that has gone tells as much."""
        for number in notes.read:
            since = float("-inf") if number in self._held else now
            self._read.setdefault(number, since)
        self._held |= notes.held.keys()
        return any(now - self._read[number] >= _SETTLED for number in notes.read)


def held_by_others(
    client: BackendConsumer, topic: str, came: Collection[int], own: Collection[str]
) -> set[int]:
    """Those of the partitions that `came` which notes hold; `own`: see :class:`.noting.Noting`.

    Raises KafkaException: the broker did not answer."""
    notes = summary(client.committed([TopicPartition(topic, n) for n in sorted(came)], _PATIENCE))
    if notes.unknown and not notes.held:
        # Nothing is said of them yet, and nothing read: what is said of the others counts.
        notes = summary(client.committed(all_of(client, topic), _PATIENCE))
    return _held(notes, own) & set(came)


def _held(notes: Summary, own: Collection[str]) -> set[int]:
    """Partitions that a note holds, and no note of the same move releases; with them those of which
    nothing is known, for a place is held as a whole."""
    now = time.time()
    released = set(own) | {note.old for note in notes.released.values()}
    held = {
        number for number, note in notes.held.items() if note.at > now and note.old not in released
    }
    return held | notes.unknown if held else held
