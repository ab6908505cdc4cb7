"""For code that needs a client of its own: one route, no Producer or Consumer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .catalog.cache.shared import acquire_cache, release_cache
from .errors import ChannelNotFound
from .route import Route, masked_registry
from .settings import Settings

__all__ = ["resolve", "schema_registry"]


def resolve(
    channel: str,
    config: Mapping[str, Any] | Settings | None = None,
    intent: str = "",
) -> Route:
    """Ask the catalog where `channel` lives.

    Args:
        channel: the channel's address.
        config: as for a Producer; the environment and the TOML file count, too.
        intent: ``produce``, ``consume`` or nothing.

    Returns:
        The Route; ``route.client_config()`` is what any Kafka client accepts (with secrets).

    Raises:
        ConfigurationError, ChannelInvalid, CatalogUnavailable, CatalogUnauthorized,
        CatalogAnswerInvalid, ChannelNotFound, RouteRejected.
    """
    cache = acquire_cache(Settings.load(config), intent)
    try:
        return cache.get(channel)
    finally:
        release_cache(cache)


class _RegistrySettings(dict[str, str]):
    """Shows no secret."""

    def __repr__(self) -> str:
        return repr(masked_registry(self))

    __str__ = __repr__


def schema_registry(
    channel: str,
    config: Mapping[str, Any] | Settings | None = None,
    intent: str = "",
) -> dict[str, str]:
    """The schema registry of the cluster where `channel` lives, with the caller's credentials::

        SchemaRegistryClient(kafkaroute.schema_registry("kafka://example.com/orders", config))

    With the same `config` and `intent` as a Producer (``produce``) or Consumer (``consume``) that
    is open, the route that it has is used, and the catalog is not asked again.

    Returns:
        What ``confluent_kafka.schema_registry.SchemaRegistryClient`` takes: ``url``,
        ``basic.auth.user.info`` and whatever else the catalog gives. Secrets are masked in its
        repr, but not in what is copied from it.

    Raises:
        ChannelNotFound: also where the catalog names no registry for the channel.
        ConfigurationError, ChannelInvalid, CatalogUnavailable, CatalogUnauthorized,
        CatalogAnswerInvalid, RouteRejected.
    """
    settings = resolve(channel, config, intent).schema_registry
    if settings is None:
        raise ChannelNotFound(f"the catalog names no schema registry for channel {channel}")
    return _RegistrySettings(settings)
