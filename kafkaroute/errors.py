"""The exceptions of kafkaroute, one tree::

    KafkarouteError
    ├── ConfigurationError (ValueError)      what the application configured is wrong
    │   └── UnsupportedFeature               a backend cannot honour a setting or a call
    ├── ChannelInvalid (ValueError)          the text is not a channel address
    ├── CatalogError                         asking the catalog failed
    │   ├── CatalogUnavailable               no answer: refused, timed out, 5xx
    │   ├── CatalogUnauthorized              401 or 403
    │   ├── CatalogAnswerInvalid             an answer that is no route
    │   └── ChannelNotFound (LookupError)    no rule or no entry for this channel
    ├── RouteRejected                        the answer sets what the policy forbids
    ├── PluginError                          a plug-in could not be had
    │   ├── PluginNotFound (LookupError)     no such plug-in installed
    │   │   └── BackendNotFound              … where it was to be a backend
    │   ├── PluginBroken                     the plug-in is installed but does not load
    │   │   └── BackendBroken                … a backend
    │   └── BackendError                     either, of a backend
    ├── ClosedError (RuntimeError)           used after close()
    └── KafkaException                       a Kafka client reported a KafkaError

``KafkaException.args[0]`` is a :class:`kafkaroute.KafkaError`. Under the confluent backend the
exception is an instance of ``confluent_kafka.KafkaException`` too. ``BufferError`` (the local
queue is full) is the built-in one, as in confluent-kafka.
"""

from __future__ import annotations

from typing import Any, Self

__all__ = [
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
    "is_revoked",
]


class KafkarouteError(Exception):
    """Root of everything kafkaroute raises on its own account."""


class ConfigurationError(KafkarouteError, ValueError):
    """A setting of the application is unknown, missing or of the wrong type."""


class UnsupportedFeature(ConfigurationError):
    """The chosen backend cannot honour this setting or call; the text names both."""


class ChannelInvalid(KafkarouteError, ValueError):
    """The text is not a channel address such as ``kafka://example.com/orders``."""


class CatalogError(KafkarouteError):
    """Asking the catalog for a route failed."""


class CatalogUnavailable(CatalogError):
    """The catalog gave no usable answer in time (refused, timed out, 5xx, not HTTP at all).

    Attributes:
        retry_after: seconds that the catalog asked to be left alone for, where it did.
    """

    retry_after: float | None = None

    def retry_in(self, seconds: float | None) -> Self:
        """This error, of a catalog that asks to be left alone for so long."""
        self.retry_after = seconds
        return self


class CatalogUnauthorized(CatalogError):
    """The catalog refused the caller (401 or 403)."""


class CatalogAnswerInvalid(CatalogError):
    """The catalog answered 200 with something that is no route."""


class ChannelNotFound(CatalogError, LookupError):
    """The catalog knows no place for the channel; the text names it."""


class RouteRejected(KafkarouteError):
    """The route sets something that the application's policy forbids."""


class PluginError(KafkarouteError):
    """A plug-in (a backend, a catalog, a store of secrets) could not be had."""


class PluginNotFound(PluginError, LookupError):
    """No installed distribution provides it; the text lists what is installed."""


class PluginBroken(PluginError):
    """It is installed but cannot be used; names its distribution and the cause."""


class BackendError(PluginError):
    """A backend could not be had."""


class BackendNotFound(BackendError, PluginNotFound):
    """No installed distribution provides the backend."""


class BackendBroken(BackendError, PluginBroken):
    """The backend is installed but cannot be used; names its distribution and the cause."""


class ClosedError(KafkarouteError, RuntimeError):
    """A Producer or Consumer was used after close()."""


class KafkaException(KafkarouteError):
    """A Kafka client reported an error; ``args[0]`` is the :class:`kafkaroute.KafkaError`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)


def is_revoked(error: Exception | None) -> bool:
    """Whether the catalog refuses the channel itself (401, 403, 404): asking again soon is no use,
    and a channel that worked is not the application's any more."""
    return isinstance(error, CatalogUnauthorized | ChannelNotFound)
