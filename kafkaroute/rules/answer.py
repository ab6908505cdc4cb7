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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ..channel import MOST_PREVIOUS, Channel
from .history import Earlier, History
from .model import ANY_CALLER, Cluster, Credentials, Profile, Rules, Value, plain_uri
from .places import Place, Routing, has_tags, matching_channels, place_of, same_cluster
from .question import Question, QuestionRefused, question_from
from .secrets.refs import is_reference, resolve_reference
from .secrets.stores import SecretUnavailable

__all__ = ["Answer", "Told", "answer", "credentials_of", "told_answer"]

_NO_RULE = "No matching routing rule found"


class Answer(NamedTuple):
    """An HTTP status and the JSON object that goes with it."""

    status: int
    body: dict[str, Any]


class Told(NamedTuple):
    """A channel whose route an answer tells (in one spelling for all that mean the same), the
    route's generation, and what it was asked for."""

    channel: str
    generation: int | None
    intent: str


@dataclass(frozen=True, slots=True)
class _Found:
    """A channel that was asked for, where it lives, and where it lived."""

    channel: Channel
    place: Place
    generation: int | None
    previous: tuple[Earlier, ...]


def answer(
    rules: Rules,
    caller: str | None,
    query: Iterable[tuple[str, str]],
    history: History | None = None,
) -> Answer:
    """What the catalog answers.

    Args:
        rules: a loaded rules file.
        caller: who asks, already authenticated; None where the rules name no callers.
        query: decoded query parameters, in order, repeated ones included.
        history: of the rules, for ``generation`` and ``previous``.
    """
    return told_answer(rules, caller, query, history)[0]


def told_answer(
    rules: Rules,
    caller: str | None,
    query: Iterable[tuple[str, str]],
    history: History | None = None,
) -> tuple[Answer, tuple[Told, ...]]:
    """As :func:`answer`, and the channels whose routes it tells."""
    try:
        question = question_from(caller, query)
        found = _places(rules, question, history or History())
        profile = _profile(rules.profiles, question)
        body = _Body(rules, caller, question, profile).of(found)
    except QuestionRefused as refused:
        return Answer(refused.status, {"message": refused.message}), ()
    told = tuple(
        Told(plain_uri(one.channel), one.generation, question.intent)
        for one in found
        if one.place.target is not None
    )
    return Answer(200, body), told


def _places(rules: Rules, question: Question, history: History) -> list[_Found]:
    routing = Routing.of(rules)
    channels = question.channels
    if question.pattern:
        # Where it matches nothing yet, the pattern itself may tell the cluster.
        channels = tuple(matching_channels(routing, question)) or channels
    found = []
    for channel in channels:
        asked = question.asked(channel)
        place = place_of(routing, asked, question.cluster_tags)
        if place is None:
            continue
        if channel.key == "*":
            place = Place(place.cluster, None)
        track = history.track(asked, question.cluster_tags)
        generation = place.target.generation if place.target is not None else None
        found.append(
            _Found(channel, place, generation, ())
            if track is None
            else _Found(channel, place, track.generation, track.previous)
        )
    if not found:
        raise QuestionRefused(404, _NO_RULE)
    return found


def _profile(profiles: Iterable[Profile], question: Question) -> Profile:
    for profile in profiles:
        if profile.name == question.profile and has_tags(profile.tags, question.profile_tags):
            return profile
    raise QuestionRefused(404, f"Configuration profile not found: {question.profile}")


def credentials_of(rules: Rules, caller: str | None, cluster: Cluster) -> Credentials | None:
    """The caller's own on this cluster, else everybody's."""
    for wanted in (caller, ANY_CALLER):
        for entry in rules.credentials or ():
            if entry.caller == wanted and (not entry.clusters or cluster.name in entry.clusters):
                return entry
    return None


