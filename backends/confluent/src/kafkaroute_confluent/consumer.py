"""One confluent-kafka consumer behind kafkaroute's contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from kafkaroute.backend.contract import AssignmentCallback, BackendConsumer
from kafkaroute.backend.settings_keys import ConfigValue
from kafkaroute.errors import KafkaException
from kafkaroute.messages import (
    ClusterMetadata,
    KafkaError,
    Message,
    Origin,
    TopicPartition,
    kafka_exception,
)

from .callbacks import Kept
from .config import construct
from .consumed import next_of, wrapped
from .errors import NATIVE_FAILURES, refused, translated
from .fetching import Fetching
from .forks import NativeConsumer, inherited, track
from .logs import Redactor
from .messages import (
    to_cluster_metadata,
    to_native_partition,
    to_native_partitions,
    to_partitions,
)
from .nested import Serving
from .positions import STORE, Positions
from .waiting import Waiting, keys_in

__all__ = ["ConfluentConsumer"]


class ConfluentConsumer(BackendConsumer):
    """See :class:`kafkaroute.backend.contract.BackendConsumer`."""

    def __init__(self, config: Mapping[str, ConfigValue], origins: Mapping[str, Origin]) -> None:
        self._redact = Redactor(config)
        self._kept = Kept()
        own = {**self._kept.settings(config), STORE: False}
        self._native: Any = construct(
            NativeConsumer, own, self._redact, consumer=True, failed=self._kept.keep
        )
        track(self._native)
        self._origins = origins
        self._closed = False
        self._native_poll = self._native.poll
        self._serving = Serving(config, self._redact)
        self._waiting = Waiting()
        self._positions = Positions(self._native, config, self._waiting)
        self._fetching = Fetching(self._native, self._waiting, self._positions, self._serving)
        #: What gather() left waiting, and whether something was handed out and not stored before.
        self._gathered: object = None
        self._unstored = True

    def _raise(self, error: Exception) -> Any:
        replacement = translated(error, closed=self._closed)
        if replacement is error:
            raise error
        raise replacement from None

    def _call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except NATIVE_FAILURES as error:
            return self._raise(error)

    # Reading. Each call makes one small object a message and nothing else; what it makes is
    # registered as a Message.

    def fetched(self) -> Message | None:
        if self._fetching.until > monotonic():
            return next_of(self._waiting.rest, self._origins)  # type: ignore[return-value]
        return None

    def ready(self) -> Message | None:
        if (message := self.fetched()) is not None:
            return message
        self._call(self._fetching.ahead)
        self._kept.raise_kept()
        return next_of(self._waiting.rest, self._origins)  # type: ignore[return-value]

    def poll(self, timeout: float) -> Message | None:
        if len(self._waiting):
            return self.ready()
        self._store_in_time()
        native = self._call(self._serving.call, self._native_poll, timeout)
        found = [] if native is None else [native]
        self._safe(found)
        self._waiting.handed_out(found)
        return next_of(iter(found), self._origins)  # type: ignore[return-value]

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        waiting = self._waiting
        if (more := num_messages - len(waiting)) > 0:
            self._store_in_time()
            self._fetching.keep(self._call(self._fetching.take, more, timeout))
            self._kept.raise_kept()
        if not (natives := waiting.take(num_messages)):
            return []
        # One copy for the batch instead of a look-up for each message: it keeps what was true at
        # delivery, and most messages are never asked where they came from.
        return wrapped(natives, dict(self._origins))

    def gather(self, num_messages: int, timeout: float) -> int:
        waiting = self._waiting
        # Storing looks at each message that waits: not again as long as none was handed out.
        self._unstored |= waiting.mark() != self._gathered
        if self._unstored and (now := monotonic()) >= self._positions.due:
            self._call(self._positions.store_in_time, now)
            self._unstored = False
        if (more := num_messages - len(waiting)) > 0:
            self._fetching.keep(self._call(self._fetching.take, more, timeout))
            self._kept.raise_kept()
        self._gathered = waiting.mark()
        return min(len(waiting), num_messages)

    def _store_in_time(self) -> None:
        if (now := monotonic()) >= self._positions.due:
            self._call(self._positions.store_in_time, now)

    def _safe(self, natives: list[Any]) -> None:
        """Raise what a callback has raised meanwhile; what came is handed out by the next call."""
        if self._kept.failure is not None:
            self._waiting.add(natives)
            self._kept.raise_kept()

    # The group.

    def subscribe(
        self,
        topics: Sequence[str],
        on_assign: AssignmentCallback | None,
        on_revoke: AssignmentCallback | None,
        on_lost: AssignmentCallback | None,
    ) -> None:
        self._call(
            self._native.subscribe,
            list(topics),
            on_assign=self._kept.guarded(lambda _, natives: self._came(natives, on_assign)),
            on_revoke=self._kept.guarded(lambda _, natives: self._went(natives, on_revoke)),
            on_lost=self._kept.guarded(
                lambda _, natives: self._went(natives, on_lost or on_revoke)
            ),
        )

    # confluent-kafka assigns and unassigns by itself what these do not.

    def _came(self, natives: Sequence[Any], callback: AssignmentCallback | None) -> None:
        keys = keys_in(natives)
        try:
            if callback is not None:
                callback(to_partitions(natives))
        finally:
            self._positions.placed(keys - self._positions.own)

    def _went(self, natives: Sequence[Any], callback: AssignmentCallback | None) -> None:
        keys = keys_in(natives)
        self._positions.leave(keys)
        self._fetching.taken(keys)
        try:
            if callback is not None and natives:
                callback(to_partitions(natives))
        finally:
            self._positions.left(keys)

    def unsubscribe(self) -> None:
        self._call(self._positions.leave_all)
        self._call(self._native.unsubscribe)
        self._kept.raise_kept()

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._call(self._positions.leave_all)
        self._call(self._native.assign, to_native_partitions(partitions))
        self._positions.reset()
        self._placed(partitions)

    def unassign(self) -> None:
        self._call(self._positions.leave_all)
        self._call(self._native.unassign)
        self._positions.reset()

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._call(self._native.incremental_assign, to_native_partitions(partitions))
        self._placed(partitions)

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        keys = keys_in(partitions)
        self._call(self._positions.leave, keys)
        self._call(self._native.incremental_unassign, to_native_partitions(partitions))
        self._positions.left(keys)

    def _placed(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions.placed(keys_in(partitions))
        self._fetching.placed(partitions)

    def assignment(self) -> list[TopicPartition]:
        return to_partitions(self._call(self._native.assignment))

    def consumer_group_metadata(self) -> object:
        return self._call(self._native.consumer_group_metadata)

    def memberid(self) -> str | None:
        return self._call(self._native.memberid) or None

    # Offsets.

    def commit(
        self, offsets: Sequence[TopicPartition] | None, asynchronous: bool
    ) -> list[TopicPartition] | None:
        if offsets is None:
            self._call(self._positions.store)
            if owed := self._call(self._positions.owed):
                return self._commit_owed(owed, asynchronous)
        return self._commit(offsets, asynchronous)

    def _commit(
        self, offsets: Sequence[TopicPartition] | None, asynchronous: bool
    ) -> list[TopicPartition] | None:
        chosen = {} if offsets is None else {"offsets": to_native_partitions(offsets)}
        committed = self._call(self._native.commit, asynchronous=asynchronous, **chosen)
        return None if asynchronous else to_partitions(committed or ())

    def _commit_owed(
        self, owed: list[TopicPartition], asynchronous: bool
    ) -> list[TopicPartition] | None:
        """What is stored, and what librdkafka would not commit."""
        answers: list[TopicPartition] = []
        try:
            answers += self._commit(None, asynchronous) or ()
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                raise
        answers += self._commit(owed, asynchronous) or ()
        self._positions.settled()
        return None if asynchronous else answers

    def store_offsets(self, offsets: Sequence[TopicPartition]) -> None:
        if self._positions.stores and not self._closed:
            raise refused(KafkaError._INVALID_ARG, f"store_offsets() needs {STORE}=false")
        self._call(self._native.store_offsets, offsets=to_native_partitions(offsets))

    def committed(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        natives = to_native_partitions(partitions)
        return to_partitions(self._call(self._native.committed, natives, timeout))

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        answers = to_partitions(self._call(self._native.position, to_native_partitions(partitions)))
        self._positions.correct(answers)
        return answers

    def seek(self, partition: TopicPartition) -> None:
        self._call(self._positions.store)
        self._seek(partition)
        self._positions.sought((partition.topic, partition.partition))

    def put_back(self, partition: TopicPartition) -> None:
        self._seek(partition)
        self._call(self._positions.put_back, partition)

    def _seek(self, partition: TopicPartition) -> None:
        self._call(self._native.seek, to_native_partition(partition))
        self._fetching.sought(partition)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._call(self._native.pause, to_native_partitions(partitions))
        self._waiting.pause(keys_in(partitions))
        self._fetching.paused()

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._call(self._native.resume, to_native_partitions(partitions))
        self._waiting.resume(keys_in(partitions))

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float, cached: bool
    ) -> tuple[int, int]:
        native = to_native_partition(partition)
        offsets = self._call(self._native.get_watermark_offsets, native, timeout, cached)
        if offsets is None:
            raise kafka_exception(KafkaError._TIMED_OUT, "no watermark offsets in time")
        low, high = offsets
        return low, high

    def offsets_for_times(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        natives = to_native_partitions(partitions)
        return to_partitions(self._call(self._native.offsets_for_times, natives, timeout))

    # The client.

    def list_topics(self, topic: str | None, timeout: float) -> ClusterMetadata:
        answer = self._call(self._serving.list_topics, self._native, topic, timeout)
        return to_cluster_metadata(answer)

    def set_sasl_credentials(self, username: str, password: str) -> None:
        self._redact.add((username, password))
        self._call(self._native.set_sasl_credentials, username, password)

    def close(self) -> None:
        if self._closed or inherited(self._native):
            return
        try:
            self._call(self._positions.leave_all)
        finally:
            try:
                self._call(self._native.close)
            finally:
                self._closed = True
        self._kept.raise_kept()

    def __repr__(self) -> str:
        return f"<ConfluentConsumer {'closed' if self._closed else 'open'}>"
