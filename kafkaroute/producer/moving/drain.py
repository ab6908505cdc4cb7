"""Waiting for what a native client has in flight, and giving up where nobody answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ...backend.contract import BackendProducer
from ...errors import KafkaException, KafkarouteError, UnsupportedFeature
from ..client import Client

__all__ = ["empty", "rescue"]

_log = logging.getLogger("kafkaroute.moves")

_SLICE = 0.02
#: A healthy client drains within this time; only after it is asked whether anybody is there.
_PATIENCE = 0.2
_PROBE_TIMEOUT = 1.0
#: Seconds that purged messages have to be reported; 12-25 ms were measured.
_PURGE_PATIENCE = 5.0


class _Probe:
    """Asks a cluster again and again, on a thread of its own, whether it is there.

    Attributes:
        answered: time.monotonic() of its last answer.
        failures: questions in a row without an answer.
    """

    def __init__(self, native: BackendProducer, topic: str | None) -> None:
        self._native = native
        self._topic = topic
        self._stop = threading.Event()
        self.answered = float("-inf")
        self.failures = 0
        threading.Thread(target=self._run, name="kafkaroute-probe", daemon=True).start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._native.list_topics(self._topic, _PROBE_TIMEOUT)
            except (KafkarouteError, RuntimeError):
                self.failures += 1
            else:
                self.answered, self.failures = time.monotonic(), 0
            self._stop.wait(_PATIENCE)

    def stop(self) -> None:
        self._stop.set()


def empty(
    client: Client, topic: str | None, *, seen: float, timeout: float, stopped: Callable[[], bool]
) -> bool:
    """Have the client deliver what it has, or fail it, so that it is collected. Messages younger
    than those that have failed already are not to be delivered any more: only what is on the wire
    is waited for.

    Args and returns as :func:`_drain`.
    """
    reports = client.reports
    if reports.waiting():
        _purge_queue(client)
    drained = _drain(client, topic, seen=seen, timeout=timeout, stopped=stopped)
    if drained:
        reports.purged_by_us(False)
    elif not stopped():
        rescue(client)
    return drained


def _purge_queue(client: Client) -> None:
    """Have everything fail that was not sent yet."""
    client.reports.purged_by_us(True)
    client.reports.clock.done()
    try:
        client.native.purge(True, False, True)
    except (UnsupportedFeature, KafkaException) as error:
        _log.warning("younger messages may be delivered before those that failed: %s", error)
        client.reports.purged_by_us(False)


def _drain(
    client: Client, topic: str | None, *, seen: float, timeout: float, stopped: Callable[[], bool]
) -> bool:
    """Serve the client until it has nothing in flight.

    Args:
        topic: one that the client writes, for asking whether its cluster is there.
        seen: time.monotonic() when the change was noticed.
        timeout: seconds without any delivery after which to give up; half of them, counted from
            `seen`, where the cluster does not even answer a question.
        stopped: True when the Producer closes.

    Returns:
        False when messages are left.
    """
    native = client.native
    began = last = time.monotonic()
    sign = seen
    least = len(native)
    probe: _Probe | None = None
    try:
        while True:
            try:
                native.flush(_SLICE)
                left = len(native)
            except KafkaException as error:
                _log.warning("the old client failed for good: %s", error)
                return not len(native)
            if client.hold is not None:
                client.hold.drained_to(left)
            now = time.monotonic()
            if left < least:
                least, last, sign = left, now, now
            if not left or stopped() or now - last >= timeout:
                return not left
            if probe is None and now - began >= min(_PATIENCE, timeout / 4):
                probe = _Probe(native, topic)
            if probe is not None and probe.failures:
                sign = max(sign, probe.answered)
                if now - sign >= timeout / 2:
                    return False
    finally:
        if probe is not None:
            probe.stop()


def rescue(client: Client) -> bool:
    """Purge the client: what it still has fails, and is collected. False where the backend has no
    purge(); the messages then stay with the old client as long as it tries."""
    native, reports = client.native, client.reports
    reports.purged_by_us(True)
    try:
        reports.clock.done()
        native.purge(True, True, True)
        until = time.monotonic() + _PURGE_PATIENCE
        while len(native) and time.monotonic() < until:
            native.poll(_SLICE)
    except UnsupportedFeature as error:
        _log.warning("undelivered messages stay with the old client: %s", error)
        reports.purged_by_us(False)
        return False
    except KafkaException as error:
        _log.warning("the old client failed for good: %s", error)
    # What is reported even later was not given up by the application, either.
    reports.purged_by_us(len(native) > 0)
    return True
