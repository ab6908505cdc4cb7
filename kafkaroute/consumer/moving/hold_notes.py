"""Telling members that join or restart that a place is held: notes beside committed offsets.

How they are heeded is in :mod:`.awaiting`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ...backend.contract import BackendConsumer
from ...errors import KafkaException
from ...messages import TopicPartition
from ...settings import Settings
from .notes import Note, NoteState, answered, former, summary, with_note
from .policies import move_policy
from .positions import cluster_of, partitions_of
from .stages import Ground, Stage, Way
from .starts import start_offsets
from .windows import Scouting

__all__ = ["EarlyNote", "EarlyNotes", "Noting", "all_of"]

_log = logging.getLogger("kafkaroute.moves")
#: Seconds for one question to the broker.
_PATIENCE = 1.0
#: A hold is announced for at least so many seconds, and anew when half of them are over.
_LEAST = 60.0


class Noting:
    """Writes the notes of this member's partitions; see :mod:`kafkaroute.consumer.moving.notes`.

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


@dataclass(frozen=True, slots=True)
class EarlyNote:
    """What to say of one place; it is said on another thread than the Consumer's.

    Attributes:
        note: what to say.
        topic: where.
        start_at, since: as :func:`.starting.start_offsets` takes them.
    """

    note: Note
    topic: str
    start_at: str | None
    since: float | None

    def write(self, client: BackendConsumer, partitions: int) -> None:
        """Say it beside all `partitions`, unless the group has members, who will. `client` is none
        of them. Best effort."""
        wanted = [TopicPartition(self.topic, number) for number in range(partitions)]
        try:
            committed = answered(client.committed(wanted, _PATIENCE))
            unknown = [one for one in committed if one.offset < 0]
            starts, _ = start_offsets(client, unknown, self.start_at, self.since, _PATIENCE)
            at = {one.partition: one.offset for one in starts}
            if changed := with_note(self.note, committed, at):
                client.commit(changed, False)
        except KafkaException as error:
            _log.debug("%s: no note before the first member joins: %s", self.topic, error)


class EarlyNotes:
    """Which moves have them: those of groups that commit, unless both places are read at once."""

    def __init__(
        self, settings: Settings, ground: Ground, noting: Noting, scouting: Scouting
    ) -> None:
        self._policy = move_policy(settings.on_move)
        self._ground = ground
        self._noting = noting
        self._scouting = scouting

    def of(self, way: Way, coming: Stage) -> EarlyNote | None:
        """What to say of `coming`, where it is next and the cluster that notes name is known."""
        head = way.head
        if (
            not self._policy.holds
            or coming is not way.stages[1]
            or not self._ground.commits(head.place)
        ):
            return None
        if cluster_of(head) is None:
            return None
        note = self._noting.held(head, self._scouting.window(head))
        return EarlyNote(note, coming.topic, coming.route.start_at, coming.since)
