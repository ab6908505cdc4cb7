"""One confluent-kafka producer behind kafkaroute's contract."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from types import MethodType
from typing import Any

import confluent_kafka

from kafkaroute.backend.contract import (
    BackendProducer,
    DeliveryCallback,
    HeadersInput,
    NativeSender,
    Sender,
)
from kafkaroute.backend.settings_keys import ConfigValue
from kafkaroute.messages import ClusterMetadata, TopicPartition

from .callbacks import entered
from .config import construct
from .errors import NATIVE_FAILURES, translated
from .forks import NativeProducer, inherited, track
from .logs import Redactor
from .messages import to_cluster_metadata, to_native_partitions
from .nested import aside

__all__ = ["ConfluentProducer"]

_log = logging.getLogger("kafkaroute.confluent")

#: Seconds that close() gives purged messages to be reported; 12-25 ms were measured.
_PURGE_PATIENCE = 5.0
#: Seconds that close() gives the abort of a transaction that was left open.
_ABORT_PATIENCE = 5.0
_SLICE = 0.1


class ConfluentProducer(BackendProducer):
    """See :class:`kafkaroute.backend.contract.BackendProducer`.

    ``len()`` is an upper bound: until poll() or flush() serves them, librdkafka counts its log
    lines and error events together with messages. Exceptions of delivery callbacks leave
    poll() and flush(), as with confluent-kafka itself.
    """

    def __init__(
        self,
        config: Mapping[str, ConfigValue],
        on_failure: DeliveryCallback | None = None,
        *,
        only_failures: bool = False,
    ) -> None:
        if on_failure is not None:
            # librdkafka knows one default callback; it takes messages without one of their own.
            config = {**config, "on_delivery": on_failure}
        if only_failures:
            config = {**config, "delivery.report.only.error": True}
        self._redact = Redactor(config)
        self._native: Any = construct(NativeProducer, entered(config), self._redact, consumer=False)
        self._guard = _Guard()
        self._produce, self._refuse = self._native.produce, self._guard.refuse  # made once
        track(self._native)
        self._closing = Lock()
        #: Questions to the cluster that wait for an answer.
        self._asking: list[object] = []
        self._in_transaction = False

    def sender(self, topic: str) -> Sender:
        # Positional, because the native call parses keywords slower than Python does; the callback
        # in `callback`, because callback=None would hide `on_delivery`.
        produce, refuse = self._produce, self._refuse

        def send(
            value: bytes | str | None = None,
            key: bytes | str | None = None,
            partition: int = -1,
            on_delivery: DeliveryCallback | None = None,
            timestamp: int = 0,
            headers: HeadersInput | None = None,
            /,
        ) -> None:
            try:
                if headers is None and not timestamp:
                    produce(topic, value, key, partition, on_delivery)
                else:
                    produce(topic, value, key, partition, on_delivery, None, timestamp, headers)
            except NATIVE_FAILURES as error:
                refuse(error)

        return send

    def native_sender(self, topic: str) -> NativeSender:
        # A method of the topic: C as partial() is, in a quarter of the memory.
        return NativeSender(MethodType(self._produce, topic), self._refuse)

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except NATIVE_FAILURES as error:
            return self._refuse(error)

    def _ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call what may wait for the cluster for long."""
        self._asking.append(function)
        try:
            return self._call(function, *args)
        finally:
            self._asking.remove(function)

    def poll(self, timeout: float) -> int:
        return int(self._call(self._native.poll, timeout))

    def flush(self, timeout: float) -> int:
        remaining = self._call(self._native.flush, timeout)
        if remaining:
            # What arrived since may be log lines and error events, which are no messages.
            self.poll(0)
            remaining = len(self._native)
        return int(remaining)

    def __len__(self) -> int:
        return len(self._native)

    def list_topics(self, topic: str | None, timeout: float) -> ClusterMetadata:
        # On another thread: inside a callback it would abort the process (nested.py).
        answer = self._ask(aside, self._native.list_topics, topic, timeout)
        return to_cluster_metadata(answer)

    def purge(self, in_queue: bool, in_flight: bool, blocking: bool) -> None:
        self._call(_purge, self._native, in_queue, in_flight, blocking)

    def set_sasl_credentials(self, username: str, password: str) -> None:
        self._redact.add((username, password))
        self._call(self._native.set_sasl_credentials, username, password)

    def init_transactions(self, timeout: float) -> None:
        self._ask(self._native.init_transactions, timeout)

    def begin_transaction(self) -> None:
        self._call(self._native.begin_transaction)
        self._in_transaction = True

    def commit_transaction(self, timeout: float) -> None:
        self._ask(self._native.commit_transaction, timeout)
        self._in_transaction = False

    def abort_transaction(self, timeout: float) -> None:
        self._ask(self._native.abort_transaction, timeout)
        self._in_transaction = False

    def send_offsets_to_transaction(
        self, offsets: Sequence[TopicPartition], group_metadata: object, timeout: float
    ) -> None:
        self._ask(
            self._native.send_offsets_to_transaction,
            to_native_partitions(offsets),
            group_metadata,
            timeout,
        )

    def close(self, timeout: float) -> int:
        """As the contract says; the first exception of a delivery callback is raised at the end,
        when every message was reported and the client is freed."""
        with self._closing:
            if self._guard.closed or inherited(self._native):
                return 0
            self._guard.closed = True
        serving = _Serving(self._native)
        try:
            serving.until(timeout)
            failed = serving.purge()
        finally:
            self._free(serving)
        if serving.failure is not None:
            raise serving.failure
        return failed

    def _free(self, serving: _Serving) -> None:
        """The native close() waits without limit for messages, for an open transaction and for other
        threads' questions, so it is called only when there are none. Otherwise the last reference
        frees the client, which waits for neither."""
        if self._asking:
            return  # they hold it, and free it
        try:
            if self._in_transaction:
                self._native.abort_transaction(_ABORT_PATIENCE)
            if unserved := serving.waiting():
                _log.warning("closing with %d messages or events unserved", unserved)
            else:
                self._native.close()
        except confluent_kafka.KafkaException as error:
            # Fenced, or out of reach: the coordinator ends the transaction in its own time.
            _log.warning("closing with a transaction that could not be aborted: %s", error)

    def __repr__(self) -> str:
        return f"<ConfluentProducer {'closed' if self._guard.closed else 'open'}>"


