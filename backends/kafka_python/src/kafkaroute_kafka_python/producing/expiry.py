"""An idempotent producer that goes on after messages have failed.

After a batch that was on the wire has run out of time nobody knows whether it was written, so its
sequence numbers cannot be used again, and kafka-python drops the producer id. It asks for another
one only in its first state, though, and never leaves the state it is in: from then on it sends
nothing. Without an id it looks at no time-outs either, it forgets the batches it had just taken
from the queue, and fails those of other partitions that only wait to be sent again.

Here batches are given up outside of its sending pass, between two of them, and a lost id has it ask
for the next one. A batch keeps the id under which it was sent first: as one batch of a partition is
on the wire at a time, the broker still recognises a duplicate.

The library also takes each final refusal of a message (too large, no access to its topic) for the
end of the whole producer. Here it costs the id, as with librdkafka, and that message alone.
"""

from __future__ import annotations

import time
from threading import current_thread
from typing import Any

from kafkaroute.errors import UnsupportedFeature

from ..internals import private, require
from ..library import kp
from .purge import Purger

__all__ = ["keep_expiring"]

#: Seconds between two looks at what has run out of time.
_PAUSE = 0.05
#: What the library makes of a failed batch.
_KINDS = ("ERROR_CLASS_FATAL", "ERROR_CLASS_NEEDS_PRODUCER_ID_RESET", "ERROR_CLASS_RETRIABLE")


def keep_expiring(native: Any, client: Any, purger: Purger) -> None:
    """Mend `native`, if it is idempotent; another kafka-python is left as it is."""
    manager = private(native, "_transaction_manager")
    if manager is None or manager.is_transactional() or not purger.works:
        return  # a transaction that lacks a batch is aborted by its owner
    try:
        require(
            "going on after a time-out",
            native,
            "_accumulator.expired_batches",
            "_accumulator.muted",
            "_accumulator.next_expiry_time_ms",
            "_accumulator.reset_next_batch_expiry_time",
            "_sender._can_retry",
            "_sender._complete_batch",
            "_sender._complete_batch_with_exception",
            "_sender._get_expired_inflight_batches",
            "_sender._in_flight_batches",
            "_sender._transaction_manager",
            "_transaction_manager._current_state",
            "_transaction_manager._lock",
            "_transaction_manager.producer_id_and_epoch.match",
            "_transaction_manager.reset_producer_id",
            "_transaction_manager.classify_batch_error",
            *(f"_transaction_manager.{name}" for name in _KINDS),
            "_transaction_manager._FATAL_ERRORS",
        )
    except UnsupportedFeature:
        return
    state = type(manager._current_state)
    if not {"UNINITIALIZED", "READY"} <= set(state.__members__):
        return
    client.before_poll = _Expiry(native, purger).look


class _Expiry:
    def __init__(self, native: Any, purger: Purger) -> None:
        self._accumulator = native._accumulator
        self._sender = native._sender
        self._manager = native._transaction_manager
        self._state = type(self._manager._current_state)
        self._lock = purger.lock
        self._next = 0.0
        self._held: list[Any] = []
        self._find = self._accumulator.expired_batches  # the purger's: both kinds
        self._can_retry = self._sender._can_retry
        self._reset = self._manager.reset_producer_id
        self._classify = self._manager.classify_batch_error
        self._accumulator.expired_batches = self._hold
        self._sender._get_expired_inflight_batches = lambda **_: []
        self._sender._can_retry = self._can_retry_under_its_id
        self._manager.reset_producer_id = self._renew_id
        self._manager.classify_batch_error = self._failing_alone
        for name in ("_complete_batch", "_complete_batch_with_exception"):
            setattr(self._sender, name, self._keeping_order(getattr(self._sender, name)))

    def look(self) -> bool:
        """On the sender thread: give up what has run out of time; True if there was something."""
        if current_thread() is not self._sender:
            return False
        now = time.monotonic()
        if not self._held and now < min(self._next, self._accumulator.next_expiry_time_ms / 1000):
            return False
        self._next = now + _PAUSE
        with self._lock:
            self._accumulator.reset_next_batch_expiry_time()
            expired, self._held = [*self._held, *self._find()], []
            # One that was purged meanwhile is done.
            expired = [batch for batch in expired if batch.final_state is None]
            for batch in expired:
                self._give_up(batch)
            ids = self._manager.producer_id_and_epoch
            if any(batch.has_sequence and ids.match(batch) for batch in expired):
                with self._manager._lock:
                    if self._manager._current_state is self._state.READY:
                        self._manager.reset_producer_id()
        return bool(expired)

    def _give_up(self, batch: Any) -> None:
        age = int((time.monotonic() - batch.created) * 1000)
        self._sender._complete_batch_with_exception(
            batch, kp.KafkaTimeoutError(f"{batch.topic_partition}: {age} ms have passed")
        )

    def _hold(self, now: float | None = None) -> list[Any]:
        """For the sending pass, which finds nothing: what it finds is given up behind it."""
        self._held += self._find(now=now)
        return []

    def _renew_id(self) -> None:
        with self._manager._lock:
            self._reset()
            if self._manager._current_state is self._state.READY:
                # The library asks for an id only in its first state.
                self._manager._current_state = self._state.UNINITIALIZED

    def _failing_alone(self, error: Any, batch: Any, **kwargs: Any) -> Any:
        """As the library judges, but a refusal of one message is not the end."""
        manager = self._manager
        kind = self._classify(error, batch, **kwargs)
        if kind != manager.ERROR_CLASS_FATAL or type(error) in manager._FATAL_ERRORS:
            return kind
        if manager.producer_id_and_epoch.match(batch):
            return manager.ERROR_CLASS_NEEDS_PRODUCER_ID_RESET
        return manager.ERROR_CLASS_RETRIABLE  # nothing to do: that id is gone already

    def _can_retry_under_its_id(self, batch: Any, error: Any) -> bool:
        """As the library decides, but for the id: a batch may be sent again under an older one."""
        manager = self._sender._transaction_manager
        self._sender._transaction_manager = None
        try:
            return bool(self._can_retry(batch, error))
        finally:
            self._sender._transaction_manager = manager

    def _keeping_order(self, complete: Any) -> Any:
        """A late answer for a batch that was given up must not let another one overtake the one
        that is on the wire now."""

        def call(batch: Any, *args: Any, **kwargs: Any) -> Any:
            late = batch.final_state is not None
            with self._lock:
                result = complete(batch, *args, **kwargs)
                partition = batch.topic_partition
                on_wire = self._sender._in_flight_batches.get(partition, ())
                if late and any(other.final_state is None for _, other in on_wire):
                    self._accumulator.muted.add(partition)
            return result

        return call
