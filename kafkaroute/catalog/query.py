"""The query string that the catalog service is asked with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus

from ..errors import ConfigurationError

__all__ = ["flattened", "query_string"]

#: Parameters that carry the question itself; as plain additional ones they would break it.
_RESERVED = frozenset({"channel", "config_profile"})


def flattened(additional_params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """`additional_params` as (name, value), nested keys joined by dots, in the given order.

    Raises:
        ConfigurationError: a value that is no string, number, boolean or mapping, or a name that
            the question itself uses.
    """
    pairs = list(_flat("", additional_params))
    for name, _ in pairs:
        if name in _RESERVED or name.startswith("channel["):
            raise ConfigurationError(f"additional_params must not set the parameter {name!r}")
    return pairs


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(f"{name}.", value)
        elif isinstance(value, bool):
            yield name, "true" if value else "false"
        elif isinstance(value, str | int | float):
            yield name, str(value)
        else:
            raise ConfigurationError(
                f"additional_params: {name!r} is {type(value).__name__}, "
                "not a string, number, boolean or mapping"
            )


def query_string(
    config_profile: str | None,
    channel: str,
    additional: list[tuple[str, str]],
    intent: str = "",
    client_id: str | None = None,
) -> str:
    """The question for one channel, in the contract's order, form-encoded.

    kafkaroute's own parameters (`intent`, `client_id`) come last, and give way to additional
    parameters of the same name.
    """
    pairs: list[tuple[str, str]] = []
    if config_profile is not None:
        pairs.append(("config_profile", config_profile))
    pairs.append(("channel", channel))
    pairs += additional
    taken = {name for name, _ in additional}
    if intent and "intent" not in taken:
        pairs.append(("intent", intent))
    if client_id is not None and "client_id" not in taken:
        pairs.append(("client_id", client_id))
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
