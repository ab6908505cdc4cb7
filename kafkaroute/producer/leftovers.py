"""Messages that nobody has waited for, when the process ends or a Producer is dropped: they get a
moment to be delivered, and what is left is told."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from typing import Protocol

__all__ = ["count_at_exit", "count_when_dropped", "stay_last"]

_log = logging.getLogger("kafkaroute.producer")

#: Seconds, for all together. kafka-python's own producer waits as long in its exit hook.
_MOMENT = 1.0


class Delivering(Protocol):
    """What delivers a Producer's messages."""

    def count(self) -> int: ...

    def flush(self, timeout: float | None) -> int: ...

    def close(self, timeout: float | None) -> int: ...

    def is_open(self) -> bool: ...


_live: weakref.WeakSet[Delivering] = weakref.WeakSet()


def count_at_exit(delivery: Delivering) -> None:
    """Look after what is left of `delivery` when the process ends."""
    _live.add(delivery)
    stay_last()


def stay_last() -> None:
    """Call this whenever a native client is made: hooks run in reverse order, and a client
    library's own would close it before."""
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


def count_when_dropped(producer: object, delivery: Delivering) -> None:
    """Look after what is left of `delivery` when `producer` is collected without a close(); frees
    its clients."""
    weakref.finalize(producer, _dropped, delivery).atexit = False


def _at_exit() -> None:
    until = time.monotonic() + _MOMENT
    for delivery in list(_live):
        if delivery.is_open():
            _give_a_moment(delivery, until, "the process ended")


def _dropped(delivery: Delivering) -> None:
    if not delivery.is_open():
        return
    # Not here: the collector may run in any call, on any thread, under any lock.
    thread = threading.Thread(
        target=_close, args=(delivery,), name="kafkaroute-dropped", daemon=True
    )
    thread.start()


def _close(delivery: Delivering) -> None:
    until = time.monotonic() + _MOMENT
    _give_a_moment(delivery, until, "their Producer was dropped without close()")
    try:
        delivery.close(0)
    except Exception:  # of a delivery callback
        _log.exception("closing a Producer that was dropped failed")


def _give_a_moment(delivery: Delivering, until: float, why: str) -> None:
    try:
        left = delivery.flush(max(0.0, until - time.monotonic())) if delivery.count() else 0
    except Exception:  # of a delivery callback
        _log.exception("flushing what was left of a Producer failed")
        left = delivery.count()
    if left:
        _log.warning(
            "%d messages were not delivered when %s: call flush() or close() before", left, why
        )
