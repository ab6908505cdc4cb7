"""What a rules file says, once it is checked. Immutable; a reload makes a new one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..channel import Channel

__all__ = [
    "ANY_CALLER",
    "Authentication",
    "Bearer",
    "Caller",
    "Certificates",
    "Cluster",
    "Credentials",
    "Lookup",
    "Move",
    "Predicate",
    "Profile",
    "Rule",
    "Rules",
    "Target",
    "Transform",
    "Value",
    "channel_key",
    "plain_uri",
    "valid_topic",
]

Value = str | int | float | bool
#: In ``credentials``: applies to every caller that has none of its own.
ANY_CALLER = "*"
#: Seconds: Kafka keeps messages for a week where nothing else is set (log.retention.hours=168).
PREVIOUS_FOR = 7 * 24 * 3600.0
#: What two spellings of one channel have in common: scheme, host, path.
ChannelKey = tuple[str, str, tuple[str, ...]]
#: Parts of the question that are no parts of the channel.
ASKER_PARTS = ("caller", "intent", "client_id")
#: Kafka's rule for topic names (org.apache.kafka.common.internals.Topic).
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def valid_topic(name: str) -> bool:
    return _TOPIC.fullmatch(name) is not None and name not in {".", ".."}


def channel_key(channel: Channel) -> ChannelKey:
    return (channel.scheme, channel.host, channel.path)


def plain_uri(channel: Channel) -> str:
    """One spelling for all channels that mean the same."""
    return f"{channel.scheme}://{channel.host}/{'/'.join(channel.path)}"


class Asked(NamedTuple):
    """A channel, and who asks for it what for; "" where that is not known."""

    channel: Channel
    caller: str = ""
    intent: str = ""
    client_id: str = ""


def part_of(channel: Channel, part: str) -> str:
    """The text of the channel that a regular expression is matched against."""
    if part == "host":
        return channel.host
    if part == "scheme":
        return channel.scheme
    path = "/" + "/".join(channel.path)
    return path if part == "path" else f"{channel.scheme}://{channel.host}{path}"


@dataclass(frozen=True, slots=True)
class Target:
    """A topic, and what else the catalog may say about it."""

    topic: str
    start_at: str | None = None
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Predicate:
    """`pattern` (RE2) must match the whole `part`: scheme, host, path, caller, intent or client_id."""

    part: str
    pattern: Any

    def holds(self, asked: Asked) -> bool:
        if self.part in ASKER_PARTS:
            text = str(getattr(asked, self.part))
        else:
            text = part_of(asked.channel, self.part)
        return self.pattern.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Lookup:
    """The topic stands in `table`, under a key taken from the channel.

    `segment` counts the path's segments from 1, or from the end with -1; where there is a
    `pattern`, the key is its first group (or all it matched) instead.
    """

    table: Mapping[str, Target]
    segment: int = -1
    part: str = "path"
    pattern: Any = None

    def key(self, channel: Channel) -> str | None:
        if self.pattern is None:
            return _segment(channel, self.segment)
        match = self.pattern.fullmatch(part_of(channel, self.part))
        if match is None:
            return None
        found: str | None = match.group(1) if self.pattern.groups else match.group(0)
        return found

    def target(self, channel: Channel) -> Target | None:
        key = self.key(channel)
        return None if key is None else self.table.get(key)


@dataclass(frozen=True, slots=True)
class Transform:
    """The topic's name is made from the channel.

    `pieces` alternate literal text and (kind, argument): ``segment``, ``group``, ``scheme``,
    ``host`` or ``key``.
    """

    pieces: tuple[str | tuple[str, Any], ...]
    part: str = "path"
    pattern: Any = None
    start_at: str | None = None
    generation: int | None = None

    def target(self, channel: Channel) -> Target | None:
        match = None
        if self.pattern is not None:
            match = self.pattern.fullmatch(part_of(channel, self.part))
            if match is None:
                return None
        made = []
        for piece in self.pieces:
            text: str | None
            if isinstance(piece, str):
                text = piece
            elif piece[0] == "segment":
                text = _segment(channel, piece[1])
            elif piece[0] == "group":
                text = None if match is None else match.group(piece[1])
            else:
                text = str(getattr(channel, piece[0]))
            if text is None:
                return None
            made.append(text)
        name = "".join(made)
        # A channel comes from outside: what it makes is checked, never trusted.
        return Target(name, self.start_at, self.generation) if valid_topic(name) else None


def _segment(channel: Channel, number: int) -> str | None:
    index = number - 1 if number > 0 else number
    try:
        return channel.path[index]
    except IndexError:
        return None


@dataclass(frozen=True, slots=True)
class Rule:
    """All `predicates` must hold; then `topic` says which topic."""

    predicates: tuple[Predicate, ...]
    topic: Lookup | Transform

    def looks_at(self, part: str) -> bool:
        return any(predicate.part == part for predicate in self.predicates)

    def matches(self, asked: Asked) -> bool:
        return all(predicate.holds(asked) for predicate in self.predicates)


@dataclass(frozen=True, slots=True)
class Cluster:
    """`schema_registry` may hold secret references."""

    name: str
    connection: Mapping[str, Value]
    rules: tuple[Rule, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    cluster_id: str | None = None
    schema_registry: Mapping[str, Value] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Move:
    """One channel's place, whatever the rules say: what a move leaves behind.

    `cluster` is a cluster's name.
    """

    channel: Channel
    cluster: str
    target: Target


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of tuned client settings. Profiles of one name differ in their tags."""

    name: str
    settings: Mapping[str, Value]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A caller's Kafka credentials; with `clusters`, for those alone.

    `schema_registry` is added to the cluster's.
    """

    caller: str
    values: Mapping[str, Value] = field(repr=False)
    clusters: frozenset[str] = frozenset()
    schema_registry: Mapping[str, Value] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who may ask. With neither `password` nor `password_hash`: by token or certificate alone.

    `is_admin`: may look at the page for people and move channels.
    """

    name: str
    password: str | None = field(default=None, repr=False)
    password_hash: str | None = field(default=None, repr=False)
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Bearer:
    """An issuer of OAuth 2 access tokens (JWT) that is believed.

    Attributes:
        audiences: a token must be meant for one of them.
        jwks: where the issuer's public keys are: a URL, https or file.
        algorithms: signatures that are believed; public-key ones only.
        claim: whose value, after `prefix`, is the caller's name.
        leeway: seconds by which the issuer's clock may differ.
        listed_only: refuse callers that are not among the rules' callers.
    """

    issuer: str
    audiences: tuple[str, ...]
    jwks: str
    algorithms: tuple[str, ...]
    claim: str = "sub"
    prefix: str = ""
    leeway: float = 30.0
    listed_only: bool = True


