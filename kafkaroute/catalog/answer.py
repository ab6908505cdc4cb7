"""A catalog's answer for one channel, checked, as a Route.

Shared by every catalog and by the snapshot. An answer may be anything at all, and may hold
secrets: what is wrong is told by the names of its parts, never by their content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NoReturn

from ..backend.settings_keys import ConfigValue, canonical_key
from ..channel import MOST_PREVIOUS, Channel
from ..errors import CatalogAnswerInvalid, CatalogError, ChannelInvalid, ChannelNotFound
from ..route import Route

__all__ = ["answer_from_route", "route_from_answer"]

#: Topic names that Kafka accepts (org.apache.kafka.common.internals.Topic). Without the check an
#: answer of ``^.*`` would be a pattern, and subscribe a consumer to everything.
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")

#: Settings whose empty value means that the service's secret reference points to nothing.
_NEVER_EMPTY = frozenset(
    {
        "sasl.username",
        "sasl.password",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "ssl.key.pem",
        "ssl.certificate.pem",
        "basic.auth.user.info",
    }
)
_EMPTY: Mapping[str, ConfigValue] = MappingProxyType({})
#: What can be sent back as a header (RFC 9110, 8.8.3), of a size that servers take.
_ETAG = re.compile(r"[\x21-\x7e\x80-\xff]{1,1000}\Z")


def route_from_answer(
    channel: Channel,
    answer: object,
    *,
    max_age: float | None = None,
    stale_if_error: float | None = None,
    etag: str | None = None,
) -> Route:
    """The Route of `channel` in a decoded JSON `answer`.

    Args:
        max_age, stale_if_error: seconds, from the answer's ``Cache-Control``.
        etag: from the answer's ``ETag``.

    Raises:
        ChannelNotFound: no topic under the channel's own key (``Channel.key``); of a pattern, no
            channel in an answer without ``routes``.
        CatalogAnswerInvalid: anything that is no route.
    """
    whole = _object(channel, answer, "the answer")
    if channel.is_pattern:
        return Route(
            channel=channel.uri,
            topic="",
            connection=_EMPTY,
            members=_members(channel, whole, max_age, stale_if_error),
            max_age=max_age,
            stale_if_error=stale_if_error,
            etag=_validator(etag),
        )
    own = _own_part(channel, whole)
    topic = _topic_of(channel, own)
    connection = _settings(channel, own, "connection")
    _check_bootstrap(channel, connection, "connection")
    return Route(
        channel=channel.uri,
        topic=topic,
        connection=connection,
        credentials=_settings(channel, own, "credentials"),
        configuration=_settings(channel, own, "configuration"),
        generation=_generation(channel, own.get("generation")),
        cluster_id=_text(channel, own, "cluster_id"),
        start_at=_start_at(channel, own.get("start_at")),
        previous=_previous(channel, own.get("previous")),
        schema_registry=_schema_registry(channel, own),
        max_age=max_age,
        stale_if_error=stale_if_error,
        etag=_validator(etag),
    )


def answer_from_route(route: Route) -> dict[str, Any]:
    """The answer that :func:`route_from_answer` reads as `route`. Holds secrets."""
    if route.members is not None:
        whole: dict[str, Any] = {"routes": {}, "channel_mapping": {}}
        for name, one in route.members.items():
            if one is None:
                whole["channel_mapping"][Channel.parse(name).key] = ""
            else:
                whole["routes"] |= answer_from_route(one)["routes"]
        return whole
    answer: dict[str, Any] = {
        "topic": route.topic,
        "connection": dict(route.connection),
        "credentials": dict(route.credentials),
        "configuration": dict(route.configuration),
    }
    for name in ("generation", "cluster_id", "start_at"):
        if (value := getattr(route, name)) is not None:
            answer[name] = value
    if route.schema_registry is not None:
        answer["schema_registry"] = dict(route.schema_registry)
    if route.previous:
        answer["previous"] = [
            {k: dict(v) if isinstance(v, Mapping) else v for k, v in place.items()}
            for place in route.previous
        ]
    return {"routes": {route.channel: answer}}


def _invalid(channel: Channel, what: str) -> NoReturn:
    raise CatalogAnswerInvalid(f"the catalog's answer for {channel} is no route: {what}")


def _own_part(channel: Channel, whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where the channel's own route is: in ``routes`` when the answer has them."""
    routes = whole.get("routes")
    if routes is None:
        return whole
    routes = _object(channel, routes, "'routes'")
    if channel.uri in routes:
        return _object(channel, routes[channel.uri], "the channel's entry in 'routes'")
    if "channel_mapping" in whole:
        return whole
    raise ChannelNotFound(f"the catalog's answer holds no route for channel {channel}")


