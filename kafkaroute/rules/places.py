"""Where rules say that a channel lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..channel import Channel
from .model import (
    Asked,
    ChannelKey,
    Cluster,
    Lookup,
    Move,
    Rule,
    Rules,
    Target,
    Transform,
    channel_key,
)
from .question import Question, QuestionRefused

__all__ = [
    "Place",
    "Routing",
    "has_tags",
    "matching_channels",
    "place_of",
    "same_cluster",
    "same_place",
]

#: Channels that one pattern is tried on: 10,000 take 0.1 s.
MAX_MATCHES = 10_000


class Routing(NamedTuple):
    """The part of the rules that says where channels live."""

    clusters: tuple[Cluster, ...]
    moves: Mapping[ChannelKey, Move]

    @classmethod
    def of(cls, rules: Rules) -> Routing:
        return cls(rules.clusters, rules.moves)


class Place(NamedTuple):
    """`target` is None where the rule that matches names no topic."""

    cluster: Cluster
    target: Target | None


def has_tags(tags: Mapping[str, str], asked: Mapping[str, str]) -> bool:
    return all(tags.get(name) == value for name, value in asked.items())


def place_of(routing: Routing, asked: Asked, tags: Mapping[str, str]) -> Place | None:
    """A move of this very channel; else the first cluster with a rule that matches, first such
    rule. Later ones are not looked at even where the rule's table does not know the channel."""
    clusters = [cluster for cluster in routing.clusters if has_tags(cluster.tags, tags)]
    move = routing.moves.get(channel_key(asked.channel))
    if move is not None:
        for cluster in clusters:
            if cluster.name == move.cluster:
                return Place(cluster, move.target)
    found = _rule_for(clusters, asked)
    return None if found is None else Place(found[0], found[1].topic.target(asked.channel))


def _rule_for(clusters: Iterable[Cluster], asked: Asked) -> tuple[Cluster, Rule] | None:
    for cluster in clusters:
        for rule in cluster.rules:
            if rule.matches(asked):
                return cluster, rule
    return None


def same_place(one: Place, other: Place) -> bool:
    """The same topic of the same Kafka cluster, as far as rules can tell."""
    if one.target is None or other.target is None or one.target.topic != other.target.topic:
        return False
    return same_cluster(one.cluster, other.cluster)


def same_cluster(one: Cluster, other: Cluster) -> bool:
    """Cluster ids decide where both are known. Otherwise another list of brokers counts as another
    cluster: a client compares again once it is connected."""
    if one.cluster_id is not None and other.cluster_id is not None:
        return one.cluster_id == other.cluster_id
    key = "bootstrap.servers"
    return one.connection.get(key) == other.connection.get(key)


def matching_channels(routing: Routing, question: Question) -> list[Channel]:
    """The channels that the question's pattern (``kafka://example.com/orders/*``) stands for: those
    in look-up tables and moves. What a template would make of any name is not among them.

    Raises:
        QuestionRefused: too many to look at.
    """
    [pattern] = question.channels
    prefix = pattern.path[:-1]
    clusters = [c for c in routing.clusters if has_tags(c.tags, question.cluster_tags)]
    moved = {
        path[-1]
        for scheme, host, path in routing.moves
        if (scheme, host, path[:-1]) == (pattern.scheme, pattern.host, prefix)
    }
    keys = set(moved)
    for cluster in clusters:
        for rule in cluster.rules:
            keys.update(_last_segments(rule.topic, len(pattern.path)))
    if len(keys) > MAX_MATCHES:
        raise QuestionRefused(400, f"The pattern is tried on more than {MAX_MATCHES} channels")
    stem = f"{pattern.scheme}://{pattern.host}/{''.join(part + '/' for part in prefix)}"
    found = []
    for key in sorted(keys):
        channel = Channel(stem + key, pattern.scheme, pattern.host, (*prefix, key), key)
        asked = question.asked(channel)
        by_rule = _rule_for(clusters, asked)
        if key not in moved and (by_rule is None or not isinstance(by_rule[1].topic, Lookup)):
            continue
        place = place_of(routing, asked, question.cluster_tags)
        if place is not None and place.target is not None:
            found.append(channel)
    return found


def _last_segments(topic: Lookup | Transform, length: int) -> Iterable[str]:
    """Keys of a table that may be the last segment of a path of `length` segments."""
    if not isinstance(topic, Lookup) or (
        topic.pattern is None and topic.segment not in {-1, length}
    ):
        return ()
    return (key for key in topic.table if "/" not in key and "*" not in key)
