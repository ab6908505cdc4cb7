"""A consumer over kafka-python that behaves as librdkafka's does."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kafkaroute.backend.contract import AssignmentCallback, BackendConsumer
from kafkaroute.errors import ClosedError
from kafkaroute.messages import (
    OFFSET_INVALID,
    OFFSET_STORED,
    ClusterMetadata,
    KafkaError,
    Message,
    Origin,
    TopicPartition,
    kafka_exception,
)

from .assignment import Assignment, Callbacks
from .committer import Committer
from .errors import mapped, to_kafka_error
from .fetch_buffer import FetchBuffer
from .fetch_watch import FetchWatch, make_consumer_client
from .health import Health
from .internals import private, update_credentials
from .library import ConsumerGroupMetadata, KafkaConsumer, kp
from .log_safety import protect_logs
from .messages import consumed
from .metadata_query import query_metadata
from .offset_queries import committed_offsets, offsets_at, watermarks
from .offsets import OffsetStore, Stored, from_application, native_partition
from .opener import Opener
from .rebalance import make_assignors, resume_join
from .translate import ConsumerPlan
from .troubles import Troubles

__all__ = ["KafkaPythonConsumer"]

#: Told as events where there is no ``error_cb``; a single lost connection is not.
_WORTH_AN_EVENT = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError._ALL_BROKERS_DOWN}
)

logger = logging.getLogger("kafkaroute.backend.kafka_python")

#: Seconds between two looks at the group while the application lives on buffered records.
_SERVICE = 0.1
#: Seconds between two looks at the network of an idle consumer polled with a time-out of 0.
_IDLE = 0.005
#: Longest single wait inside kafka-python, in seconds: events noted elsewhere are seen by then.
_SLICE = 0.25
#: Longest wait for the metadata of topics newly subscribed to, and seconds between two looks.
_METADATA = 1.0
_METADATA_LOOK = 0.002
#: Shortest wait inside kafka-python, in seconds, until the group is joined: with none at all it
#: gives up each step before the step can be done.
_JOINING = 0.002
#: Seconds to wait after kafka-python reported an error, so that a poll loop does not spin.
_AFTER_ERROR = 0.1


class KafkaPythonConsumer(BackendConsumer):
    """Returns at once from its constructor: the client opens on a thread of its own."""

    def __init__(self, plan: ConsumerPlan, origins: Mapping[str, Origin]) -> None:
        self._plan = plan
        self._origins = origins
        self._store = OffsetStore()
        self._buffer = FetchBuffer()
        self._watch = FetchWatch()
        self._events: deque[Message] = deque()
        self._calls: deque[Callable[[], Any]] = deque()
        self._ends: dict[Any, int] = {}
        self._closed = False
        self._native: Any = None
        self._coordinator: Any = None
        self._positions: Any = None
        self._completed: Any = None
        self._service_at = 0.0
        self._idle_until = 0.0
        self._known_topics: set[str] = set()
        self._awaited_topics: set[str] = set()
        self._awaited_until = 0.0
        self._polled_at: float | None = None
        self._committer = Committer(
            self._store,
            plan.on_commit,
            plan.request_timeout,
            plan.auto_commit_interval if plan.auto_commit else None,
            self._calls.append,
        )
        self._assignment = Assignment(self._took, self._leaving, self._interrupted)
        self._health = Health(self._note, self._assignment.topics)
        self._troubles = Troubles(self._client_error)
        assignors = make_assignors(plan.strategies, lambda: self._assignment.owned)
        self._opener: Opener[Any] = Opener(
            "consumer",
            build=lambda factory: KafkaConsumer(
                **plan.kwargs,
                partition_assignment_strategy=assignors,
                kafka_client=factory,
            ),
            make_client=partial(
                make_consumer_client, self._watch, self._troubles, plan.auto_create
            ),
            client_kwargs=plan.client_kwargs,
            on_open=lambda _: self._health.watch(self._opener.client),
            on_trouble=self._troubles.tell,
            secrets=plan.secrets,
        )
        self._opener.start()

    # -- reading ---------------------------------------------------------------------------------

    def poll(self, timeout: float) -> Message | None:
        if (
            self._buffer
            and not (self._events or self._calls)
            and time.monotonic() < self._service_at
        ):
            return self._next()
        return self._poll(timeout)

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        if num_messages < 0:
            raise ValueError("num_messages must not be negative")
        messages: list[Message] = []
        deadline = None if timeout < 0 else time.monotonic() + timeout
        while len(messages) < num_messages:
            left = -1.0 if deadline is None else max(0.0, deadline - time.monotonic())
            message = self.poll(left)
            if message is None:
                break
            messages.append(message)
        return messages

    def _next(self) -> Message:
        partition, record = self._buffer.pop()
        after = Stored(record.offset + 1, record.leader_epoch)
        self._store.delivered[partition] = after
        if self._plan.auto_store:
            self._store.stored[partition] = after
        return consumed(record, self._origins.get(partition.topic))

    def _poll(self, timeout: float) -> Message | None:
        self._check_open()
        now = time.monotonic()
        self._notice_long_pause(now)
        deadline = None if timeout < 0 else now + timeout
        first = True
        while True:
            self._serve_calls()
            now = time.monotonic()
            left = _SLICE if deadline is None else min(_SLICE, deadline - now)
            if self._buffer:
                # Only a look at the group: one record at most joins those that wait here.
                self._pump(0, 1)
                self._service_at = time.monotonic() + _SERVICE
            elif first or left > 0:
                if left <= 0 and now < self._idle_until and not self._completed:
                    left = 0  # nothing can have come since the last look
                elif self._ready(left):
                    self._pump(max(0.0, left), self._plan.batch)
                    self._service_at = time.monotonic() + _SERVICE
                    self._idle_until = time.monotonic() + _IDLE
            self._polled_at = time.monotonic()
            if self._events:
                return self._events.popleft()
            if self._buffer:
                return self._next()
            first = False
            if deadline is not None and time.monotonic() >= deadline:
                return None

    def _ready(self, timeout: float) -> bool:
        """Whether the client is open and has something to poll for; waits up to `timeout`."""
        if self._native is None:
            with mapped():
                native = self._opener.wait(max(0.0, timeout))
            if native is None:
                return False
            self._opened(native)
        if not self._assignment.active:
            if timeout > 0:
                time.sleep(timeout)
            return False
        self._assignment.refresh()
        return self._topics_known(timeout)

    def _topics_known(self, timeout: float) -> bool:
        """Whether metadata names every topic subscribed to; waits up to `timeout`.

        A member that joins before is given nothing and has to join a second time, which costs a
        rebalance, and on librdkafka's mock cluster a whole session timeout. A topic that does not
        exist is waited for no longer than `_METADATA`.
        """
        topics = self._assignment.topics()
        if topics == self._known_topics:
            return True
        now = time.monotonic()
        if topics != self._awaited_topics:
            self._awaited_topics, self._awaited_until = topics, now + _METADATA
        cluster = self._opener.client.cluster
        end = min(now + timeout, self._awaited_until)
        while any(not cluster.partitions_for_topic(topic) for topic in topics):
            now = time.monotonic()
            if now >= self._awaited_until:
                break
            if now >= end:
                return False
            time.sleep(min(_METADATA_LOOK, end - now))
        self._known_topics = topics
        return True

    def _opened(self, native: Any) -> None:
        self._native = native
        self._coordinator = private(native, "_coordinator")
        self._positions = private(native, "_subscription", "assignment")
        self._completed = private(native, "_fetcher", "_completed_fetches")
        self._committer.opened(native)
        self._assignment.opened(native, self._opener.client)

    def _pump(self, timeout: float, records: int) -> None:
        """Let kafka-python work; put what it brings into the buffer and the event queue."""
        if self._coordinator is not None and resume_join(self._coordinator):
            timeout = max(timeout, _JOINING)
        try:
            brought = self._native.poll(timeout_ms=timeout * 1000, max_records=records)
        except (kp.KafkaError, AssertionError, ValueError, OSError) as exc:
            self._trouble(exc)
            brought = {}
        else:
            self._health.fine()
        owned, paused = self._assignment.owned, self._assignment.paused
        for partition, batch in brought.items():
            if partition in owned:
                self._buffer.add(partition, batch, paused=partition in paused)
        self._health.look()
        self._assignment.raise_callback_error()
        if self._plan.partition_eof:
            self._note_ends()

    def _trouble(self, exc: BaseException) -> None:
        partitions = exc.args[0] if exc.args else None
        if isinstance(exc, kp.NoOffsetForPartitionError | kp.OffsetOutOfRangeError):
            self._stop_at_reset(exc, partitions)
            return
        error = to_kafka_error(exc)
        topics = partitions if isinstance(partitions, set | list | tuple) else ()
        topic = next(iter(topics), None)
        self._health.report(error, topic if isinstance(topic, str) else None)
        time.sleep(_AFTER_ERROR)

    def _stop_at_reset(self, exc: BaseException, partitions: Any) -> None:
        """``auto.offset.reset=error``: one event per partition, which then stays unread."""
        subscription = private(self._native, "_subscription")
        for partition in sorted(partitions or ()):
            error = to_kafka_error(exc)
            self._events.append(_event(error, partition.topic, partition.partition))
            if subscription is not None and partition in self._assignment.owned:
                # Waiting for a reset that never comes; a seek ends it.
                subscription.request_offset_reset(partition, -1)
                subscription.set_reset_pending([partition], float("inf"))

    def _note(self, error: KafkaError, topic: str | None = None) -> None:
        """Queue an error event; called from any thread."""
        self._events.append(_event(error, topic))

    def _client_error(self, error: KafkaError) -> None:
        """An error of no one topic; called from any thread."""
        callback = self._plan.on_error
        if callback is not None:
            self._calls.append(lambda: callback(error))
        elif error.code() in _WORTH_AN_EVENT:
            self._note(error)

    def _note_ends(self) -> None:
        if self._positions is None:
            return
        for partition in self._assignment.current():
            state = self._positions.get(partition)
            position = None if state is None else state.position
            if position is None or partition in self._assignment.paused:
                continue
            at = position.offset
            end = self._watch.end(partition, read_committed=self._plan.read_committed)
            if end is None or at < end or self._ends.get(partition) == at:
                continue
            if self._buffer.holds(partition):
                continue
            self._ends[partition] = at
            error = KafkaError(KafkaError._PARTITION_EOF, f"no more messages at offset {at}")
            self._events.append(_event(error, partition.topic, partition.partition, at))

    def _notice_long_pause(self, now: float) -> None:
        if self._polled_at is None or self._native is None:
            return
        pause = now - self._polled_at
        if pause > self._plan.max_poll_interval and self._assignment.owned:
            text = f"no poll for {pause:.1f} s, more than max.poll.interval.ms"
            self._events.append(_event(KafkaError(KafkaError._MAX_POLL_EXCEEDED, text)))
            # What is buffered belongs to somebody else by now.
            self._interrupted(list(self._assignment.owned))

    # -- assignment ------------------------------------------------------------------------------

    def _took(self, partitions: list[Any]) -> None:
        self._interrupted(partitions)
        self._store.forget(partitions)

    def _interrupted(self, partitions: list[Any]) -> None:
        """Nothing that was fetched of these partitions may be delivered any more."""
        for partition in partitions:
            first = self._buffer.first_offset(partition)
            if first is not None:
                # kafka-python believes them read, and may keep the partition in the end.
                self._assignment.start_at(partition, first)
            self._buffer.drop(partition)
            self._ends.pop(partition, None)
            self._watch.marks.pop(partition, None)

    def _leaving(self, partitions: list[Any], commit: bool) -> None:
        if commit:
            self._committer.commit_due(partitions)
        self._interrupted(partitions)
        self._store.forget(partitions)

    def subscribe(
        self,
        topics: Sequence[str],
        on_assign: AssignmentCallback | None,
        on_revoke: AssignmentCallback | None,
        on_lost: AssignmentCallback | None,
    ) -> None:
        self._check_open()
        self._health.forget_topics()
        self._assignment.subscribe(topics, Callbacks(on_assign, on_revoke, on_lost))

    def unsubscribe(self) -> None:
        self._check_open()
        self._assignment.drop_all()

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._check_open()
        self._health.forget_topics()
        self._assignment.assign(partitions)

    def unassign(self) -> None:
        self._check_open()
        self._assignment.unassign()

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._check_open()
        self._assignment.incremental_assign(partitions)

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        self._check_open()
        self._assignment.incremental_unassign(partitions)

    def assignment(self) -> list[TopicPartition]:
        self._check_open()
        return [TopicPartition(tp.topic, tp.partition) for tp in self._assignment.current()]

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._check_open()
        for tp in map(native_partition, partitions):
            if tp in self._assignment.owned:
                self._assignment.pause(tp)
                self._buffer.withhold(tp)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._check_open()
        for tp in map(native_partition, partitions):
            self._assignment.resume(tp)
            self._buffer.release(tp)
            self._ends.pop(tp, None)

    def seek(self, partition: TopicPartition) -> None:
        self._check_open()
        tp = native_partition(partition)
        if self._assignment.set_start(tp, partition.offset):
            return
        if tp not in self._assignment.owned or self._native is None:
            raise kafka_exception(KafkaError._STATE, f"{tp.topic} [{tp.partition}] is not assigned")
        self._buffer.drop(tp)
        self._ends.pop(tp, None)
        offset = partition.offset
        if offset in {OFFSET_STORED, OFFSET_INVALID}:
            offset = self.committed([partition], self._plan.request_timeout)[0].offset
            if offset < 0:
                self._native._subscription.request_offset_reset(tp)
                return
        self._assignment.start_at(tp, offset)

    # -- offsets ---------------------------------------------------------------------------------

    def commit(
        self, offsets: Sequence[TopicPartition] | None, asynchronous: bool
    ) -> list[TopicPartition] | None:
        self._check_open()
        chosen = self._committer.choose(offsets)
        self._opened_within(self._plan.request_timeout)
        if asynchronous:
            self._committer.commit_soon(chosen)
            return None
        with mapped():
            return self._committer.commit(chosen)

    def store_offsets(self, offsets: Sequence[TopicPartition]) -> None:
        self._check_open()
        if self._plan.auto_store:
            raise kafka_exception(
                KafkaError._INVALID_ARG, "store_offsets() needs enable.auto.offset.store=false"
            )
        chosen = from_application(offsets)
        owned = set(self._assignment.current())
        for tp in chosen:
            if tp not in owned:
                raise kafka_exception(
                    KafkaError._STATE, f"{tp.topic} [{tp.partition}] is not assigned"
                )
        self._store.stored.update(chosen)

    def committed(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        self._check_open()
        with mapped():
            return committed_offsets(self._opened_within(timeout), partitions, timeout)

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        self._check_open()
        position = self._store.position
        return [
            TopicPartition(tp.topic, tp.partition, position(native_partition(tp)))
            for tp in partitions
        ]

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float, cached: bool
    ) -> tuple[int, int]:
        self._check_open()
        tp = native_partition(partition)
        if cached:
            marks = self._watch.marks.get(tp)
            return (OFFSET_INVALID, OFFSET_INVALID) if marks is None else (marks.low, marks.high)
        with mapped():
            return watermarks(self._opened_within(timeout), tp, timeout)

    def offsets_for_times(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        self._check_open()
        with mapped():
            return offsets_at(self._opened_within(timeout), partitions, timeout)

    # -- the rest --------------------------------------------------------------------------------

    def list_topics(self, topic: str | None, timeout: float) -> ClusterMetadata:
        self._check_open()
        return query_metadata(self._opener, topic, timeout, self._plan.servers)

    def consumer_group_metadata(self) -> object:
        self._check_open()
        if self._native is None:
            return ConsumerGroupMetadata(group_id=self._plan.kwargs["group_id"])
        return self._native.group_metadata()

    def memberid(self) -> str | None:
        self._check_open()
        return None if self._native is None else self._native.group_metadata().member_id or None

    def set_sasl_credentials(self, username: str, password: str) -> None:
        self._check_open()
        protect_logs(username, password)
        kwargs = self._plan.kwargs
        if "sasl_plain_username" not in kwargs:
            raise kafka_exception(
                KafkaError._STATE, "the consumer does not use SASL PLAIN or SCRAM"
            )
        kwargs["sasl_plain_username"] = username
        kwargs["sasl_plain_password"] = password
        if self._opener.client is not None:
            update_credentials(self._opener.client, username, password)

    def close(self) -> None:
        if self._closed:
            return
        self._troubles.closing = True
        try:
            if self._native is None:
                self._opener.abandon()
                self._native = self._opener.native
            if self._native is not None:
                self._close_native()
        finally:
            self._closed = True
            self._buffer.clear()
            self._events.clear()
        self._assignment.raise_callback_error()

    def _close_native(self) -> None:
        try:
            with mapped():
                if self._assignment.topics_of_group() is None:
                    self._committer.commit_due(None)  # no callback will come to do it
                self._native.close(autocommit=False)
        finally:
            self._committer.stop()
            self._health.stop()
        self._serve_calls()

    def _serve_calls(self) -> None:
        """``on_commit`` and ``error_cb``, on this thread."""
        while self._calls:
            self._calls.popleft()()

    def _opened_within(self, timeout: float) -> Any:
        """The native consumer; KafkaException ``_TIMED_OUT`` when it is not there in time."""
        if self._native is None:
            with mapped():
                native = self._opener.wait(None if timeout < 0 else timeout)
            if native is None:
                raise kafka_exception(KafkaError._TIMED_OUT, "the cluster cannot be reached")
            self._opened(native)
        return self._native

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("Consumer closed")


def _event(
    error: KafkaError,
    topic: str | None = None,
    partition: int | None = None,
    offset: int | None = None,
) -> Message:
    return Message(topic=topic, partition=partition, offset=offset, error=error)
