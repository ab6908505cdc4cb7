"""Finding out, off the polling thread, whether a new place answers and which cluster it is."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ...backend.contract import BackendConsumer
from ...errors import KafkaException, KafkarouteError
from ...messages import TopicPartition
from ...places import check_place

__all__ = ["Opened", "Opening"]

_log = logging.getLogger("kafkaroute.moves")

#: Seconds for one question to the new cluster.
_PATIENCE = 3.0
#: Seconds before the first retry, and at most; doubled in between, less up to half at random.
_FIRST, _MOST = 0.5, 15.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A place that answers for a topic.

    Attributes:
        cluster_id: as the cluster tells it.
        partitions: how many the topic has.
        ends: partition → its end at that time, where they were asked for.
    """

    cluster_id: str | None
    partitions: int
    ends: Mapping[int, int] = field(default_factory=dict)


class Opening:
    """Asks a place about a topic until it answers, on a thread of its own.

    The native consumer it asks with never subscribes, so it is no member of the group.

    Args:
        name: for people.
        open_client: opens a native consumer for the place.
        topic: must exist there.
        expected: the cluster id that the catalog promised, or None.
        ends: ask for the ends of its partitions, too.
        answered: called with the client and the number of partitions once the place has answered,
            before anybody joins its group because of that.
    """

    def __init__(
        self,
        name: str,
        open_client: Callable[[], BackendConsumer],
        topic: str,
        expected: str | None,
        *,
        ends: bool = False,
        answered: Callable[[BackendConsumer, int], None] | None = None,
    ) -> None:
        self._open_client = open_client
        self._topic = topic
        self._expected = expected
        self._ends = ends
        self._answered = answered
        self._stop = threading.Event()
        #: time.monotonic() of the first question.
        self.began = time.monotonic()
        #: Set once, when the place answered.
        self.result: Opened | None = None
        #: What it last failed with, without secrets.
        self.error: str | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"kafkaroute-open {name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. Does not wait: the thread frees its client when its question is over."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end, for so long."""
        self._thread.join(seconds)

    def _run(self) -> None:
        wait = _FIRST
        while not self._stop.is_set():
            try:
                self.result = self._ask()
            except (KafkaException, KafkarouteError, OSError) as error:
                self.error = str(error)
            except Exception as error:
                # A third party's backend; the move must not stop silently.
                _log.exception("opening a new place failed")
                self.error = type(error).__name__
            else:
                return
            self._stop.wait(wait * random.uniform(0.5, 1.0))  # spreads retries
            wait = min(2 * wait, _MOST)

    def _ask(self) -> Opened:
        client = self._open_client()
        try:
            deadline = time.monotonic() + _PATIENCE
            while True:
                # In slices, so that a stop is heard.
                left = deadline - time.monotonic()
                try:
                    metadata = client.list_topics(self._topic, max(0.1, min(1.0, left)))
                    break
                except KafkaException:
                    if left <= 1.0 or self._stop.is_set():
                        raise
            error = check_place(metadata, self._topic, self._expected, to_read=True)
            if error is not None:
                raise KafkaException(error)
            opened = Opened(metadata.cluster_id, len(metadata.topics[self._topic].partitions))
            if self._answered is not None:
                self._answered(client, opened.partitions)
            if not self._ends:
                return opened
            ends = {}
            for number in range(opened.partitions):
                one = TopicPartition(self._topic, number)
                ends[number] = client.get_watermark_offsets(one, _PATIENCE, False)[1]
            return replace(opened, ends=ends)
        finally:
            client.close()
