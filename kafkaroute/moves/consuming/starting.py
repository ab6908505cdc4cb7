"""Where a group starts on a place to which its channel moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ...backend.contract import BackendConsumer
from ...messages import OFFSET_END, TopicPartition
from ..notes import answered

__all__ = ["start_offsets"]


def start_offsets(
    client: BackendConsumer,
    partitions: Sequence[TopicPartition],
    start_at: str | None,
    since: float | None,
    timeout: float,
) -> tuple[list[TopicPartition], int]:
    """Where to start on `partitions`, which have no committed offset (a move is not a reset:
    ``auto.offset.reset`` does not count), and how many messages lie between there and the ends
    (what compaction took is counted).

    Args:
        start_at: the answer's: ``earliest``, ``latest`` or an RFC 3339 time.
        since: without it, start with what was written since then (seconds since the epoch); None
            is the beginning.
        timeout: seconds.

    Raises KafkaException: the broker did not answer for all of them.
    """
    if start_at in {"earliest", "latest"}:
        since = None
    elif start_at is not None:
        since = datetime.fromisoformat(start_at).timestamp()
    # Before the times: where nothing is as young, what is written from now on must not be skipped.
    ends = [client.get_watermark_offsets(one, timeout, False) for one in partitions]
    by_time = {}
    if since is not None and partitions:
        asked = [_at(one, int(since * 1000)) for one in partitions]
        answer = answered(client.offsets_for_times(asked, timeout))
        by_time = {one.partition: one.offset for one in answer}
    starts, total = [], 0
    for one, (low, high) in zip(partitions, ends, strict=True):
        start = high if start_at == "latest" else by_time.get(one.partition, low)
        start = high if start == OFFSET_END else max(low, start)
        starts.append(_at(one, start))
        total += max(0, high - start)
    return starts, total


def _at(partition: TopicPartition, offset: int) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition, offset)
