"""What became of each message: the counts of a run, from its producers' and consumers' records.

Definitions (docs/moves.md): *lost*: reported delivered, never read by the group. *Unreported*:
accepted, but no report came. *Duplicated*: read again by the same group; *written twice* where it
was read from another position than before (a retry or a rescue), else *read again* (a member read
it and was gone before it committed). *Reordered*: read for the first time after a higher number of
the same producer and key. *Late*: read from a place that was left already. *Pause*: the longest
time between two deliveries of one producer, or two messages of one partition's keys in a group.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .producing import DELIVERED, FAILED
from .readings import LATE, Batch, place_of, split_identity

__all__ = ["GroupCount", "Pause", "ProducerRecord", "count_group"]


@dataclass(frozen=True, slots=True)
class Pause:
    """`seconds` of silence that began at `at` (time.monotonic()); `who` was silent."""

    seconds: float = 0.0
    at: float = 0.0
    who: str = ""


@dataclass(slots=True)
class ProducerRecord:
    """What a producer process noted: a state for each number it produced.

    Attributes:
        states: 0 unreported, 1 failed, from 2 on delivered to topics[state - 2].
    """

    number: int
    states: bytes
    topics: list[str]
    twice: int = 0
    pause: Pause = Pause()

    @property
    def unreported(self) -> int:
        return self.states.count(0)

    @property
    def failed(self) -> int:
        return self.states.count(FAILED)

    @property
    def delivered(self) -> int:
        return len(self.states) - self.unreported - self.failed


@dataclass(slots=True)
class GroupCount:
    """What one group made of it.

    Attributes:
        read: messages read, each counted once.
        late: of these and of the duplicates, those from a place that was left.
        reordered: first readings after a higher number of the same producer and key.
        reordered_late: of these, those that came from a place that was left already.
        lost_by_topic, lost_by_range: where the lost ones had been reported delivered.
        unknown: numbers read that no producer accepted (they must be 0).
    """

    read: int = 0
    written_twice: int = 0
    read_again: int = 0
    late: int = 0
    reordered: int = 0
    reordered_late: int = 0
    lost: int = 0
    unknown: int = 0
    lost_by_topic: Counter[str] = field(default_factory=Counter)
    pause: Pause = Pause()
    per_100_ms: Counter[int] = field(default_factory=Counter)
    lost_by_range: Counter[str] = field(default_factory=Counter)
    first_losses: list[str] = field(default_factory=list)
    first_reorderings: list[str] = field(default_factory=list)

    @property
    def duplicated(self) -> int:
        return self.written_twice + self.read_again


def count_group(
    producers: Sequence[ProducerRecord],
    batches: Iterable[Batch],
    ranges: Sequence[str],
    places: Sequence[Sequence[int]],
    started: float,
) -> GroupCount:
    """Count one group.

    Args:
        producers: by number.
        batches: of all members, by time.
        ranges: for each key, the name of the range of keys that shares its partition.
        places: for each member, the place of each of its codes (equal numbers: equal places).
        started: the load's beginning, time.monotonic().
    """
    count = GroupCount()
    keys = len(ranges)
    seen = [array("Q", bytes(8 * len(producer.states))) for producer in producers]
    highest = [[-1] * keys for _ in producers]
    last: dict[str, float] = {}
    worst = 0.0
    for batch in batches:
        now = batch.at
        bin_ = int((now - started) * 10)
        codes = places[batch.member] if batch.member < len(places) else ()
        for who, where in zip(batch.who, batch.where, strict=True):
            number_of, number = split_identity(who)
            if number_of >= len(seen) or number >= len(seen[number_of]):
                count.unknown += 1
                continue
            late = where & LATE
            if late:
                count.late += 1
            spot = _globally(where & ~LATE, codes) + 1
            key = number % keys
            reading = seen[number_of]
            before = reading[number]
            if before:
                if before == spot:
                    count.read_again += 1
                else:
                    count.written_twice += 1
            else:
                reading[number] = spot
                count.read += 1
                if number < highest[number_of][key]:
                    _note_reordering(count, bool(late), number_of, number, key, highest, now)
                else:
                    highest[number_of][key] = number
            name = ranges[key]
            silent = now - last.get(name, now)
            if silent > worst:
                worst = silent
                count.pause = Pause(silent, now - silent, name)
            last[name] = now
        count.per_100_ms[bin_] += len(batch.who)
    _count_losses(count, producers, seen, ranges)
    return count


def _globally(where: int, codes: Sequence[int]) -> int:
    """The position with the run's number of the place instead of the member's."""
    place = place_of(where)
    known = codes[place] if place < len(codes) else 255
    return where + ((known - place) << 52)


def _note_reordering(
    count: GroupCount,
    late: bool,
    producer: int,
    number: int,
    key: int,
    highest: list[list[int]],
    now: float,
) -> None:
    if late:
        count.reordered_late += 1
    else:
        count.reordered += 1
    if len(count.first_reorderings) < 5:
        after = highest[producer][key]
        text = f"producer {producer} key {key}: {number} after {after} at {now:.3f}"
        count.first_reorderings.append(text + (" (late)" if late else ""))


def _count_losses(
    count: GroupCount,
    producers: Sequence[ProducerRecord],
    seen: Sequence[array[int]],
    ranges: Sequence[str],
) -> None:
    for producer, reading in zip(producers, seen, strict=True):
        for number, state in enumerate(producer.states):
            if state >= DELIVERED and not reading[number]:
                count.lost += 1
                count.lost_by_topic[producer.topics[state - DELIVERED]] += 1
                count.lost_by_range[ranges[number % len(ranges)]] += 1
                if len(count.first_losses) < 5:
                    count.first_losses.append(f"producer {producer.number}: {number}")


def by_time(files: Sequence[Iterator[Batch]]) -> Iterator[Batch]:
    """The batches of several members in the order in which they were read."""
    return heapq.merge(*files, key=lambda batch: batch.at)