class _Guard:
    """Raises what the contract says instead of what the native client raised. Not a part of the
    producer itself: its senders keep this, and a circle of references would keep the client."""

    __slots__ = ("closed",)

    def __init__(self) -> None:
        self.closed = False

    def refuse(self, error: Exception) -> Any:
        replacement = translated(error, closed=self.closed)
        if replacement is error:
            raise error
        raise replacement from None


def _purge(native: Any, in_queue: bool, in_flight: bool, blocking: bool) -> None:
    """Purge, and when `blocking` return only after it is done.

    confluent-kafka (2.16 and all before) hands `blocking` on inverted, so that True does not
    wait: of messages produced right after such a call, two in three were purged as well. Asked
    both ways the call waits in any release, a repaired one included.
    """
    native.purge(in_queue, in_flight, True)
    if blocking:
        native.purge(in_queue, in_flight, False)


class _Serving:
    """Serves a producer's callbacks to the end, whatever they raise."""

    def __init__(self, native: Any) -> None:
        self._native = native
        self.failure: Exception | None = None

    def until(self, timeout: float) -> None:
        """Serve until nothing is left or `timeout` seconds (-1: without limit) passed."""
        deadline = float("inf") if timeout < 0 else time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            if not self._serve(self._native.flush, max(0.0, min(left, _SLICE))) or left <= 0:
                return

    def purge(self) -> int:
        """Fail what is left, serve the reports; returns how many messages that were."""
        failed = self.waiting()
        if failed:
            _purge(self._native, True, True, True)
            self.until(_PURGE_PATIENCE)
        return failed

    def waiting(self) -> int:
        """Messages not yet reported; events are served first, since they count as well."""
        self._serve(self._native.poll, 0)
        return len(self._native)

    def _serve(self, function: Callable[[float], int], timeout: float) -> int:
        try:
            return function(timeout)
        except confluent_kafka.KafkaException as error:
            # So poll() and flush() tell that the client failed for good, which is no longer news.
            _log.warning("closing a failed client: %s", error)
        except Exception as error:
            self.failure = self.failure or error
        return len(self._native)