def _resolved(values: Mapping[str, Value]) -> dict[str, Value]:
    try:
        return {
            key: resolve_reference(str(value)) if is_reference(value) else value
            for key, value in values.items()
        }
    except SecretUnavailable:
        # Its log line names the reference. Clients go on with the route that they have.
        raise QuestionRefused(503, "A secret of this answer cannot be read now") from None


class _Body:
    """Makes the JSON object of one question."""

    def __init__(
        self, rules: Rules, caller: str | None, question: Question, profile: Profile
    ) -> None:
        self._rules = rules
        self._caller = caller
        self._several = question.pattern or len(question.channels) > 1
        self._profile = profile
        self._now = datetime.now(UTC)

    def of(self, found: list[_Found]) -> dict[str, Any]:
        first = found[0]
        body = {**self._access(first.place.cluster), "channel_mapping": _mapping(found)}
        if not self._several:
            return body | self._additions(first)
        body["routes"] = {
            one.channel.uri: {
                **self._access(one.place.cluster),
                "topic": one.place.target.topic,
                **self._additions(one),
            }
            for one in found
            if one.place.target is not None
        }
        return body

    def _access(self, cluster: Cluster) -> dict[str, Any]:
        """How a client gets into the cluster."""
        credentials = self._credentials(cluster)
        return {
            "connection": dict(cluster.connection),
            "credentials": {} if credentials is None else _resolved(credentials.values),
            "configuration": dict(self._profile.settings),
        }

    def _credentials(self, cluster: Cluster) -> Credentials | None:
        if self._rules.credentials is None:
            return None
        if (entry := credentials_of(self._rules, self._caller, cluster)) is not None:
            return entry
        # Not the caller's name: clients put this message into exceptions, and names stay out of
        # those.
        raise QuestionRefused(
            404, f"Credential not found: none for this caller on cluster {cluster.name}"
        )

    def _additions(self, one: _Found) -> dict[str, Any]:
        added: dict[str, Any] = {}
        cluster, target = one.place
        if cluster.cluster_id is not None:
            added["cluster_id"] = cluster.cluster_id
        if cluster.schema_registry:
            entry = self._credentials(cluster)
            own = {} if entry is None else entry.schema_registry
            added["schema_registry"] = _resolved({**cluster.schema_registry, **own})
        if target is not None:
            if target.start_at is not None:
                added["start_at"] = target.start_at
            if one.generation is not None:
                added["generation"] = one.generation
            if previous := self._previous(one.previous):
                added["previous"] = previous
        return added

    def _previous(self, earlier: Iterable[Earlier]) -> list[dict[str, Any]]:
        """Places that may still hold messages, and that the caller may still read: the last ones, as
        clients refuse an answer with more of them."""
        keep = timedelta(seconds=self._rules.previous_for)
        current = {cluster.name: cluster for cluster in self._rules.clusters}
        told = []
        for place, generation, left_at in earlier:
            until = left_at + keep
            if place.target is None or until <= self._now:
                continue
            cluster = current.get(place.cluster.name, place.cluster)
            if not same_cluster(cluster, place.cluster):
                cluster = place.cluster  # the name went to another cluster meanwhile
            try:
                access = self._access(cluster)
            except QuestionRefused:
                continue
            told.append(
                {
                    **access,
                    "topic": place.target.topic,
                    "generation": generation,
                    "until": until.isoformat(timespec="milliseconds"),
                    **({"cluster_id": cluster.cluster_id} if cluster.cluster_id else {}),
                }
            )
        return told[-MOST_PREVIOUS:]


def _mapping(found: list[_Found]) -> dict[str, str]:
    topics: dict[str, set[str]] = {}
    for one in found:
        # A place elsewhere still counts as one that the key might mean.
        here = one.place.cluster is found[0].place.cluster
        if one.place.target is not None:
            topics.setdefault(one.channel.key, set()).add(one.place.target.topic if here else "")
    return {
        key: name
        for key, names in topics.items()
        if len(names) == 1 and (name := next(iter(names)))
    }
