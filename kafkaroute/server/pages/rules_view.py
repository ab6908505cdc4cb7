"""Clusters, their rules and the profiles as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...rules.model import Lookup, Rule, Rules, Transform
from .resolving import shown_settings

__all__ = ["ClusterView", "ProfileView", "RuleView", "cluster_views", "profile_views"]

#: Entries shown of one look-up table.
MAX_ENTRIES = 50


@dataclass(frozen=True, slots=True)
class RuleView:
    """`entries`: channel key and topic of a look-up, as many as are shown; `more`: the others."""

    condition: str
    topic: str
    entries: tuple[tuple[str, str], ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class ClusterView:
    name: str
    tags: str
    connection: tuple[tuple[str, str], ...]
    rules: tuple[RuleView, ...]


@dataclass(frozen=True, slots=True)
class ProfileView:
    name: str
    tags: str
    settings: tuple[tuple[str, str], ...]


def cluster_views(rules: Rules) -> list[ClusterView]:
    return [
        ClusterView(
            cluster.name,
            _tags(cluster.tags),
            shown_settings(cluster.connection.items()),
            tuple(_rule(rule) for rule in cluster.rules),
        )
        for cluster in rules.clusters
    ]


def profile_views(rules: Rules) -> list[ProfileView]:
    return [
        ProfileView(profile.name, _tags(profile.tags), shown_settings(profile.settings.items()))
        for profile in rules.profiles
    ]


def _tags(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in tags.items())


def _rule(rule: Rule) -> RuleView:
    condition = ", ".join(f"{one.part}: {one.pattern.pattern}" for one in rule.predicates)
    if isinstance(rule.topic, Transform):
        return RuleView(condition or "every channel", _template(rule.topic))
    entries = [(key, target.topic) for key, target in rule.topic.table.items()]
    return RuleView(
        condition or "every channel",
        f"by {_key(rule.topic)}",
        tuple(entries[:MAX_ENTRIES]),
        max(0, len(entries) - MAX_ENTRIES),
    )


def _key(lookup: Lookup) -> str:
    if lookup.pattern is not None:
        return f"what {lookup.pattern.pattern} finds in the {lookup.part}"
    return "the last path segment" if lookup.segment == -1 else f"path segment {lookup.segment}"


def _template(topic: Transform) -> str:
    pieces = []
    for piece in topic.pieces:
        if isinstance(piece, str):
            pieces.append(piece)
        elif piece[0] == "segment":
            pieces.append(f"{{segment:{piece[1]}}}")
        else:
            pieces.append(f"{{{piece[1] if piece[0] == 'group' else piece[0]}}}")
    return "".join(pieces)
