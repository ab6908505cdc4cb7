"""One confluent-kafka consumer behind kafkaroute's contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

from .config import construct
from .errors import NATIVE_FAILURES, translated
from .forks import NativeConsumer, inherited, track
from .logs import Redactor
from .messages import (
    ConsumedMessage,
    to_cluster_metadata,
    to_native_partition,
    to_native_partitions,
    to_partitions,
)
from .returned import Returned

__all__ = ["ConfluentConsumer"]


class ConfluentConsumer(BackendConsumer):
    """See :class:`kafkaroute.backend.contract.BackendConsumer`."""

    def __init__(self, config: Mapping[str, ConfigValue], origins: Mapping[str, Origin]) -> None:
        self._redact = Redactor(config)
        self._native: Any = construct(NativeConsumer, config, self._redact, consumer=True)
        track(self._native)
        self._origins = origins
        self._closed = False
        self._returned = Returned(self._native, config)
        self._native_poll = self._native.poll

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

    # Reading. Both calls make one small object a message and nothing else.

    def poll(self, timeout: float) -> Message | None:
        try:
            native = self._native_poll(timeout)
        except NATIVE_FAILURES as error:
            return self._raise(error)  # type: ignore[no-any-return]  # it never returns
        if native is None:
            return None
        message = ConsumedMessage()
        message._native = native
        message._origin = self._origins.get(native.topic())
        return message  # type: ignore[return-value]  # registered as a Message

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        natives = self._call(self._native.consume, num_messages, timeout)
        if not natives:
            return []
        # One copy for the batch instead of a look-up for each message: it keeps what was true at
        # delivery, and most messages are never asked where they came from.
        origins = dict(self._origins)
        new = ConsumedMessage
        messages: list[Any] = []
        for native in natives:
            message = new()
            message._native = native
            message._origin = origins
            messages.append(message)
        return messages

    # The group.

    def subscribe(
        self,
        topics: Sequence[str],
        on_assign: AssignmentCallback | None,
        on_revoke: AssignmentCallback | None,
        on_lost: AssignmentCallback | None,
    ) -> None:
        callbacks = {"on_assign": on_assign, "on_revoke": on_revoke, "on_lost": on_lost}
        came = self._returned.came
        given = {
            name: _adapted(callback, came, empty=name == "on_assign")
            for name, callback in callbacks.items()
            if callback
        }
        self._call(self._native.subscribe, list(topics), **given)

    def unsubscribe(self) -> None:
        self._call(self._native.unsubscribe)

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._call(self._native.assign, to_native_partitions(partitions))

    def unassign(self) -> None:
        self._call(self._native.unassign)

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._call(self._native.incremental_assign, to_native_partitions(partitions))

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        self._call(self._native.incremental_unassign, to_native_partitions(partitions))

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
        if offsets is None and (owed := self._call(self._returned.owed)):
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
        """What is stored, and what librdkafka has forgotten."""
        answers: list[TopicPartition] = []
        try:
            answers += self._commit(None, asynchronous) or ()
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                raise
        answers += self._commit(owed, asynchronous) or ()
        self._returned.settled()
        return None if asynchronous else answers

    def store_offsets(self, offsets: Sequence[TopicPartition]) -> None:
        self._call(self._native.store_offsets, offsets=to_native_partitions(offsets))

    def committed(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        natives = to_native_partitions(partitions)
        return to_partitions(self._call(self._native.committed, natives, timeout))

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        natives = to_native_partitions(partitions)
        return self._returned.positions(to_partitions(self._call(self._native.position, natives)))

    def seek(self, partition: TopicPartition) -> None:
        self._call(self._returned.sought, partition)
        self._call(self._native.seek, to_native_partition(partition))

    def put_back(self, partition: TopicPartition) -> None:
        self._call(self._returned.put_back, partition)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._call(self._native.pause, to_native_partitions(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._call(self._native.resume, to_native_partitions(partitions))

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
        return to_cluster_metadata(self._call(self._native.list_topics, topic, timeout))

    def set_sasl_credentials(self, username: str, password: str) -> None:
        self._redact.add((username, password))
        self._call(self._native.set_sasl_credentials, username, password)

    def close(self) -> None:
        if self._closed or inherited(self._native):
            return
        try:
            self._call(self._native.close)
        finally:
            self._closed = True

    def __repr__(self) -> str:
        return f"<ConfluentConsumer {'closed' if self._closed else 'open'}>"


def _adapted(
    callback: AssignmentCallback, came: AssignmentCallback, *, empty: bool
) -> Callable[[Any, Any], None]:
    """confluent-kafka's form of `callback`, after `came`; it assigns or unassigns by itself what
    the callback does not. `empty`: call it without partitions, too."""

    def adapted(_consumer: Any, natives: Any) -> None:
        if natives or empty:
            partitions = to_partitions(natives)
            came(partitions)
            callback(partitions)

    return adapted
