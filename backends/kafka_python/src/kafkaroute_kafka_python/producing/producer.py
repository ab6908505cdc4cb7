"""A producer over kafka-python that behaves as librdkafka's does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from threading import Lock
from typing import Any, Self

from kafkaroute.backend.contract import BackendProducer, DeliveryCallback, Sender
from kafkaroute.errors import ClosedError
from kafkaroute.messages import ClusterMetadata, KafkaError, TopicPartition, kafka_exception

from ..errors import mapped
from ..internals import may_be_fast, private
from ..library import KafkaProducer
from ..network.credentials import replace_credentials
from ..network.metadata_query import query_metadata
from ..network.opener import Opener
from ..network.producer_client import make_producer_client
from ..network.troubles import Troubles
from ..translate import ProducerPlan
from .appender import Appender, make_appender, without_nulls
from .expiry import keep_expiring
from .purge import Purger
from .reports import Reports
from .sending import make_sender
from .topic_keeper import TopicKeeper
from .topics import Topic
from .transactions import Transactions

__all__ = ["KafkaPythonProducer"]

#: Seconds between two looks of flush() at whether the client has opened.
_OPENING = 0.05


class KafkaPythonProducer(BackendProducer):
    """Returns at once from its constructor: the client opens on a thread of its own."""

    def __init__(
        self,
        plan: ProducerPlan,
        on_failure: DeliveryCallback | None = None,
        *,
        only_failures: bool = False,
    ) -> None:
        self._plan = plan
        self._default_callback = plan.on_delivery if on_failure is None else on_failure
        self._reports = Reports(
            plan.max_messages,
            plan.max_bytes,
            only_errors=plan.only_errors or only_failures,
            failures_only=on_failure,
        )
        self._keeper = TopicKeeper(self._reports, plan.message_timeout, plan.propagation_max)
        self._troubles = Troubles(self._trouble)
        self._closed = False
        self._close_lock = Lock()
        self._append: Appender | None = None
        self._purger: Purger | None = None
        self._opener: Opener[Any] = Opener(
            "producer",
            build=lambda factory: KafkaProducer(**plan.kwargs, kafka_client=factory),
            make_client=partial(make_producer_client, self._troubles),
            client_kwargs=plan.client_kwargs,
            on_open=self._opened,
            on_trouble=self._troubles.tell,
            secrets=plan.secrets,
        )
        self._transactions = (
            Transactions(self._opener, self, self._reports) if plan.transactional else None
        )
        self._opener.start()

    def _opened(self, native: Any) -> None:
        config = private(native, "_accumulator", "config")
        if config is not None:
            # The constructor insists on room for a whole request; librdkafka does not.
            config["delivery_timeout_ms"] = self._plan.message_timeout * 1000
        self._purger = Purger(native)
        keep_expiring(native, self._opener.client, self._purger)
        self._append = make_appender(native, self._reports, self._plan.batch_messages)
        self._keeper.opened(self._opener.client, self._append)

    def _trouble(self, error: KafkaError) -> None:
        callback = self._plan.on_error
        if callback is not None:
            self._reports.call(lambda: callback(error))

    def sender(self, topic: str) -> Sender:
        send = make_sender(self, self._topic(topic))
        return send if may_be_fast() else without_nulls(send)

    def _topic(self, name: str) -> Topic:
        topic = self._keeper.topics.get(name)
        if topic is None:
            plan = self._plan
            linger = plan.sticky_linger if plan.keyless_is_sticky else 0.0
            topic = Topic(name, plan.partitioner, linger)
            # Two threads may race here; the first one's stays.
            topic = self._keeper.topics.setdefault(name, topic)
        return topic

    def poll(self, timeout: float) -> int:
        self._check_open()
        return self._reports.serve(timeout)

    def flush(self, timeout: float) -> int:
        self._check_open()
        deadline = None if timeout < 0 else time.monotonic() + timeout
        with _Flushing(self._opener) as flushing:
            while True:
                self._reports.serve(0)
                if not self._reports.messages:
                    return 0
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return self._reports.messages
                if not flushing.begin():
                    left = _OPENING if left is None else min(left, _OPENING)
                self._reports.wait_change(left)

    def __len__(self) -> int:
        return self._reports.messages

    def list_topics(self, topic: str | None, timeout: float) -> ClusterMetadata:
        self._check_open()
        return query_metadata(self._opener, topic, timeout, self._plan.servers)

    def purge(self, in_queue: bool, in_flight: bool, blocking: bool) -> None:
        self._check_open()
        self._fail(in_queue=in_queue, in_flight=in_flight)

    def _fail(self, *, in_queue: bool, in_flight: bool) -> None:
        error = KafkaError(KafkaError._PURGE_QUEUE)
        with ExitStack() as locks:
            topics = list(self._keeper.topics.values())
            for topic in topics:
                # What waits for its topic is younger than all batches, and must stay so.
                locks.enter_context(topic.lock)
            if self._purger is not None:
                self._purger.fail(in_queue=in_queue, in_flight=in_flight)
            if in_queue:
                for topic in topics:
                    topic.fail_waiting(error, self._reports)

    def set_sasl_credentials(self, username: str, password: str) -> None:
        self._check_open()
        replace_credentials(self._plan.kwargs, self._opener.client, username, password)

    def close(self, timeout: float) -> int:
        """As the contract says; the first exception of a delivery callback is raised at the end,
        when every message was reported and the client is freed."""
        with self._close_lock:
            if self._closed:
                return 0
            serving = _Serving()
            left = serving.flush(self, timeout)
            self._closed = True
            self._troubles.closing = True
            for topic in list(self._keeper.topics.values()):
                topic.ready = False
            self._keeper.close()
            self._opener.abandon()
            if left:
                self._fail(in_queue=True, in_flight=True)
            if self._opener.native is not None:
                _close_native(self._opener.native)
            serving.serve(self._reports)
            if serving.failure is not None:
                raise serving.failure
            return left

    def init_transactions(self, timeout: float) -> None:
        self._transactional().init(timeout)

    def begin_transaction(self) -> None:
        self._transactional().begin()

    def commit_transaction(self, timeout: float) -> None:
        self._transactional().commit(timeout)

    def abort_transaction(self, timeout: float) -> None:
        self._transactional().abort(timeout)

    def send_offsets_to_transaction(
        self, offsets: Sequence[TopicPartition], group_metadata: object, timeout: float
    ) -> None:
        self._transactional().send_offsets(offsets, group_metadata, timeout)

    def _transactional(self) -> Transactions:
        self._check_open()
        if self._transactions is None:
            raise kafka_exception(
                KafkaError._NOT_CONFIGURED, "the producer has no transactional.id"
            )
        return self._transactions

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the producer is closed")


class _Serving:
    """Serves a producer's callbacks to the end, whatever they raise."""

    def __init__(self) -> None:
        self.failure: Exception | None = None

    def flush(self, producer: BackendProducer, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while True:
            left = timeout if timeout < 0 else max(0.0, deadline - time.monotonic())
            try:
                return producer.flush(left)
            except Exception as exc:
                self.failure = self.failure or exc

    def serve(self, reports: Reports) -> None:
        while True:
            try:
                if not reports.serve(0):
                    return
            except Exception as exc:
                self.failure = self.failure or exc


class _Flushing:
    """While a flush waits, kafka-python sends without lingering."""

    def __init__(self, opener: Opener[Any]) -> None:
        self._opener = opener
        self._counter: Any = None

    def begin(self) -> bool:
        """Start it as soon as the native producer is there; False before that."""
        native = self._opener.native
        if native is None:
            return False
        if self._counter is None:
            accumulator = private(native, "_accumulator")
            counter = private(accumulator, "_flushes_in_progress")
            wakeup = private(native, "_sender", "wakeup")
            if counter is not None and wakeup is not None:
                accumulator.begin_flush()
                self._counter = counter
                wakeup()
        return True

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        if self._counter is not None:
            self._counter.decrement()


def _close_native(native: Any) -> None:
    sender = private(native, "_sender")
    with mapped():
        if sender is not None:
            # close() alone waits for what was failed already, and leaves the thread behind.
            sender.force_close()
            sender.join(5)
        native.close(timeout=1)
