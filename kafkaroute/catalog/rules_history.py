"""Where channels lived under earlier rules: generations and previous places.

Both are a function of the earlier rules themselves, so that they hold for every channel that rules
can name, also for one that nobody asked for before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from .rules_model import Asked, ChannelKey, Cluster, Move, Target, channel_key
from .rules_places import Place, has_tags, same_place

__all__ = ["Earlier", "Epoch", "History", "Moved", "Track"]


class Epoch(NamedTuple):
    """`clusters` came into force at `at` (with a zone), as version `version` of the rules.

    A cluster that did not change is the same object in every epoch.
    """

    version: int
    at: datetime
    clusters: tuple[Cluster, ...]


class Moved(NamedTuple):
    """A channel's move came into force, or (None) ceased to be."""

    version: int
    at: datetime
    move: Move | None


class Earlier(NamedTuple):
    """A place where the channel lived until `until`."""

    place: Place
    generation: int
    until: datetime


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
        by_cluster: dict[int, tuple[Target | None] | None] = {}
        clusters: list[Cluster] = []
        by_rules: Place | None = None
        move: Move | None = None
        changes: list[Epoch | Moved] = [
            *self.epochs,
            *self.moved.get(channel_key(asked.channel), ()),
        ]
        changes.sort(key=lambda change: change.version)
        for number, change in enumerate(changes):
            if isinstance(change, Epoch):
                clusters = [c for c in change.clusters if has_tags(c.tags, tags)]
                by_rules = _place_by_rules(clusters, asked, by_cluster)
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


def _place_by_rules(
    clusters: list[Cluster], asked: Asked, known: dict[int, tuple[Target | None] | None]
) -> Place | None:
    """As :func:`place_of` without moves; `known` keeps each cluster's verdict."""
    for cluster in clusters:
        if id(cluster) not in known:
            rule = next((rule for rule in cluster.rules if rule.matches(asked)), None)
            known[id(cluster)] = None if rule is None else (rule.topic.target(asked.channel),)
        verdict = known[id(cluster)]
        if verdict is not None:
            return Place(cluster, verdict[0])
    return None


def _distinct(earlier: list[Earlier], now: Place) -> tuple[Earlier, ...]:
    """Each place once, with its latest `until`; not the one where the channel lives now."""
    found: list[Earlier] = []
    for one in reversed(earlier):
        if not same_place(one.place, now) and not any(
            same_place(one.place, other.place) for other in found
        ):
            found.append(one)
    return tuple(reversed(found))
