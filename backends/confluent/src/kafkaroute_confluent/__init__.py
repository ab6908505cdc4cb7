"""kafkaroute's backend over confluent-kafka (librdkafka).

Importing this package imports no Kafka client; using :class:`ConfluentBackend` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend import ConfluentBackend as ConfluentBackend

__all__ = ["ConfluentBackend"]


def __getattr__(name: str) -> Any:
    if name != "ConfluentBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .backend import ConfluentBackend

    globals()[name] = ConfluentBackend
    return ConfluentBackend
