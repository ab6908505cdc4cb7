"""Client settings as librdkafka has them: names and their spellings, booleans, and the defaults
that the core counts with.

Source: librdkafka's CONFIGURATION.md, columns "Property", "Default" and "Alias for".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

__all__ = [
    "ALIASES",
    "ConfigValue",
    "boolean_of",
    "canonical_key",
    "is_callback_key",
    "is_on",
    "is_secret",
    "number_of",
]

#: A setting's value; callables only where the application itself set them.
ConfigValue: TypeAlias = "str | int | float | bool | Callable[..., Any]"

ALIASES: dict[str, str] = {
    "metadata.broker.list": "bootstrap.servers",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "sasl.mechanism": "sasl.mechanisms",
    "fetch.message.max.bytes": "max.partition.fetch.bytes",
    "request.required.acks": "acks",
    "delivery.timeout.ms": "message.timeout.ms",
    "message.send.max.retries": "retries",
    "queue.buffering.max.ms": "linger.ms",
    "compression.codec": "compression.type",
}

_SECRET_WORDS = (
    "password",
    "private.key",
    "secret",
    "token",
    "jaas",
    "passphrase",
    "basic.auth",
    "credential",
)
_SECRET_KEYS = frozenset({"ssl.key.pem", "ssl_key", "sasl.username", "oauth_cb"})
_PUBLIC_KEYS = frozenset({"sasl.oauthbearer.token.endpoint.url"})


#: What the core counts with where a client's configuration does not say.
_DEFAULTS: Mapping[str, bool | int] = {
    "delivery.report.only.error": False,
    "enable.auto.commit": True,
    "enable.auto.offset.store": True,
    "max.poll.interval.ms": 300_000,
    "message.timeout.ms": 300_000,
    "queue.buffering.max.kbytes": 1_048_576,
    "queue.buffering.max.messages": 100_000,
    "session.timeout.ms": 45_000,
}
#: librdkafka compares without regard to case, and takes no blanks.
_TRUE, _FALSE = frozenset({"true", "t", "1"}), frozenset({"false", "f", "0"})


#: Names of a client's own settings that begin with what is else a prefix.
_OF_TOPICS = ("topic.metadata.", "topic.blacklist")


@lru_cache(maxsize=4096)
def canonical_key(key: str) -> str:
    """The name under which a setting is merged and handed to a backend: one for all spellings, so
    that none goes past another. librdkafka takes a prefix ``topic.`` and has aliases; upper case and
    blanks, which it refuses, mean what they are next to."""
    name = key.strip().lower()
    if not name.startswith(_OF_TOPICS):
        name = name.removeprefix("topic.")
    return ALIASES.get(name, name)


def boolean_of(value: object) -> bool | None:
    """`value` as librdkafka reads a boolean; None where it refuses it."""
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


def is_on(config: Mapping[str, ConfigValue], key: str) -> bool:
    """Whether the boolean setting `key` is on in `config`, or by default. What librdkafka refuses,
    which no client was opened with, counts as the default."""
    default = bool(_DEFAULTS[key])
    read = boolean_of(config.get(key, default))
    return default if read is None else read


def number_of(config: Mapping[str, ConfigValue], key: str) -> float:
    """The number that `key` has in `config`, or by default."""
    default = _DEFAULTS[key]
    value = config.get(key, default)
    return float(value if isinstance(value, int | float | str) else default)


def is_secret(key: str) -> bool:
    """True where the value must never be shown (user names count: they are half a credential)."""
    name = canonical_key(key)
    if name in _PUBLIC_KEYS:
        return False
    return name in _SECRET_KEYS or any(word in name for word in _SECRET_WORDS)


def is_callback_key(key: str) -> bool:
    """True for settings whose value is a callable of the application."""
    return key.endswith("_cb") or key in {"on_commit", "on_delivery", "logger"}
