"""For code that needs a native client of its own: one route, no Producer or Consumer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .catalog.shared import acquire_cache, release_cache
from .route import Route
from .settings import Settings

__all__ = ["resolve"]


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
