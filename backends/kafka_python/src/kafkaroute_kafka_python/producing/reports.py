"""Accepted messages: how many there are, and the delivery reports that wait to be served."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, RLock
from typing import Any, NamedTuple, TypeAlias

from kafkaroute.backend.contract import DeliveryCallback
from kafkaroute.messages import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    Message,
)

from ..errors import batch_error
from ..loose import Seconds

__all__ = ["Delivery", "Entry", "LocalFailure", "Outcome", "Reports", "failed"]


class LocalFailure(Exception):
    """Fails messages with an error of this backend's own making (purge, close)."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(error.str())
        self.error = error


#: One accepted message whose outcome somebody waits for: callback, key, value, size (bytes),
#: timestamp (ms) and when it was accepted (monotonic seconds). A plain tuple, because one is made
#: for every message (242 ns for an object with slots, 30 ns for this). Of any length to the type
#: checker, for compiled code would take one of a known length apart and make it anew.
Delivery: TypeAlias = tuple[Any, ...]

#: What is kept of an accepted message: only its size, where nobody asked for a report.
Entry: TypeAlias = Delivery | int


class Outcome(NamedTuple):
    """What became of a run of messages of one partition, in order."""

    topic: str
    partition: int
    base_offset: int
    log_append_time: int
    failure: Callable[[int], BaseException] | None


class Reports:
    """Counts what is outstanding, and serves callbacks on the thread that polls.

    A message counts until it is delivered or failed and its callback, if any, was served; that is
    what ``queue.buffering.max.messages`` bounds.

    Args:
        only_errors: no callback hears of a delivered message.
        failures_only: a callback that hears of none, though others may.
    """

    def __init__(
        self,
        max_messages: int,
        max_bytes: int,
        *,
        only_errors: bool,
        failures_only: DeliveryCallback | None = None,
    ) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._only_errors = only_errors
        self._failures_only = failures_only
        #: The lock of `_changed`, by itself: a Condition's own __enter__ is Python.
        self._lock = RLock()
        self._changed = Condition(self._lock)
        #: (outcome, index, delivery), or what is to be called.
        self._ready: deque[Any] = deque()
        self.messages = 0
        self.bytes = 0
        #: How many messages have failed so far.
        self.failures = 0

    def accept(self, size: int) -> None:
        """Count one more message; BufferError when the queue is full."""
        with self._lock:
            if self.messages >= self._max_messages or self.bytes + size > self._max_bytes:
                raise BufferError("Local: Queue full")
            self.messages += 1
            self.bytes += size

    def release(self, size: int) -> None:
        """Forget a message that was not accepted after all."""
        self._free(1, size)

    def settle(self, outcome: Outcome, entries: Sequence[Entry], first: int = 0) -> None:
        """The messages `entries`, of which the first has index `first` in its batch, are done."""
        delivered = outcome.failure is None
        quiet = self._only_errors and delivered
        deaf = self._failures_only if delivered else None
        freed = freed_bytes = 0
        waiting: list[Any] = []
        for index, entry in enumerate(entries, first):
            if isinstance(entry, int):
                freed += 1
                freed_bytes += entry
            elif quiet or entry[0] is deaf:
                freed += 1
                freed_bytes += entry[3]
            else:
                waiting.append((outcome, index, entry))
        with self._lock:
            self.messages -= freed
            self.bytes -= freed_bytes
            if not delivered:
                self.failures += len(entries)
            self._ready.extend(waiting)
            self._changed.notify_all()

    def serve(self, timeout: Seconds) -> int:
        """Call the callbacks that are due; wait up to `timeout` seconds (-1: for ever) for one.

        What a callback raises leaves this call; the reports behind it stay queued.
        """
        ready = self._ready
        if not ready and timeout:
            with self._changed:
                self._changed.wait_for(ready.__len__, None if timeout < 0 else timeout)
        served = 0
        # As many as there are now: callbacks that produce must not keep this thread for ever.
        for _ in range(len(ready)):
            try:
                item = ready.popleft()
            except IndexError:
                break  # another thread polls, too
            served += 1
            if not isinstance(item, tuple):
                item()
                continue
            delivery = item[2]
            self._free(1, delivery[3])
            message = _present(item[0], item[1], delivery)
            delivery[0](message._error, message)
        return served

    def call(self, callback: Callable[[], Any]) -> None:
        """Let the thread that polls run `callback`; it counts as no message."""
        with self._changed:
            self._ready.append(callback)
            self._changed.notify_all()

    def wait_change(self, timeout: float | None) -> None:
        """Wait until there is something to serve or nothing is outstanding."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or not self.messages, timeout)

    def _free(self, messages: int, size: int) -> None:
        with self._lock:
            self.messages -= messages
            self.bytes -= size
            if not self.messages:
                self._changed.notify_all()


def _present(outcome: Outcome, index: int, delivery: Delivery) -> Message:
    error: KafkaError | None = None
    offset: int | None = None
    if outcome.failure is not None:
        error = _error(outcome.failure(index))
        timestamp: Any = (TIMESTAMP_NOT_AVAILABLE, -1)
    else:
        if outcome.base_offset >= 0:
            offset = outcome.base_offset + index
        if outcome.log_append_time >= 0:
            timestamp = (TIMESTAMP_LOG_APPEND_TIME, outcome.log_append_time)
        else:
            timestamp = (TIMESTAMP_CREATE_TIME, delivery[4])
    return Message(
        outcome.topic,
        outcome.partition,
        offset,
        delivery[1],
        delivery[2],
        None,
        error,
        timestamp,
        # As librdkafka does: up to now, so that now - latency() is the time of produce().
        time.monotonic() - delivery[5],
    )


def _error(exc: BaseException) -> KafkaError:
    return exc.error if isinstance(exc, LocalFailure) else batch_error(exc)


def failed(topic: str, partition: int, error: KafkaError) -> Outcome:
    """The outcome of messages that never left this process."""
    return Outcome(topic, partition, -1, -1, lambda _: LocalFailure(error))
