"""Where a channel lives: the catalog's answer for one channel, checked and immutable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .backend.settings_keys import ConfigValue, canonical_key, is_secret

__all__ = ["Route", "masked_registry"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_MASK = "***"
#: In a list of addresses; greedy, because a password may hold an @ of its own.
_USER_INFO = re.compile(r"//[^/,]*@")


def _canonical(settings: Mapping[str, ConfigValue]) -> dict[str, ConfigValue]:
    return {canonical_key(key): value for key, value in settings.items()}


def _masked(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _MASK if is_secret(key) else value for key, value in part.items()}


def masked_registry(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings of a schema registry's client, as they may be shown: its address may hold a user."""
    return {
        key: _USER_INFO.sub(f"//{_MASK}@", value) if isinstance(value, str) else value
        for key, value in _masked(settings).items()
    }


@dataclass(frozen=True, slots=True)
class Route:
    """One channel's place. Two equal routes mean that nothing moved.

    Attributes:
        channel: the channel's address.
        topic: the topic's name on the cluster.
        connection, credentials, configuration: librdkafka's dotted names, in the order in which
            they are merged (later wins).
        generation, cluster_id, start_at, previous, schema_registry: the reference service's
            additions; see docs/catalog.md.
        members: of a pattern channel, which has no topic of its own: the channels that it stands
            for, each with its route, or None where that is to be asked for; else None.
        max_age, stale_if_error: seconds, from ``Cache-Control``; None where not sent.
        etag: validator for the next request, not part of equality.
    """

    channel: str
    topic: str
    connection: Mapping[str, ConfigValue]
    credentials: Mapping[str, ConfigValue] = field(default_factory=lambda: _EMPTY)
    configuration: Mapping[str, ConfigValue] = field(default_factory=lambda: _EMPTY)
    generation: int | None = None
    cluster_id: str | None = None
    start_at: str | None = None
    previous: tuple[Mapping[str, Any], ...] = ()
    schema_registry: Mapping[str, str] | None = None
    members: Mapping[str, Route | None] | None = None
    max_age: float | None = field(default=None, compare=False)
    stale_if_error: float | None = field(default=None, compare=False)
    etag: str | None = field(default=None, compare=False)

    def client_config(
        self,
        overrides: Mapping[str, ConfigValue] | None = None,
        client_id: str | None = None,
    ) -> dict[str, ConfigValue]:
        """The merged settings for a Kafka client of your own. Holds secrets: do not log it.

        Precedence, later wins: connection, credentials, configuration, `overrides`, `client_id`.
        Aliases are written in their canonical form (``sasl.mechanism`` → ``sasl.mechanisms``),
        so that an override under either name replaces the catalog's.
        """
        merged: dict[str, ConfigValue] = {}
        for part in (self.connection, self.credentials, self.configuration, overrides or {}):
            merged.update(_canonical(part))
        if client_id is not None:
            merged["client.id"] = client_id
        return merged

    def masked(self) -> dict[str, Any]:
        """What may be shown to people: the route with every secret as ``***``."""
        if self.members is not None:
            members = {
                name: None if one is None else one.masked() for name, one in self.members.items()
            }
            return {"channel": self.channel, "members": members}
        shown: dict[str, Any] = {
            "channel": self.channel,
            "topic": self.topic,
            "connection": _masked(self.connection),
            "credentials": _masked(self.credentials),
            "configuration": _masked(self.configuration),
        }
        for name in ("generation", "cluster_id", "start_at"):
            if (value := getattr(self, name)) is not None:
                shown[name] = value
        if self.schema_registry is not None:
            shown["schema_registry"] = masked_registry(self.schema_registry)
        return shown

    def __repr__(self) -> str:
        return f"Route({self.masked()!r})"