@dataclass(frozen=True, slots=True)
class Certificates:
    """Client certificates (mTLS), verified by this service or by a proxy before it.

    Attributes:
        name: which part is the caller's name: ``common_name``, ``dns``, ``uri`` or ``email``.
        header: where a proxy puts the certificate it verified; None: no proxy is believed.
        proxies: networks from which `header` is believed.
        listed_only, prefix: as for :class:`Bearer`.
    """

    name: str = "common_name"
    header: str | None = None
    proxies: tuple[str, ...] = ()
    prefix: str = ""
    listed_only: bool = True


@dataclass(frozen=True, slots=True)
class Authentication:
    """What is accepted besides the callers' passwords."""

    bearer: tuple[Bearer, ...] = ()
    certificates: Certificates | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """A whole rules file.

    Attributes:
        callers: by name; when there is none and no `authentication`, everyone may ask, namelessly.
        credentials: None where the file has no such section: the clusters need none.
        max_age, stale_if_error: seconds, for ``Cache-Control``; None where not configured.
        moves: by channel; they come before the clusters' rules.
        previous_for: seconds for which an earlier place of a channel is answered.
    """

    clusters: tuple[Cluster, ...]
    profiles: tuple[Profile, ...]
    credentials: tuple[Credentials, ...] | None = None
    callers: Mapping[str, Caller] = field(default_factory=dict, repr=False)
    authentication: Authentication | None = None
    max_age: float | None = None
    stale_if_error: float | None = None
    moves: Mapping[ChannelKey, Move] = field(default_factory=dict)
    previous_for: float = PREVIOUS_FOR

    def values_with_secrets(self) -> Iterator[Value]:
        """Everything that may be a reference to a secret."""
        for cluster in self.clusters:
            yield from cluster.schema_registry.values()
        for entry in self.credentials or ():
            yield from entry.values.values()
            yield from entry.schema_registry.values()
        for caller in self.callers.values():
            if caller.password is not None:
                yield caller.password

    @property
    def open_to_all(self) -> bool:
        return not self.callers and self.authentication is None
