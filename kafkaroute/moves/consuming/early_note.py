"""The note of a hold, written before anybody has joined the group at the new place.

Members write notes beside partitions that the group gave them. Where a rebalance or a death comes
before that, one that joins would find none, and read. A group without members takes commits from
anybody (it is how tools reset offsets), so whoever first asks the place does so.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ...backend.contract import BackendConsumer
from ...errors import KafkaException
from ...messages import TopicPartition
from ...settings import Settings
from ..notes import Note, answered, with_note
from .ground import Ground
from .noting import Noting
from .scouting import Scouting
from .stages import Stage, Way
from .standing import cluster_of
from .starting import start_offsets

__all__ = ["EarlyNote", "EarlyNotes"]

_log = logging.getLogger("kafkaroute.moves")

#: Seconds for one question to the broker.
_PATIENCE = 1.0


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
        self._overlaps = settings.on_move == "overlap"
        self._ground = ground
        self._noting = noting
        self._scouting = scouting

    def of(self, way: Way, coming: Stage) -> EarlyNote | None:
        """What to say of `coming`, where it is next and the cluster that notes name is known."""
        head = way.head
        if self._overlaps or coming is not way.stages[1] or not self._ground.commits(head.place):
            return None
        if cluster_of(head) is None:
            return None
        note = self._noting.held(head, self._scouting.window(head))
        return EarlyNote(note, coming.topic, coming.route.start_at, coming.since)
