"""The note of a hold, written before anybody has joined the group at the new place."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ...backend.contract import BackendConsumer
from ...errors import KafkaException
from ...messages import TopicPartition
from ..notes import Note, answered, with_note
from .starting import resolved, start_offsets

__all__ = ["EarlyNote"]

_log = logging.getLogger("kafkaroute.moves")

#: Seconds for one question to the broker.
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class EarlyNote:
    """Members write notes beside partitions that the group gave them. Where a rebalance or a death
    comes before that, one that joins would find none, and read. A group without members takes
    commits from anybody (it is how tools reset offsets), so whoever first asks the place does so.

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
            starts = start_offsets(client, unknown, self.start_at, self.since, _PATIENCE)
            absolute, _ = resolved(client, starts, _PATIENCE)
            at = {one.partition: one.offset for one in absolute}
            if changed := with_note(self.note, committed, at):
                client.commit(changed, False)
        except KafkaException as error:
            _log.debug("%s: no note before the first member joins: %s", self.topic, error)
