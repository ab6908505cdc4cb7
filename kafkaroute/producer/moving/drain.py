"""Waiting for what a native client has in flight, and giving up where nobody answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ...backend.contract import BackendProducer
from ...errors import KafkaException, KafkarouteError, UnsupportedFeature
from ..client import Link

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

    def __init__(self, client: BackendProducer, topic: str | None) -> None:
        self._client = client
        self._topic = topic
        self._stop = threading.Event()
        self.answered = float("-inf")
        self.failures = 0
        threading.Thread(target=self._run, name="kafkaroute-probe", daemon=True).start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._client.list_topics(self._topic, _PROBE_TIMEOUT)
            except (KafkarouteError, RuntimeError):
                self.failures += 1
            else:
                self.answered, self.failures = time.monotonic(), 0
            self._stop.wait(_PATIENCE)

    def stop(self) -> None:
        self._stop.set()


def empty(
    link: Link, topic: str | None, *, seen: float, timeout: float, stopped: Callable[[], bool]
) -> bool:
    """Have the client deliver what it has, or fail it, so that it is collected. Messages younger
    than those that have failed already are not to be delivered any more: only what is on the wire
    is waited for.

    Args and returns as :func:`_drain`.
    """
    tracker = link.tracker
    if tracker.waiting():
        _purge_queue(link)
    drained = _drain(link, topic, seen=seen, timeout=timeout, stopped=stopped)
    if drained:
        tracker.rescuing = False
    elif not stopped():
        rescue(link)
    return drained


def _purge_queue(link: Link) -> None:
    """Have everything fail that was not sent yet."""
    link.tracker.rescuing = True
    link.tracker.clock.done()
    try:
        link.client.purge(True, False, True)
    except (UnsupportedFeature, KafkaException) as error:
        _log.warning("younger messages may be delivered before those that failed: %s", error)
        link.tracker.rescuing = False


def _drain(
    link: Link, topic: str | None, *, seen: float, timeout: float, stopped: Callable[[], bool]
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
    client = link.client
    began = last = time.monotonic()
    sign = seen
    least = len(client)
    probe: _Probe | None = None
    try:
        while True:
            try:
                client.flush(_SLICE)
                left = len(client)
            except KafkaException as error:
                _log.warning("the old client failed for good: %s", error)
                return not len(client)
            if link.hold is not None:
                link.hold.elsewhere = left
            now = time.monotonic()
            if left < least:
                least, last, sign = left, now, now
            if not left or stopped() or now - last >= timeout:
                return not left
            if probe is None and now - began >= min(_PATIENCE, timeout / 4):
                probe = _Probe(client, topic)
            if probe is not None and probe.failures:
                sign = max(sign, probe.answered)
                if now - sign >= timeout / 2:
                    return False
    finally:
        if probe is not None:
            probe.stop()


def rescue(link: Link) -> bool:
    """Purge the client: what it still has fails, and is collected. False where the backend has no
    purge(); the messages then stay with the old client as long as it tries."""
    client, tracker = link.client, link.tracker
    tracker.rescuing = True
    try:
        tracker.clock.done()
        client.purge(True, True, True)
        until = time.monotonic() + _PURGE_PATIENCE
        while len(client) and time.monotonic() < until:
            client.poll(_SLICE)
    except UnsupportedFeature as error:
        _log.warning("undelivered messages stay with the old client: %s", error)
        tracker.rescuing = False
        return False
    except KafkaException as error:
        _log.warning("the old client failed for good: %s", error)
    # What is reported even later was not given up by the application, either.
    tracker.rescuing = len(client) > 0
    return True
