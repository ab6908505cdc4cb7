"""librdkafka's transactional calls over kafka-python's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Any, Protocol

from kafkaroute.messages import KafkaError, TopicPartition, kafka_exception

from ..errors import mapped
from ..library import ConsumerGroupMetadata, KafkaPartition, OffsetAndMetadata
from ..network.opener import Opener
from .reports import Reports

__all__ = ["Transactions"]


class _Flushes(Protocol):
    def flush(self, timeout: float) -> int: ...

    def purge(self, in_queue: bool, in_flight: bool, blocking: bool) -> None: ...


class _Call(Thread):
    """A blocking call of the library, which has no time-outs of its own."""

    def __init__(self, name: str, function: Callable[[], Any]) -> None:
        super().__init__(name=f"kafkaroute-{name}", daemon=True)
        self.function = function
        self.finished = Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.function()
        except BaseException as exc:
            self.error = exc
        finally:
            self.finished.set()


class Transactions:
    """Keeps the order init → begin → … → commit or abort, and bounds each call in time.

    A call that timed out goes on in the background; calling it again waits for the same one, as
    with librdkafka.
    """

    def __init__(self, opener: Opener[Any], producer: _Flushes, reports: Reports) -> None:
        self._opener = opener
        self._producer = producer
        self._reports = reports
        self._failures_before = 0
        self._running: dict[str, _Call] = {}
        self._initialised = False
        self.open = False

    def init(self, timeout: float) -> None:
        deadline = _deadline(timeout)
        native = self._native(timeout)
        # The one wait that kafka-python bounds; ours is shorter or equal.
        native.config["max_block_ms"] = _milliseconds(timeout)
        self._bounded("init_transactions", native.init_transactions, deadline)
        self._initialised = True

    def begin(self) -> None:
        if not self._initialised:
            raise kafka_exception(KafkaError._STATE, "init_transactions() was not called")
        if self.open:
            raise kafka_exception(KafkaError._STATE, "a transaction is open already")
        with mapped():
            self._native(0).begin_transaction()
        self._failures_before = self._reports.failures
        self.open = True

    def commit(self, timeout: float) -> None:
        deadline = _deadline(timeout)
        self._check_open()
        if self._producer.flush(_left(deadline)):
            raise kafka_exception(
                KafkaError._TIMED_OUT, "messages are still in flight", retriable=True
            )
        if failed := self._reports.failures - self._failures_before:
            # kafka-python would commit what is left of the transaction.
            raise kafka_exception(
                KafkaError._INCONSISTENT,
                f"{failed} message(s) failed delivery (see individual delivery reports)",
                txn_requires_abort=True,
            )
        self._bounded("commit_transaction", self._native(0).commit_transaction, deadline)
        self.open = False

    def abort(self, timeout: float) -> None:
        deadline = _deadline(timeout)
        self._check_open()
        self._producer.purge(True, False, False)
        self._bounded("abort_transaction", self._native(0).abort_transaction, deadline)
        self.open = False
        self._producer.flush(min(1.0, _left(deadline)) if timeout >= 0 else 1.0)

    def send_offsets(
        self, offsets: Sequence[TopicPartition], group_metadata: object, timeout: float
    ) -> None:
        self._check_open()
        if not isinstance(group_metadata, ConsumerGroupMetadata):
            raise kafka_exception(
                KafkaError._INVALID_ARG,
                "group_metadata must come from consumer_group_metadata() of the same backend",
            )
        wanted = {
            KafkaPartition(tp.topic, tp.partition): OffsetAndMetadata(
                tp.offset, tp.metadata or "", -1 if tp.leader_epoch is None else tp.leader_epoch
            )
            for tp in offsets
            if tp.offset >= 0
        }
        if not wanted:
            return
        native = self._native(0)
        self._bounded(
            "send_offsets_to_transaction",
            lambda: native.send_offsets_to_transaction(wanted, group_metadata),
            _deadline(timeout),
        )

    def check_can_send(self) -> None:
        """Raise ``_STATE`` unless a transaction is open."""
        self._check_open()

    def _check_open(self) -> None:
        if not self.open:
            raise kafka_exception(KafkaError._STATE, "no transaction is open")

    def _native(self, timeout: float) -> Any:
        with mapped():
            native = self._opener.wait(None if timeout < 0 else timeout)
        if native is None:
            raise kafka_exception(
                KafkaError._TIMED_OUT, "the cluster cannot be reached", retriable=True
            )
        return native

    def _bounded(self, name: str, function: Callable[[], Any], deadline: float | None) -> None:
        call = self._running.get(name)
        if call is None:
            call = self._running[name] = _Call(name, function)
            call.start()
        if not call.finished.wait(None if deadline is None else max(0.0, _left(deadline))):
            raise kafka_exception(KafkaError._TIMED_OUT, f"{name}() timed out", retriable=True)
        del self._running[name]
        if call.error is not None:
            with mapped():
                raise call.error


def _deadline(timeout: float) -> float | None:
    return None if timeout < 0 else time.monotonic() + timeout


def _left(deadline: float | None) -> float:
    return -1.0 if deadline is None else max(0.0, deadline - time.monotonic())


def _milliseconds(timeout: float) -> float:
    return 86400_000.0 if timeout < 0 else timeout * 1000
