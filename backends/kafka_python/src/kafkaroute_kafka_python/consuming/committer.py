"""Committing offsets: by call, by timer, and on the way out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafkaroute.errors import KafkaException
from kafkaroute.messages import KafkaError, TopicPartition

from ..errors import mapped, to_kafka_error
from ..internals import private
from ..library import kp
from .positions import OffsetStore, Stored, from_application, native_offsets, to_application

__all__ = ["Committer"]

logger = logging.getLogger("kafkaroute.backend.kafka_python")

#: Seconds that a commit on the way out (revoke, close) may take before it is given up.
_LAST_COMMIT = 5.0
#: Seconds between two attempts (librdkafka's and kafka-python's retry.backoff.ms).
_RETRY = 0.1
#: Errors of single partitions: worth a second, separate attempt for the others.
_PER_PARTITION = (
    kp.UnknownTopicOrPartitionError,
    kp.TopicAuthorizationFailedError,
    kp.OffsetMetadataTooLargeError,
)

CommitCallback = Callable[[KafkaError | None, list[TopicPartition]], Any]


class Committer:
    """Commits for one consumer; `post` takes calls of ``on_commit`` to the thread that polls."""

    def __init__(
        self,
        store: OffsetStore,
        on_commit: CommitCallback | None,
        request_timeout: float,
        auto_interval: float | None,
        post: Callable[[Callable[[], Any]], None],
    ) -> None:
        self._post = post
        self._store = store
        self._on_commit = on_commit
        self._timeout = request_timeout
        self._auto_interval = auto_interval
        self._closed = False
        self._native: Any = None
        self._net: Any = None
        self._ready: Any = None
        self._send: Any = None
        self._due_at = 0.0
        self._running: list[Any] = []

    def opened(self, native: Any) -> None:
        self._native = native
        self._ready = private(native, "_coordinator", "ensure_coordinator_ready_async")
        self._send = private(native, "_coordinator", "_send_offset_commit_request")
        self._net = private(native, "_net")
        if None in (self._ready, self._send, self._net):
            self._send = None  # another version: its public calls must do
        if self._auto_interval is not None:
            self._due_at = time.monotonic() + self._auto_interval
            if self._send is not None:
                self._net.call_soon_threadsafe(self._auto_commit)

    def tick(self) -> None:
        """Called by poll(): auto-commit where the library gives us no timer."""
        if self._send is not None or self._native is None or self._auto_interval is None:
            return
        if time.monotonic() >= self._due_at:
            self._due_at = time.monotonic() + self._auto_interval
            self.commit_due(None)

    def stop(self) -> None:
        self._closed = True

    def choose(self, offsets: Sequence[TopicPartition] | None) -> dict[Any, Stored]:
        """The offsets to commit, if there are any."""
        return self._store.due() if offsets is None else from_application(offsets)

    def commit(self, offsets: Mapping[Any, Stored]) -> list[TopicPartition]:
        """Commit now. Partitions that fail alone carry their error in the result."""
        try:
            self._commit(offsets, self._timeout)
        except _PER_PARTITION as exc:
            if len(offsets) == 1:
                raise KafkaException(to_kafka_error(exc)) from exc
            return self._one_by_one(offsets)
        return self._done(offsets)

    def commit_soon(self, offsets: Mapping[Any, Stored]) -> None:
        """Commit in the background; the outcome goes to ``on_commit``."""
        wanted = native_offsets(offsets)
        with mapped():
            if self._send is None:
                future = self._native.commit_async(wanted)
            else:
                future = self._net.call_soon_with_future(self._attempts, wanted, self._timeout)
        self._running = [other for other in self._running if not other.is_done] + [future]
        future.add_callback(lambda _: self._done(offsets))
        future.add_errback(lambda exc: self._failed(offsets, exc))

    def finish(self) -> None:
        """Wait for what :meth:`commit_soon` began, but not for ever."""
        deadline = time.monotonic() + _LAST_COMMIT
        while time.monotonic() < deadline and not all(one.is_done for one in self._running):
            time.sleep(0.005)

    def commit_due(self, partitions: Sequence[Any] | None) -> None:
        """What auto-commit owes for `partitions` (or all), now; a failure is only reported."""
        if self._auto_interval is None or self._native is None:
            return
        due = self._store.due(partitions)
        if not due:
            return
        try:
            self._commit(due, _LAST_COMMIT)
        except (kp.KafkaError, RuntimeError, OSError) as exc:
            self._failed(due, exc)
        else:
            self._done(due)

    def _report(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        callback = self._on_commit
        if callback is not None:
            self._post(lambda: callback(error, partitions))

    def _commit(self, offsets: Mapping[Any, Stored], timeout: float) -> None:
        wanted = native_offsets(offsets)
        if self._send is None:
            self._native.commit(wanted, timeout_ms=timeout * 1000)
        else:
            self._net.run(self._attempts, wanted, timeout)

    async def _attempts(self, wanted: dict[Any, Any], seconds: float) -> None:
        """Commit on the I/O thread, again while that may help.

        The library's own loop asks again for a topic that does not exist until time is up.
        """
        deadline = time.monotonic() + seconds
        while True:
            left = (deadline - time.monotonic()) * 1000
            if left <= 0 or not await self._ready(timeout_ms=left):
                raise kp.KafkaTimeoutError("the group's coordinator cannot be reached")
            try:
                await self._send(wanted)
            except _PER_PARTITION:
                raise
            except kp.RetriableError:
                if time.monotonic() + _RETRY >= deadline:
                    raise
                await self._net.sleep(_RETRY)
            else:
                return

    def _one_by_one(self, offsets: Mapping[Any, Stored]) -> list[TopicPartition]:
        answers: list[TopicPartition] = []
        first_error: KafkaError | None = None
        for tp, stored in offsets.items():
            try:
                self._commit({tp: stored}, self._timeout)
            except _PER_PARTITION as exc:
                error = to_kafka_error(exc)
                first_error = first_error or error
                answers += to_application({tp: stored}, error)
            else:
                answers += self._done({tp: stored})
        if first_error is not None and all(answer.error for answer in answers):
            raise KafkaException(first_error)
        return answers

    def _done(self, offsets: Mapping[Any, Stored]) -> list[TopicPartition]:
        self._store.mark_committed(offsets)
        answers = to_application(offsets)
        self._report(None, answers)
        return answers

    def _failed(self, offsets: Mapping[Any, Stored], exc: BaseException) -> None:
        error = to_kafka_error(exc)
        logger.warning("offset commit failed: %s", error.str())
        self._report(error, to_application(offsets))

    async def _auto_commit(self) -> None:
        """Runs on the I/O thread, so that a slow application's offsets are committed in time."""
        assert self._auto_interval is not None
        while not self._closed:
            await self._net.sleep(self._auto_interval)
            due = self._store.due()
            if not due or self._closed:
                continue
            try:
                await self._attempts(native_offsets(due), self._timeout)
            except (kp.RebalanceInProgressError, kp.CommitFailedError):
                continue  # the rebalance commits, or takes the partitions away
            except (kp.KafkaError, OSError) as exc:
                self._failed(due, exc)
            else:
                self._done(due)
