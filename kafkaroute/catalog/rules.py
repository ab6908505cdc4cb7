"""The rules engine: what a catalog answers, as a pure function of rules, caller and question.

The `file` catalog and ``kafkaroute serve`` share it. Status codes and messages are those of
docs/catalog.md. Where the existing service answers badly, this one answers sensibly:

- a channel given twice, or one without a path, is a 400 (there: 500);
- several channels: ``routes`` holds one full answer per channel. ``connection`` and
  ``channel_mapping`` speak of the first channel's cluster alone, and a last path segment that
  would mean two topics is left out of ``channel_mapping``: a client that does not know ``routes``
  fails on such a channel instead of writing to the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..channel import Channel
from ..errors import ChannelInvalid
from .rules_model import ANY_CALLER, Cluster, Profile, Rules, Target, Value
from .secret_refs import is_reference, resolve_reference

__all__ = ["Answer", "answer"]

_NUMBERED = re.compile(r"channel\[([0-9]{1,6})\]")
_MISSING = "config_profile and channel query parameters are required"
_BAD_CHANNEL = "Invalid channel URL"
_TWO_HOSTS = "All channels must have the same scheme and host"
_NO_RULE = "No matching routing rule found"
#: Prefixes of query parameters that are matched against tags.
_CLUSTER_TAG = "kafka."
_PROFILE_TAG = "config_profile."


class Answer(NamedTuple):
    """An HTTP status and the JSON object that goes with it."""

    status: int
    body: dict[str, Any]


class _Refused(Exception):  # control flow inside this module
    def __init__(self, status: int, message: str) -> None:
        self.answer = Answer(status, {"message": message})


@dataclass(frozen=True, slots=True)
class _Question:
    profile: str
    channels: tuple[Channel, ...]
    several: bool
    cluster_tags: Mapping[str, str]
    profile_tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Place:
    channel: Channel
    cluster: Cluster
    target: Target | None


def answer(rules: Rules, caller: str | None, query: Iterable[tuple[str, str]]) -> Answer:
    """What the catalog answers.

    Args:
        rules: a loaded rules file.
        caller: who asks, already authenticated; None where the rules name no callers.
        query: decoded query parameters, in order, repeated ones included.
    """
    try:
        question = _question(query)
        places = _places(rules, question)
        profile = _profile(rules.profiles, question)
        return Answer(200, _body(rules, caller, question, places, profile))
    except _Refused as refused:
        return refused.answer


def _question(query: Iterable[tuple[str, str]]) -> _Question:
    named: dict[str, list[str]] = {}
    for name, value in query:
        named.setdefault(name, []).append(value)
    single = named.get("channel", [])
    numbered = {
        int(match.group(1)): values
        for name, values in named.items()
        if (match := _NUMBERED.fullmatch(name))
    }
    profiles = [value for value in named.get("config_profile", ()) if value]
    if not profiles or not (single or numbered):
        raise _Refused(400, _MISSING)
    if len(set(profiles)) > 1:
        raise _Refused(400, "config_profile is given more than once")
    if len(single) > 1 or any(len(values) > 1 for values in numbered.values()):
        raise _Refused(400, "A channel is given more than once: use channel[0], channel[1], ...")
    if single and numbered:
        raise _Refused(400, "Use either channel or channel[0], channel[1], ...")
    texts = single or [numbered[number][0] for number in sorted(numbered)]
    channels = tuple(_channel(text) for text in texts)
    if len({(channel.scheme, channel.host) for channel in channels}) > 1:
        raise _Refused(400, _TWO_HOSTS)
    return _Question(
        profile=profiles[0],
        channels=channels,
        several=len(channels) > 1,
        cluster_tags=_asked_tags(named, _CLUSTER_TAG),
        profile_tags=_asked_tags(named, _PROFILE_TAG),
    )


def _asked_tags(named: Mapping[str, Sequence[str]], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): values[0]
        for name, values in named.items()
        if name.startswith(prefix)
    }


def _channel(text: str) -> Channel:
    try:
        return Channel.parse(text)
    except ChannelInvalid:
        raise _Refused(400, _BAD_CHANNEL) from None


def _has_tags(tags: Mapping[str, str], asked: Mapping[str, str]) -> bool:
    return all(tags.get(name) == value for name, value in asked.items())


def _places(rules: Rules, question: _Question) -> list[_Place]:
    clusters = [
        cluster for cluster in rules.clusters if _has_tags(cluster.tags, question.cluster_tags)
    ]
    places = [
        place for channel in question.channels if (place := _place(clusters, channel)) is not None
    ]
    if not places:
        raise _Refused(404, _NO_RULE)
    return places


def _place(clusters: Iterable[Cluster], channel: Channel) -> _Place | None:
    """First cluster with a rule that matches, first such rule; later ones are not looked at even
    where the rule's table does not know the channel."""
    for cluster in clusters:
        for rule in cluster.rules:
            if rule.matches(channel):
                return _Place(channel, cluster, rule.topic.target(channel))
    return None


def _profile(profiles: Iterable[Profile], question: _Question) -> Profile:
    for profile in profiles:
        if profile.name == question.profile and _has_tags(profile.tags, question.profile_tags):
            return profile
    raise _Refused(404, f"Configuration profile not found: {question.profile}")


def _credentials(rules: Rules, caller: str | None, cluster: Cluster) -> dict[str, Value]:
    if rules.credentials is None:
        return {}
    for wanted in (caller, ANY_CALLER):
        for entry in rules.credentials:
            if entry.caller == wanted and (not entry.clusters or cluster.name in entry.clusters):
                return {
                    key: resolve_reference(str(value)) if is_reference(value) else value
                    for key, value in entry.values.items()
                }
    # Not the caller's name: clients put this message into exceptions, and names stay out of those.
    raise _Refused(404, f"Credential not found: none for this caller on cluster {cluster.name}")


def _body(
    rules: Rules,
    caller: str | None,
    question: _Question,
    places: list[_Place],
    profile: Profile,
) -> dict[str, Any]:
    credentials = {
        name: _credentials(rules, caller, cluster)
        for name, cluster in {place.cluster.name: place.cluster for place in places}.items()
    }
    first = places[0]
    body: dict[str, Any] = {
        "connection": dict(first.cluster.connection),
        "credentials": credentials[first.cluster.name],
        "configuration": dict(profile.settings),
        "channel_mapping": _mapping(places),
    }
    if not question.several:
        return body | _additions(first)
    body["routes"] = {
        place.channel.uri: {
            "connection": dict(place.cluster.connection),
            "credentials": credentials[place.cluster.name],
            "configuration": dict(profile.settings),
            "topic": place.target.topic,
            **_additions(place),
        }
        for place in places
        if place.target is not None
    }
    return body


def _mapping(places: list[_Place]) -> dict[str, str]:
    topics: dict[str, set[str]] = {}
    for place in places:
        # A place elsewhere still counts as one that the key might mean.
        here = place.cluster is places[0].cluster
        if place.target is not None:
            topics.setdefault(place.channel.key, set()).add(place.target.topic if here else "")
    return {
        key: name
        for key, names in topics.items()
        if len(names) == 1 and (name := next(iter(names)))
    }


def _additions(place: _Place) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if place.cluster.cluster_id is not None:
        found["cluster_id"] = place.cluster.cluster_id
    if place.target is not None:
        if place.target.start_at is not None:
            found["start_at"] = place.target.start_at
        if place.target.generation is not None:
            found["generation"] = place.target.generation
    return found
