"""Telling members that join or restart that a place is held: notes beside committed offsets."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from ...backend.contract import BackendConsumer
from ...members import Member
from ...messages import TopicPartition
from ..notes import Note, NoteState, Summary, former, summary, with_note
from .stages import Stage
from .standing import partitions_of

__all__ = ["Awaited", "Noting", "held_by_others"]

#: Seconds for one question to the broker.
_PATIENCE = 1.0
#: A hold is announced for at least so many seconds, and anew when half of them are over.
_LEAST = 60.0
#: Seconds between two looks at the notes of others.
_LOOK = 0.5
#: A partition that was committed without a note for so many seconds is read by its member: notes
#: are written when a hold begins, and the first commit after the release takes their place.
_SETTLED = 3.0


class Noting:
    """Writes the notes of this member's partitions; see :mod:`kafkaroute.moves.notes`.

    Attributes:
        own: the old places that this member leaves, or has left, itself: what notes say of them
            it knows better. The note of a member that died may hold for a minute.
    """

    def __init__(self) -> None:
        self.own: set[str] = set()

    def held(self, old: Stage, window: float) -> Note:
        """What to say of a place that waits for `old`, which this member leaves itself."""
        old_id = old.cluster_id or old.route.cluster_id or ""
        name = former(old_id, old.topic, old.route.generation)
        self.own.add(name)
        return Note(NoteState.HELD, name, int(time.time() + max(_LEAST, 2 * window)))

    def hold(self, old: Stage, held: Stage, window: float) -> None:
        """Say that `held` waits for `old`, where that is not said yet."""
        note = self.held(old, window)
        held.note_of = note.old
        if not held.unplaced and (own := self._unsaid(held)):
            self._write(held, own, note)
            held.noted = dict.fromkeys((one.partition for one in own), note.at)

    @staticmethod
    def _unsaid(held: Stage) -> list[TopicPartition]:
        own = partitions_of(held)
        for number in held.noted.keys() - {one.partition for one in own}:
            del held.noted[number]
        soon = time.time() + _LEAST / 2
        if all(held.noted.get(one.partition, 0) > soon for one in own):
            return []
        return own

    def release(self, held: Stage) -> None:
        """Say that it may be read. Best effort: a note ends by itself."""
        if held.note_of is None:
            return
        note = Note(NoteState.RELEASED, held.note_of, int(time.time()))
        if own := partitions_of(held):
            self._write(held, own, note)
        else:
            self._release_others(held, note)
        held.note_of, held.noted = None, {}

    @staticmethod
    def _release_others(held: Stage, note: Note) -> None:
        """The group has given this member nothing there, perhaps all to one that knows of the hold
        from the notes alone, and waits: its offsets stand still."""
        assert held.member is not None
        client = held.member.client
        committed = client.committed(_all_of(client, held.topic), _PATIENCE)
        said = {number for number, one in summary(committed).held.items() if one.old == note.old}
        mine = [one for one in committed if one.partition in said]
        if changed := with_note(note, mine, {}):
            client.commit(changed, True)

    @staticmethod
    def _write(stage: Stage, own: Sequence[TopicPartition], note: Note) -> None:
        assert stage.member is not None
        client = stage.member.client
        wanted = [TopicPartition(one.topic, one.partition) for one in own]
        committed = client.committed(wanted, _PATIENCE) if wanted else []
        if changed := with_note(note, committed, stage.starts):
            client.commit(changed, True)


class Awaited:
    """Partitions that this member joined while others hold them.

    Args:
        partitions: bare; they are paused.
        own: see :class:`Noting`.
    """

    def __init__(
        self,
        member: Member,
        channel: str,
        partitions: Sequence[TopicPartition],
        own: Collection[str],
    ) -> None:
        self._own = own
        self.member = member
        self.channel = channel
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
        if now < self._next or not self.waiting:
            return []
        self._next = now + _LOOK
        client = self.member.client
        self.waiting &= {one.partition for one in client.assignment() if one.topic == self.topic}
        if not self._all:
            self._all = _all_of(client, self.topic)
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
    """Those of the partitions that `came` which notes hold; `own`: see :class:`Noting`.

    Raises KafkaException: the broker did not answer."""
    notes = summary(client.committed([TopicPartition(topic, n) for n in sorted(came)], _PATIENCE))
    if notes.unknown and not notes.held:
        # Nothing is said of them yet, and nothing read: what is said of the others counts.
        notes = summary(client.committed(_all_of(client, topic), _PATIENCE))
    return _held(notes, own) & set(came)


def _all_of(client: BackendConsumer, topic: str) -> list[TopicPartition]:
    known = client.list_topics(topic, _PATIENCE).topics.get(topic)
    return [] if known is None else [TopicPartition(topic, number) for number in known.partitions]


def _held(notes: Summary, own: Collection[str]) -> set[int]:
    """Partitions that a note holds, and no note of the same move releases; with them those of which
    nothing is known, for a place is held as a whole."""
    now = time.time()
    released = set(own) | {note.old for note in notes.released.values()}
    held = {
        number for number, note in notes.held.items() if note.at > now and note.old not in released
    }
    return held | notes.unknown if held else held
