"""Failing what kafka-python still holds: a call that its producer lacks."""

from __future__ import annotations

from typing import Any

from kafkaroute.messages import KafkaError

from .internals import require
from .library import kp
from .reports import LocalFailure

__all__ = ["fail_batches"]


def fail_batches(native: Any, *, in_queue: bool, in_flight: bool) -> None:
    """Fail unsent (``_PURGE_QUEUE``) and sent, unacknowledged (``_PURGE_INFLIGHT``) batches.

    Oldest first, so that the reports of a partition come in the order of its messages.

    Raises UnsupportedFeature on a kafka-python that keeps its batches elsewhere.
    """
    require(
        "purge()",
        native,
        "_accumulator._incomplete.all",
        "_accumulator._batches",
        "_accumulator._tp_lock",
        "_accumulator.deallocate",
    )
    accumulator = native._accumulator
    for batch in sorted(accumulator._incomplete.all(), key=lambda batch: batch.created):
        partition = batch.topic_partition
        with accumulator._tp_lock(partition):
            queue = accumulator._batches[partition]
            queued = batch in queue
            if not (in_queue if queued else in_flight):
                continue
            if queued:
                queue.remove(batch)
            batch.records.close()
        code = KafkaError._PURGE_QUEUE if queued else KafkaError._PURGE_INFLIGHT
        try:
            batch.abort(LocalFailure(KafkaError(code)))
        except kp.IllegalStateError:
            continue  # its answer came in this very moment
        accumulator.deallocate(batch)
