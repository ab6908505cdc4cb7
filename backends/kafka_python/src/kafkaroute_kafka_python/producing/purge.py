"""Failing what kafka-python still holds: a call that its producer lacks."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from threading import RLock
from typing import Any

from kafkaroute.errors import UnsupportedFeature
from kafkaroute.messages import KafkaError

from ..internals import private, require
from .reports import LocalFailure

__all__ = ["Purger"]

#: What completes or puts back batches, on the library's sender thread.
_COMPLETIONS = ("_complete_batch", "_complete_batch_with_exception")
_ABORTS = ("abort_batches", "abort_undrained_batches")


class Purger:
    """Fails batches of one native producer while its sender thread keeps off them.

    The library completes, retries and aborts batches on its sender thread, and expects nobody
    else to: a batch that was failed meanwhile would be put back into the queue by a retry, or
    stop the thread when its time is up. So both sides go through one lock here.
    """

    def __init__(self, native: Any) -> None:
        self._native = native
        #: Held while batches are completed.
        self.lock = RLock()
        self._unswept = False
        try:
            require(
                "purge()",
                native,
                "_accumulator._incomplete.all",
                "_accumulator._batches",
                "_accumulator._tp_lock",
                "_accumulator.deallocate",
                "_accumulator.expired_batches",
                "_sender._in_flight_batches",
                "_sender._get_expired_inflight_batches",
                *(f"_sender.{name}" for name in _COMPLETIONS),
                *(f"_accumulator.{name}" for name in _ABORTS),
            )
        except UnsupportedFeature as exc:
            self._refusal: str | None = str(exc)
            return
        self._refusal = None
        accumulator, sender = native._accumulator, native._sender
        for name in _COMPLETIONS:
            setattr(sender, name, self._locked(getattr(sender, name)))
        for name in _ABORTS:
            setattr(accumulator, name, self._locked(getattr(accumulator, name)))
        # Whatever fails many batches asks here which they are: oldest first, so that the reports
        # of a partition come in the order of its messages. The library keeps them in a set.
        everything = accumulator._incomplete.all
        accumulator._incomplete.all = lambda: sorted(everything(), key=_age)
        self._expired_in_queue = accumulator.expired_batches
        self._expired_in_flight = sender._get_expired_inflight_batches
        accumulator.expired_batches = self._expired

    @property
    def works(self) -> bool:
        """Whether this kafka-python has what it takes."""
        return self._refusal is None

    def _locked(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.lock:
                return method(*args, **kwargs)

        return call

    def _expired(self, now: float | None = None) -> list[Any]:
        """Batches whose time is up; the library would take those in flight after the queued."""
        with self.lock:
            if self._unswept:
                self._sweep()
            return [*self._expired_in_flight(now=now), *self._expired_in_queue(now=now)]

    def _sweep(self) -> None:
        """Let the sender forget what was failed here: it takes a failed batch for a bug."""
        self._unswept = False
        for batches in self._native._sender._in_flight_batches.values():
            batches[:] = [item for item in batches if item[1].final_state is None]
            heapq.heapify(batches)

    def fail(self, *, in_queue: bool, in_flight: bool) -> None:
        """Fail what was never sent (``_PURGE_QUEUE``) and what was, without an answer yet
        (``_PURGE_INFLIGHT``, also where it waits to be sent again).

        Raises UnsupportedFeature on a kafka-python that keeps its batches elsewhere.
        """
        if self._refusal is not None:
            raise UnsupportedFeature(self._refusal)
        numbered = False
        with self.lock:
            for batch in self._native._accumulator._incomplete.all():
                if batch.final_state is None and self._fail(batch, in_queue, in_flight):
                    numbered = numbered or batch.has_sequence
            self._unswept = True
            if numbered:
                _renumber(private(self._native, "_transaction_manager"))

    def _fail(self, batch: Any, in_queue: bool, in_flight: bool) -> bool:
        accumulator = self._native._accumulator
        partition = batch.topic_partition
        with accumulator._tp_lock(partition):
            queue = accumulator._batches[partition]
            queued = batch in queue
            unsent = queued and not batch.in_retry()
            if not (in_queue if unsent else in_flight):
                return False
            if queued:
                queue.remove(batch)
            batch.records.close()
        code = KafkaError._PURGE_QUEUE if unsent else KafkaError._PURGE_INFLIGHT
        batch.abort(LocalFailure(KafkaError(code)))
        accumulator.deallocate(batch)
        return True


def _age(batch: Any) -> tuple[float, int]:
    """Sorts batches of one partition by the order of their messages, whatever became of them."""
    found: tuple[float, int] | None = getattr(batch, "age", None)
    if found is None and (futures := batch._record_futures):
        found = getattr(futures[0], "age", None)  # half of one that was too large for the broker
    return found or (batch.created, 0)


def _renumber(manager: Any) -> None:
    """Have an idempotent producer start again with another producer id.

    The broker expects the sequence numbers of what was failed, and would refuse what comes next.
    A transaction is left alone: it ends, well or not, under the id it began with.
    """
    if manager is None or manager.is_transactional():
        return
    with manager._lock:
        state = manager._current_state
        if state is not type(state).READY:
            return  # it failed for good, or is getting a new number already
        manager.reset_producer_id()
        # The library asks for an id only in its first state (as in expiry.py).
        manager._current_state = type(state).UNINITIALIZED