def _members(
    pattern: Channel,
    whole: Mapping[str, Any],
    max_age: float | None,
    stale_if_error: float | None,
) -> Mapping[str, Route | None]:
    """The channels that `pattern` stands for. One without a route in ``routes`` has None: a
    ``connection`` beside ``channel_mapping`` is that of one of them, and which one varies. The same
    where its route is no good: that must not cost the others theirs."""
    routes = whole.get("routes")
    table = _object(pattern, {} if routes is None else routes, "'routes'")
    mapping = _object(pattern, whole.get("channel_mapping") or {}, "'channel_mapping'")
    if routes is None and not mapping.keys() - {"*"}:
        # What a service answers that takes the star for a name.
        raise ChannelNotFound(f"the catalog knows no channels under {pattern}, or no patterns")
    stem = pattern.uri[: pattern.uri.rindex("*")]
    members: dict[str, Route | None] = {}
    keys: set[str] = set()
    for name in (*table, *(f"{stem}{key}" for key in mapping if key != "*")):
        try:
            channel = Channel.parse(name)
        except ChannelInvalid:
            _invalid(pattern, "the name of a channel under it is no channel")
        place = (channel.scheme, channel.host, channel.path[:-1])
        if place != (pattern.scheme, pattern.host, pattern.path[:-1]) or "*" in channel.key:
            _invalid(pattern, "it names a channel that is not under it")
        if name in table:
            try:
                members[name] = route_from_answer(
                    channel, whole, max_age=max_age, stale_if_error=stale_if_error
                )
            except CatalogError:
                members[name] = None
        elif channel.key not in keys:
            members[name] = None
        keys.add(channel.key)
    return MappingProxyType(members)


def _topic_of(channel: Channel, own: Mapping[str, Any]) -> str:
    topic = own.get("topic")
    if topic is None:
        mapping = own.get("channel_mapping")
        if mapping is None:
            _invalid(channel, "it has no 'channel_mapping'")
        mapping = _object(channel, mapping, "'channel_mapping'")
        if channel.key not in mapping:
            raise ChannelNotFound(
                f"the catalog knows no topic for channel {channel}: "
                f"its answer has no {channel.key!r} in channel_mapping"
            )
        topic = mapping[channel.key]
    return _checked_topic(channel, topic, "the channel's topic")


def _checked_topic(channel: Channel, topic: object, what: str) -> str:
    if not isinstance(topic, str) or not _TOPIC.match(topic) or topic in (".", ".."):
        _invalid(channel, f"{what} is not a legal topic name")
    return topic


def _object(channel: Channel, value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _invalid(channel, f"{what} is {_kind(value)}, not an object")
    return value


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "something else")


