"""Where channels lived under earlier rules: generations and previous places.

Both are a function of the earlier rules themselves, so that they hold for every channel that rules
can name, also for one that nobody asked for before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from .model import (
    Asked,
    ChannelKey,
    Cluster,
    Lookup,
    Move,
    Predicate,
    Rule,
    Target,
    channel_key,
)
from .places import Place, has_tags, same_place

__all__ = ["Earlier", "Entry", "EntryKey", "Epoch", "History", "Moved", "Track"]

#: A cluster's name, the number of one of its rules, a key of that rule's table.
EntryKey = tuple[str, int, str]


class Entry(NamedTuple):
    """An entry of a table came into force, or (None) ceased to be."""

    version: int
    at: datetime
    target: Target | None


class Epoch(NamedTuple):
    """Clusters that came into force at `at` (with a zone), as version `version` of the rules, and
    what changed in their tables until the next epoch began.

    Nearly all edits are edits of tables: a question's rule is found once an epoch, not once an
    edit. A cluster that did not change is the same object in every epoch.
    """

    version: int
    at: datetime
    clusters: tuple[Cluster, ...]
    entries: Mapping[EntryKey, tuple[Entry, ...]]


class Moved(NamedTuple):
    """A channel's move came into force, or (None) ceased to be."""

    version: int
    at: datetime
    move: Move | None


class Earlier(NamedTuple):
    """A place that the channel left at `left_at`."""

    place: Place
    generation: int
    left_at: datetime


class Track(NamedTuple):
    """How a channel came to where it is.

    Attributes:
        generation: the version of the rules that brought it there, or more: it grows with every
            change of the channel's place, and without one only when the history's beginning is
            forgotten.
        previous: other places where it lived, oldest first, each once.
    """

    generation: int
    previous: tuple[Earlier, ...]


@dataclass(frozen=True, slots=True)
class History:
    """Rules of all times, oldest first; the last ones are in force. Empty: nothing is known."""

    epochs: tuple[Epoch, ...] = ()
    moved: Mapping[ChannelKey, tuple[Moved, ...]] = field(default_factory=dict)

    def track(self, asked: Asked, tags: Mapping[str, str]) -> Track | None:
        """None where the channel has no place now, or nothing is known."""
        now: Place | None = None
        generation = 0
        earlier: list[Earlier] = []
        for version, at, place in self._places(asked, tags):
            if now is not None and (place is None or not same_place(now, place)):
                earlier.append(Earlier(now, generation, at))
                now = None
            if place is not None and place.target is not None:
                if now is None:
                    generation = max(generation + 1, version)
                now = place
                # One that the rules' author wrote by hand is honoured; it must not go back.
                generation = max(generation, place.target.generation or 0)
        return None if now is None else Track(generation, _distinct(earlier, now))

    def _places(
        self, asked: Asked, tags: Mapping[str, str]
    ) -> Iterator[tuple[int, datetime, Place | None]]:
        """Each time when the place may have changed, and the place from then on."""
        clusters: list[Cluster] = []
        by_rules: Place | None = None
        move: Move | None = None
        changes = self._changes(asked, tags)
        for number, change in enumerate(changes):
            if isinstance(change, _Ruled):
                clusters, by_rules = change.clusters, change.place
            else:
                move = change.move
            if number + 1 < len(changes) and changes[number + 1].version == change.version:
                continue  # the other half of the same change
            place = by_rules
            if move is not None:
                for cluster in clusters:
                    if cluster.name == move.cluster:
                        place = Place(cluster, move.target)
            yield change.version, change.at, place if place and place.target else None

    def _changes(self, asked: Asked, tags: Mapping[str, str]) -> list[_Ruled | Moved]:
        verdicts = _Verdicts(asked)
        changes: list[_Ruled | Moved] = []
        for version, at, all_clusters, entries in self.epochs:
            clusters = [cluster for cluster in all_clusters if has_tags(cluster.tags, tags)]
            found = verdicts.of(clusters)
            if found is None:
                changes.append(_Ruled(version, at, clusters, None))
                continue
            cluster, number, rule = found
            place = Place(cluster, rule.topic.target(asked.channel))
            changes.append(_Ruled(version, at, clusters, place))
            key = rule.topic.key(asked.channel) if isinstance(rule.topic, Lookup) else None
            if key is not None:
                for entry in entries.get((cluster.name, number, key), ()):
                    place = Place(cluster, entry.target)
                    changes.append(_Ruled(entry.version, entry.at, clusters, place))
        changes += self.moved.get(channel_key(asked.channel), ())
        changes.sort(key=lambda change: change.version)
        return changes


class _Ruled(NamedTuple):
    """What the rules say from then on, moves apart."""

    version: int
    at: datetime
    clusters: list[Cluster]
    place: Place | None


class _Verdicts:
    """Which rule is the one question's, for many generations of clusters, most of whose rules and
    expressions are the same objects."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._by_cluster: dict[int, tuple[int, Rule] | None] = {}
        self._by_pattern: dict[tuple[str, int], bool] = {}

    def of(self, clusters: list[Cluster]) -> tuple[Cluster, int, Rule] | None:
        for cluster in clusters:
            if id(cluster) not in self._by_cluster:
                self._by_cluster[id(cluster)] = self._first_in(cluster)
            found = self._by_cluster[id(cluster)]
            if found is not None:
                return cluster, *found
        return None

    def _first_in(self, cluster: Cluster) -> tuple[int, Rule] | None:
        for number, rule in enumerate(cluster.rules):
            if all(self._holds(predicate) for predicate in rule.predicates):
                return number, rule
        return None

    def _holds(self, predicate: Predicate) -> bool:
        key = (predicate.part, id(predicate.pattern))
        if key not in self._by_pattern:
            self._by_pattern[key] = predicate.holds(self._asked)
        return self._by_pattern[key]


def _distinct(earlier: list[Earlier], now: Place) -> tuple[Earlier, ...]:
    """Each place once, with its latest `left_at`; not the one where the channel lives now."""
    found: list[Earlier] = []
    for one in reversed(earlier):
        if not same_place(one.place, now) and not any(
            same_place(one.place, other.place) for other in found
        ):
            found.append(one)
    return tuple(reversed(found))
