"""Committing offsets: by call, by timer, and on the way out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafkaroute.errors import KafkaException
from kafkaroute.messages import KafkaError, TopicPartition, kafka_exception

from .errors import mapped, to_kafka_error
from .internals import private
from .library import kp
from .offsets import OffsetStore, Stored, from_application, native_offsets, to_application

__all__ = ["Committer"]

logger = logging.getLogger("kafkaroute.backend.kafka_python")

#: Seconds that a commit on the way out (revoke, close) may take before it is given up.
_LAST_COMMIT = 5.0
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

    def opened(self, native: Any) -> None:
        self._native = native
        net = private(native, "_net")
        if self._auto_interval is not None and net is not None:
            net.call_soon_threadsafe(self._auto_commit)

    def stop(self) -> None:
        self._closed = True

    def choose(self, offsets: Sequence[TopicPartition] | None) -> dict[Any, Stored]:
        """The offsets to commit; KafkaException ``_NO_OFFSET`` when there are none."""
        chosen = self._store.due() if offsets is None else from_application(offsets)
        if not chosen:
            raise kafka_exception(KafkaError._NO_OFFSET, "Local: No offset stored")
        return chosen

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
        with mapped():
            future = self._native.commit_async(native_offsets(offsets))
        future.add_callback(lambda _: self._done(offsets))
        future.add_errback(lambda exc: self._failed(offsets, exc))

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
        self._native.commit(native_offsets(offsets), timeout_ms=timeout * 1000)

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
        net = self._native._net
        send = private(self._native, "_coordinator", "_commit_offsets_sync_async")
        assert self._auto_interval is not None
        while not self._closed and send is not None:
            await net.sleep(self._auto_interval)
            due = self._store.due()
            if not due or self._closed:
                continue
            try:
                await send(native_offsets(due), timeout_ms=self._timeout * 1000)
            except (kp.RebalanceInProgressError, kp.CommitFailedError):
                continue  # the rebalance commits, or takes the partitions away
            except (kp.KafkaError, OSError) as exc:
                self._failed(due, exc)
            else:
                self._done(due)
