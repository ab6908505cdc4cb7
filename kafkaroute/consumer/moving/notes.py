"""Notes that members of a group leave for each other beside committed offsets.

A member that restarts or joins while a new place is held gets only the new route from the
catalog. So the members that hold it say so in the metadata of the offsets that they commit there::

    kr1:held:g41:1764000000;         held because of the old place of generation 41, at most until
                                     then (seconds since the epoch)
    kr1:released:g41:1764000100;     may be read since then
    kr1:held:d0f3a…:1764000000;      the same for an old place without a generation (a digest of
                                     its cluster and topic)

A note is written by the owner of a partition only, beside an offset that it does not change, and
never over metadata of the application's own. A later commit of the application replaces the note;
that is as good as ``released``, for whoever holds the place commits nothing there. Metadata that
is no note of a version known here is the application's own.

A note ends with its semicolon, whatever follows: what confluent-kafka reads as metadata may go on
behind its end (seen with 2.16: "mine" came back with four bytes of memory behind it). For that
reason, too, what the application wrote is not copied.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ...backend.contract import BackendConsumer
from ...errors import KafkaException
from ...messages import TopicPartition

__all__ = [
    "Note",
    "NoteState",
    "answered",
    "exchange",
    "former",
    "own_metadata",
    "parse",
    "summary",
    "with_note",
]

_NOTE = re.compile(r"kr1:(held|released):(g[0-9]{1,19}|d[0-9a-f]{16}):([0-9]{1,12});")


class NoteState(StrEnum):
    HELD = "held"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Note:
    """One note.

    Attributes:
        state: whether the new place is held or may be read.
        old: which old place it is about; see :func:`former`.
        at: seconds since the epoch: until when it is held at most, or when it was released.
    """

    state: NoteState
    old: str
    at: int

    def says(self, other: Note) -> bool:
        """Whether `other` adds nothing to this one: a hold that is over is not taken back."""
        if self.old != other.old:
            return False
        return self.state is NoteState.RELEASED or (
            self.state is other.state and self.at >= other.at
        )

    def __str__(self) -> str:
        return f"kr1:{self.state}:{self.old}:{self.at};"


def former(cluster: str, topic: str, generation: int | None = None) -> str:
    """What names an old place in notes: its generation, else a digest.

    Args:
        cluster: the Kafka cluster's id.
    """
    if generation is not None:
        return f"g{generation}"
    # Not for secrecy: any text, short and in plain ASCII.
    return "d" + hashlib.sha256(f"{cluster}\0{topic}".encode()).hexdigest()[:16]


def parse(metadata: str | None) -> Note | None:
    """The note in committed metadata; None where it is the application's own. Never raises."""
    found = _NOTE.match(metadata) if isinstance(metadata, str) else None
    if found is None:
        return None
    state, old, at = found.groups()
    return Note(NoteState(state), old, int(at))


def own_metadata(metadata: str | None) -> str | None:
    """What the application itself committed as metadata: nothing where there is a note."""
    return metadata if parse(metadata) is None else None


def with_note(
    note: Note, committed: Sequence[TopicPartition], starts: Mapping[int, int]
) -> list[TopicPartition]:
    """What to commit so that `committed` says `note`: the same offsets, with the note beside them.

    Args:
        committed: partitions that this member owns, as committed() has just answered them.
        starts: partition → offset for those without a committed one (where the group is going to
            begin); partitions in neither are left out.

    Left out, too, are partitions that say so already for as long, those on which a member has said
    ``released`` for the same old place, and those with metadata of the application's own.
    """
    changed = []
    for one in committed:
        before = parse(one.metadata)
        if one.metadata and before is None:
            continue
        offset = one.offset if one.offset >= 0 else starts.get(one.partition)
        if offset is None or (before is not None and before.says(note)):
            continue
        changed.append(
            TopicPartition(one.topic, one.partition, offset, str(note), one.leader_epoch)
        )
    return changed


@dataclass(frozen=True, slots=True)
class Summary:
    """What a group's notes on a place say together.

    Attributes:
        held: partition → the note that holds it.
        released: partition → the note that releases it.
        read: partitions with a committed offset and no note: they are read.
        unknown: partitions without a committed offset.
    """

    held: Mapping[int, Note]
    released: Mapping[int, Note]
    read: frozenset[int]
    unknown: frozenset[int]

    def held_until(self) -> int | None:
        """The latest deadline of a ``held`` note, seconds since the epoch; None without one."""
        return max((note.at for note in self.held.values()), default=None)


def answered(committed: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
    """What committed() answered. Raises KafkaException: not all of it is known just now."""
    for one in committed:
        if one.error is not None:
            raise KafkaException(one.error)
    return committed


def summary(committed: Sequence[TopicPartition]) -> Summary:
    """Read the notes in what committed() answered for a place's partitions. Raises as
    :func:`answered`."""
    committed = answered(committed)
    held, released = {}, {}
    read, unknown = set(), set()
    for one in committed:
        if one.offset < 0:
            unknown.add(one.partition)
        elif (note := parse(one.metadata)) is None:
            read.add(one.partition)
        elif note.state is NoteState.HELD:
            held[one.partition] = note
        else:
            released[one.partition] = note
    return Summary(held, released, frozenset(read), frozenset(unknown))


_READ_NOTE = re.compile(r"kr1:read:([0-9]{1,19});")


def exchange(
    client: BackendConsumer,
    topic: str,
    numbers: Collection[int],
    mine: Mapping[int, int],
    timeout: float,
) -> dict[int, int]:
    """Say how far this member has read (`mine`: partition → end); what all members have said.

    Raises KafkaException: the broker does not answer within `timeout` seconds.
    """
    said: dict[int, int] = {}
    changed = []
    wanted = [TopicPartition(topic, number) for number in sorted(numbers)]
    for one in client.committed(wanted, timeout):
        metadata = one.metadata or ""
        note = _READ_NOTE.match(metadata)
        if note is not None:
            said[one.partition] = int(note[1])
        end = mine.get(one.partition)
        if end is None or one.offset < 0 or end <= max(one.offset, said.get(one.partition, -1)):
            continue
        if not metadata or metadata.startswith("kr1:"):
            text = f"kr1:read:{end};"
            changed.append(TopicPartition(topic, one.partition, one.offset, text, one.leader_epoch))
    if changed:
        client.commit(changed, True)
    return said
