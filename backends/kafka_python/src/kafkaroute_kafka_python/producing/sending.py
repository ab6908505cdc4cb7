"""What a producer does for each message. Compiled in wheels for a platform."""

from __future__ import annotations

import time
from typing import Protocol

from kafkaroute.backend.contract import DeliveryCallback, HeadersInput, Sender
from kafkaroute.errors import ClosedError
from kafkaroute.messages import KafkaError, kafka_exception

from ..errors import failure
from ..library import kp
from ..loose import Data, Number
from ..messages import to_bytes, write_headers
from ..translate import ProducerPlan
from .appender import Appender, Pairs
from .reports import Entry, Reports
from .topic_keeper import TopicKeeper
from .topics import Topic, Waiting
from .transactions import Transactions

__all__ = ["make_sender"]

_NO_HEADERS: Pairs = []


class Sending(Protocol):
    """What sending needs of the producer."""

    _append: Appender | None
    _closed: bool
    _default_callback: DeliveryCallback | None
    _keeper: TopicKeeper
    _plan: ProducerPlan
    _reports: Reports
    _transactions: Transactions | None


def make_sender(producer: Sending, state: Topic) -> Sender:  # noqa: C901  # it holds send()
    """`producer`'s sender of a topic."""
    reports = producer._reports
    max_size = producer._plan.max_message_bytes
    default_callback = producer._default_callback
    transactions = producer._transactions
    monotonic = time.monotonic
    wall = time.time

    def send(  # noqa: C901  # each branch is taken for each message; calls would cost more
        value: Data = None,
        key: Data = None,
        partition: Number = -1,
        on_delivery: DeliveryCallback | None = None,
        timestamp: Number = 0,
        headers: HeadersInput | None = None,
        /,
    ) -> None:
        if transactions is not None:
            transactions.check_can_send()
        size = 0
        if value is not None:
            if value.__class__ is not bytes:
                value = to_bytes(value, "value")
            size = len(value)
        if key is not None:
            if key.__class__ is not bytes:
                key = to_bytes(key, "key")
            size += len(key)
        if size > max_size:
            raise kafka_exception(KafkaError.MSG_SIZE_TOO_LARGE)
        pairs = write_headers(headers) if headers else _NO_HEADERS
        if not timestamp:
            timestamp = int(wall() * 1000)
        now = monotonic()
        callback = default_callback if on_delivery is None else on_delivery
        reports.accept(size)
        entry: Entry = size
        try:
            if callback is not None:
                entry = (callback, key, value, size, timestamp, now)
            if state.ready:
                if partition < 0:
                    partition = state.choose(key, now)
                producer._append(  # type: ignore[misc]  # there is one when a topic is ready
                    state.partitions[partition],
                    timestamp,
                    key,
                    value,
                    pairs,
                    entry,
                    now,
                )
            else:
                message = Waiting(partition, timestamp, key, value, pairs, entry, now)
                _wait(producer, state, message)
        except BaseException as exc:
            reports.release(size)
            raise _refusal(exc) from None

    return send


def _wait(producer: Sending, state: Topic, message: Waiting) -> None:
    if producer._closed:
        raise ClosedError("the producer is closed")
    if state.error is not None:
        raise kafka_exception(state.error.code())
    if state.wait(message):
        producer._keeper.nudge()
        return
    # The topic became known between the two looks.
    number = message.partition
    if number < 0:
        number = state.choose(message.key, message.accepted_at)
    assert producer._append is not None
    producer._append(state.partitions[number], *message[1:])


def _refusal(exc: BaseException) -> BaseException:
    """What produce() raises when the message could not be queued."""
    if isinstance(exc, IndexError):
        return kafka_exception(KafkaError._UNKNOWN_PARTITION)
    if isinstance(exc, kp.KafkaError | AssertionError):
        return failure(exc)
    return exc
