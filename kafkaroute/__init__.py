"""kafkaroute: name a channel, let the catalog say where it lives.

Public names are imported on first use, so that a bare import stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .channel import Channel as Channel
    from .consumer.consumer import Consumer as Consumer
    from .errors import *
    from .events import *
    from .messages import *
    from .policy import Policy as Policy
    from .producer.producer import Producer as Producer
    from .resolver import resolve as resolve
    from .resolver import schema_registry as schema_registry
    from .route import Route as Route
    from .settings import Settings as Settings

_HOMES = {
    "channel": ("Channel",),
    "consumer": ("Consumer",),
    "errors": (
        "BackendBroken",
        "BackendError",
        "BackendNotFound",
        "CatalogAnswerInvalid",
        "CatalogError",
        "CatalogUnauthorized",
        "CatalogUnavailable",
        "ChannelInvalid",
        "ChannelNotFound",
        "ClosedError",
        "ConfigurationError",
        "KafkaException",
        "KafkarouteError",
        "PluginBroken",
        "PluginError",
        "PluginNotFound",
        "RouteRejected",
        "UnsupportedFeature",
    ),
    "messages": (
        "OFFSET_BEGINNING",
        "OFFSET_END",
        "OFFSET_INVALID",
        "OFFSET_STORED",
        "TIMESTAMP_CREATE_TIME",
        "TIMESTAMP_LOG_APPEND_TIME",
        "TIMESTAMP_NOT_AVAILABLE",
        "KafkaError",
        "Message",
        "TopicPartition",
    ),
    "events": ("Phase", "RouteChange", "RouteStatus", "Spot"),
    "policy": ("Policy",),
    "producer": ("Producer",),
    "resolver": ("resolve", "schema_registry"),
    "route": ("Route",),
    "settings": ("Settings",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