def _settings(
    channel: Channel, own: Mapping[str, Any], part: str, label: str = ""
) -> Mapping[str, ConfigValue]:
    """One of the three tables of client settings; a missing or null one is empty."""
    table = own.get(part)
    if table is None:
        return _EMPTY
    what = f"{label}{part!r}"
    checked: dict[str, ConfigValue] = {}
    for key, value in _object(channel, table, what).items():
        if not isinstance(key, str) or not key.strip() or not key.isprintable():
            _invalid(channel, f"{what} has an unreadable setting name")
        if not isinstance(value, str | int | float):
            _invalid(channel, f"setting {key[:80]!r} in {what} is {_kind(value)}")
        if isinstance(value, float) and not abs(value) < float("inf"):
            _invalid(channel, f"setting {key[:80]!r} in {what} is not a finite number")
        if isinstance(value, str) and "\0" in value:
            # C clients would read only what stands before it.
            _invalid(channel, f"setting {key[:80]!r} in {what} has a NUL character")
        if isinstance(value, str) and not value.strip() and canonical_key(key) == "group.id":
            _invalid(channel, f"setting {key!r} in {what} is empty: a group needs a name")
        if value == "" and canonical_key(key) in _NEVER_EMPTY:
            _invalid(
                channel,
                f"setting {key!r} in {what} is empty; the secret that it stands for is not set "
                "in the catalog",
            )
        checked[key] = value
    return MappingProxyType(checked)


def _check_bootstrap(channel: Channel, table: Mapping[str, ConfigValue], what: str) -> None:
    for key, value in table.items():
        if canonical_key(key) == "bootstrap.servers":
            if isinstance(value, str) and value.strip(", "):
                return
            _invalid(channel, f"'bootstrap.servers' in {what} is empty or no string")
    _invalid(channel, f"{what} has no 'bootstrap.servers'")


def _text(channel: Channel, own: Mapping[str, Any], name: str) -> str | None:
    value = own.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        _invalid(channel, f"{name!r} is no text")
    return value


def _generation(channel: Channel, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        _invalid(channel, "'generation' is no whole number")
    return value


def _is_time(value: object) -> bool:
    """RFC 3339: a date, a time and an offset."""
    if not isinstance(value, str) or len(value) < len("2020-01-01T00:00:00Z"):
        return False
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _start_at(channel: Channel, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and (value in ("earliest", "latest") or _is_time(value)):
        return value
    _invalid(channel, "'start_at' is not 'earliest', 'latest' or a time (RFC 3339)")


def _validator(etag: str | None) -> str | None:
    """`etag`, where it can be sent back; else the next question is asked without."""
    return etag if etag is not None and _ETAG.match(etag) else None


def _previous(channel: Channel, value: object) -> tuple[Mapping[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        _invalid(channel, f"'previous' is {_kind(value)}, not a list")
    if len(value) > MOST_PREVIOUS:
        _invalid(channel, f"'previous' names {len(value)} places, more than {MOST_PREVIOUS}")
    places = []
    for entry in value:
        place = _object(channel, entry, "an entry of 'previous'")
        label = "previous: "
        known: dict[str, Any] = {
            part: _settings(channel, place, part, label)
            for part in ("connection", "credentials", "configuration")
            if place.get(part) is not None
        }
        _check_bootstrap(channel, known.get("connection", _EMPTY), "'connection' of 'previous'")
        known["topic"] = _checked_topic(channel, place.get("topic"), "the topic of 'previous'")
        if (until := place.get("until")) is not None:
            if not _is_time(until):
                _invalid(channel, "'until' of 'previous' is no time (RFC 3339)")
            known["until"] = until
        if (generation := _generation(channel, place.get("generation"))) is not None:
            known["generation"] = generation
        if (cluster_id := _text(channel, place, "cluster_id")) is not None:
            known["cluster_id"] = cluster_id
        places.append(MappingProxyType(known))
    return tuple(places)


def _schema_registry(channel: Channel, own: Mapping[str, Any]) -> Mapping[str, str] | None:
    if own.get("schema_registry") is None:
        return None
    table = _settings(channel, own, "schema_registry")
    texts = {key: value for key, value in table.items() if isinstance(value, str)}
    if len(texts) != len(table):
        _invalid(channel, "'schema_registry' has a value that is no string")
    if not texts.get("url"):
        _invalid(channel, "'schema_registry' has no 'url'")
    return MappingProxyType(texts)
