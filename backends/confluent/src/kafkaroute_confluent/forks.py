"""Native clients in the child of a fork.

librdkafka's threads stay in the parent. Freeing an inherited client in the child waits for them
(1 s was seen; a lock that was held while forking would make it for ever), so it never happens: the
child keeps one reference for good. The core opens new clients there.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any
from weakref import WeakSet

import confluent_kafka

__all__ = ["NativeConsumer", "NativeProducer", "inherited", "track"]

_inherited: set[int] = set()


class NativeProducer(confluent_kafka.Producer):  # type: ignore[misc]
    """A confluent-kafka producer that a weak set can hold."""

    __slots__ = ("__weakref__",)


class NativeConsumer(confluent_kafka.Consumer):  # type: ignore[misc]
    """A confluent-kafka consumer that a weak set can hold."""

    __slots__ = ("__weakref__",)


_alive: WeakSet[Any] = WeakSet()


def track(client: Any) -> None:
    """Keep `client` from being freed in children that are forked from now on."""
    _alive.add(client)


def inherited(client: Any) -> bool:
    """True when `client` belongs to a parent process: it must be left alone."""
    return id(client) in _inherited


def _keep_in_child() -> None:
    # A reference that nothing gives back, also when the interpreter shuts down.
    for client in list(_alive):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
        _inherited.add(id(client))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_in_child)
