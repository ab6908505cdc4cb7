"""Telling members that join or restart that a place is held: notes beside committed offsets.

How they are heeded is in :mod:`.awaiting`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ...backend.contract import BackendConsumer
from ...messages import TopicPartition
from ..notes import Note, NoteState, former, summary, with_note
from .stages import Stage
from .standing import partitions_of

__all__ = ["Noting", "all_of"]

#: Seconds for one question to the broker.
_PATIENCE = 1.0
#: A hold is announced for at least so many seconds, and anew when half of them are over.
_LEAST = 60.0


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
        committed = client.committed(all_of(client, held.topic), _PATIENCE)
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


def all_of(client: BackendConsumer, topic: str) -> list[TopicPartition]:
    """The topic's partitions. Raises KafkaException: the broker did not answer."""
    known = client.list_topics(topic, _PATIENCE).topics.get(topic)
    return [] if known is None else [TopicPartition(topic, number) for number in known.partitions]
