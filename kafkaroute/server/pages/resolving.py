"""The resolve box: what the catalog would answer, without its secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from ...backend.settings_keys import is_secret
from ...channel import Channel
from ...errors import ChannelInvalid
from ...rules.answer import answer
from ...rules.model import Asked
from ...rules.places import Routing, place_of
from ..stores.store import State

__all__ = ["Resolving", "Result", "shown_settings"]

_HIDDEN = "(hidden)"
_INTENTS = ("", "produce", "consume")


@dataclass(frozen=True, slots=True)
class Result:
    """`message` says why there is no route; `facts` and `tables` are label and content."""

    message: str
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Resolving:
    """What the box was filled with."""

    state: State
    uri: str
    profile: str
    caller: str
    intent: str
    more: str

    @classmethod
    def of(cls, fields: Mapping[str, str], state: State, who: str | None) -> Resolving:
        caller = fields.get("as", who or "")
        intent = fields.get("for", "")
        return cls(
            state,
            fields.get("resolve", "").strip(),
            fields.get("with", ""),
            caller,
            intent if intent in _INTENTS else "",
            fields.get("more", "").strip(),
        )

    def result(self) -> Result | None:
        """None where nothing was asked."""
        if not self.uri:
            return None
        try:
            channel = Channel.parse(self.uri)
        except ChannelInvalid as error:
            return Result(str(error))
        pairs = [("config_profile", self.profile), ("channel", self.uri)]
        pairs += parse_qsl(self.more, keep_blank_values=True)
        if self.intent:
            pairs.append(("intent", self.intent))
        found = answer(self.state.rules, self.caller or None, pairs, self.state.history)
        if found.status != 200:
            return Result(f"{found.status}: {found.body['message']}")
        return self._shown(channel, found.body, dict(pairs))

    def _shown(self, channel: Channel, body: Mapping[str, Any], named: Mapping[str, str]) -> Result:
        tags = {
            name.removeprefix("kafka."): value
            for name, value in named.items()
            if name.startswith("kafka.")
        }
        asked = Asked(channel, self.caller, self.intent, named.get("client_id", ""))
        place = place_of(Routing.of(self.state.rules), asked, tags)
        mapping = body["channel_mapping"]
        topics = mapping.get(channel.key) or ", ".join(
            f"{key} → {topic}" for key, topic in mapping.items()
        )
        facts = [
            ("Topic", topics or "none: the rule that matches has no entry for this channel"),
            ("Cluster", place.cluster.name if place is not None else "several"),
        ]
        for label, key in (
            ("Generation", "generation"),
            ("Cluster id", "cluster_id"),
            ("Starts at", "start_at"),
        ):
            if key in body:
                facts.append((label, str(body[key])))
        facts += [
            ("Lived before on", f"{one['topic']}, until {one.get('until', 'an unknown time')}")
            for one in body.get("previous", ())
        ]
        tables = [
            (label, shown_settings(body.get(key, {}).items()))
            for label, key in (
                ("Connection", "connection"),
                ("Credentials", "credentials"),
                ("Configuration", "configuration"),
                ("Schema registry", "schema_registry"),
            )
        ]
        return Result("", tuple(facts), tuple((label, rows) for label, rows in tables if rows))


def shown_settings(items: Iterable[tuple[str, object]]) -> tuple[tuple[str, str], ...]:
    """Settings for people: secrets and user names are hidden."""
    return tuple((key, _HIDDEN if is_secret(key) else _text(value)) for key, value in items)


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
