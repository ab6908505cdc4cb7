"""A consumer over kafka-python that behaves as librdkafka's does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

from ..errors import mapped
from ..library import ConsumerGroupMetadata, KafkaConsumer
from ..network.credentials import replace_credentials
from ..network.health import Health
from ..network.metadata_query import query_metadata
from ..network.opener import Opener
from ..network.troubles import Troubles
from ..translate import ConsumerPlan
from .assignment import Assignment, Callbacks
from .committer import Committer
from .fetch_watch import FetchWatch, make_consumer_client
from .offset_queries import OffsetQuestions, committed_offsets
from .positions import OffsetStore, Stored, from_application, native_partition
from .reader import Reader
from .rebalance import make_assignors

__all__ = ["KafkaPythonConsumer"]

#: Milliseconds to leave the group at the end, as librdkafka gives it; kafka-python gives itself the
#: request timeout, and a pending join keeps the broker from answering (Kafka answers the requests of
#: a connection one after the other).
_LEAVE_MS = 5000


class KafkaPythonConsumer(BackendConsumer):
    """Returns at once from its constructor: the client opens on a thread of its own."""

    def __init__(self, plan: ConsumerPlan, origins: Mapping[str, Origin]) -> None:
        self._plan = plan
        self._closed = False
        self._native: Any = None
        self._store = OffsetStore()
        self._watch = FetchWatch()
        reader = Reader(plan, origins, self._store, self._watch, self._open_within)
        self._reader = reader
        self._committer = Committer(
            self._store,
            plan.on_commit,
            plan.request_timeout,
            plan.auto_commit_interval if plan.auto_commit else None,
            reader.calls.append,
        )
        self._assignment = Assignment(self._took, self._leaving, reader.interrupted)
        self._health = Health(reader.note, self._assignment.topics)
        reader.attach(self._assignment, self._health, self._committer)
        self._troubles = Troubles(reader.client_error)
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
        self._questions = OffsetQuestions(
            self._need,
            lambda topic, timeout: query_metadata(self._opener, topic, timeout, plan.servers),
        )
        self._opener.start()

    def _open_within(self, timeout: float) -> Any:
        """The native consumer, or None when it is not there within `timeout` seconds."""
        if self._native is None:
            with mapped():
                native = self._opener.wait(None if timeout < 0 else timeout)
            if native is not None:
                self._native = native
                self._reader.opened(native)
                self._committer.opened(native)
                self._assignment.opened(native, self._opener.client)
        return self._native

    def _need(self, timeout: float) -> Any:
        """The native consumer; KafkaException ``_TIMED_OUT`` when it is not there in time."""
        native = self._open_within(timeout)
        if native is None:
            raise kafka_exception(KafkaError._TIMED_OUT, "the cluster cannot be reached")
        return native

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("Consumer closed")

    def poll(self, timeout: float) -> Message | None:
        self._check_open()
        return self._reader.poll(timeout)

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        self._check_open()
        if num_messages < 0:
            raise ValueError("num_messages must not be negative")
        self._reader.gather(num_messages, timeout)
        return self._reader.take(num_messages)

    def gather(self, num_messages: int, timeout: float) -> int:
        self._check_open()
        return self._reader.gather(num_messages, timeout)

    # -- assignment ------------------------------------------------------------------------------

    def _took(self, partitions: list[Any]) -> None:
        self._reader.interrupted(partitions)
        self._store.forget(partitions)

    def _leaving(self, partitions: list[Any], commit: bool) -> None:
        if commit:
            self._committer.commit_due(partitions)
        self._reader.interrupted(partitions)
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
                self._reader.paused(tp)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._check_open()
        for tp in map(native_partition, partitions):
            self._assignment.resume(tp)
            self._reader.resumed(tp)

    def seek(self, partition: TopicPartition) -> None:
        self._check_open()
        tp = native_partition(partition)
        if self._assignment.set_start(tp, partition.offset):
            return
        if tp not in self._assignment.owned or self._native is None:
            raise kafka_exception(KafkaError._STATE, f"{tp.topic} [{tp.partition}] is not assigned")
        self._reader.jumped(tp)
        self._store.delivered.pop(tp, None)
        offset = partition.offset
        if offset in {OFFSET_STORED, OFFSET_INVALID}:
            offset = self.committed([partition], self._plan.request_timeout)[0].offset
            if offset < 0:
                self._native._subscription.request_offset_reset(tp)
                return
        self._assignment.start_at(tp, offset)

    def put_back(self, partition: TopicPartition) -> None:
        tp = native_partition(partition)
        self.seek(partition)
        back = Stored(partition.offset)
        self._store.put_back(tp, back, stored=self._plan.auto_store)
        if self._plan.auto_store and self._plan.auto_commit:
            # What was stored may be committed already.
            self._committer.commit_soon({tp: back})

    # -- offsets ---------------------------------------------------------------------------------

    def commit(
        self, offsets: Sequence[TopicPartition] | None, asynchronous: bool
    ) -> list[TopicPartition] | None:
        self._check_open()
        chosen = self._committer.choose(offsets)
        if not chosen:
            if asynchronous and offsets is None:
                return None  # as librdkafka, which finds that out in the background
            raise kafka_exception(KafkaError._NO_OFFSET, "Local: No offset stored")
        self._need(self._plan.request_timeout)
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
            return committed_offsets(self._need(timeout), partitions, timeout)

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
            return self._questions.watermarks(tp, timeout)

    def offsets_for_times(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        self._check_open()
        with mapped():
            return self._questions.at_times(partitions, timeout)

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
        replace_credentials(self._plan.kwargs, self._opener.client, username, password)

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
            self._reader.closed()
        self._assignment.raise_callback_error()

    def _close_native(self) -> None:
        try:
            with mapped():
                self._committer.finish()
                if self._assignment.topics_of_group() is None:
                    self._committer.commit_due(None)  # no callback will come to do it
                self._native.close(autocommit=False, timeout_ms=_LEAVE_MS)
        finally:
            self._committer.stop()
            self._health.stop()
        self._reader.serve_calls()
