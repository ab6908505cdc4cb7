"""Canonical names of client settings: librdkafka's dotted names and their aliases.

Source: librdkafka's CONFIGURATION.md, columns "Property" and "Alias for".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["ALIASES", "ConfigValue", "canonical_key", "is_callback_key", "is_secret"]

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


def canonical_key(key: str) -> str:
    """The name under which a setting is merged and handed to a backend."""
    return ALIASES.get(key, key)


def is_secret(key: str) -> bool:
    """True where the value must never be shown (user names count: they are half a credential)."""
    lowered = key.lower()
    if lowered in _PUBLIC_KEYS:
        return False
    return lowered in _SECRET_KEYS or any(word in lowered for word in _SECRET_WORDS)


def is_callback_key(key: str) -> bool:
    """True for settings whose value is a callable of the application."""
    return key.endswith("_cb") or key in {"on_commit", "on_delivery", "logger"}
