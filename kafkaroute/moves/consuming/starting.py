"""Where a group starts on a place to which its channel moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ...backend.contract import BackendConsumer
from ...messages import OFFSET_BEGINNING, OFFSET_END, TopicPartition

__all__ = ["resolved", "start_offsets"]


def start_offsets(
    client: BackendConsumer,
    partitions: Sequence[TopicPartition],
    start_at: str | None,
    since: float | None,
    timeout: float,
) -> list[TopicPartition]:
    """Where to start on `partitions`, which have no committed offset (a move is not a reset:
    ``auto.offset.reset`` does not count).

    Args:
        start_at: the answer's: ``earliest``, ``latest`` or an RFC 3339 time.
        since: without it, start with what was written since then (seconds since the epoch); None
            is the beginning.
        timeout: seconds.
    """
    if start_at == "latest":
        return [_at(one, OFFSET_END) for one in partitions]
    if start_at not in {None, "earliest"}:
        since = datetime.fromisoformat(str(start_at)).timestamp()
    elif start_at == "earliest":
        since = None
    if since is None:
        return [_at(one, OFFSET_BEGINNING) for one in partitions]
    wanted = [_at(one, int(since * 1000)) for one in partitions]
    return list(client.offsets_for_times(wanted, timeout))


def resolved(
    client: BackendConsumer, starts: Sequence[TopicPartition], timeout: float
) -> tuple[list[TopicPartition], int]:
    """`starts` as absolute offsets, and how many messages lie between them and the ends (what
    compaction took is counted)."""
    absolute, total = [], 0
    for one in starts:
        low, high = client.get_watermark_offsets(one, timeout, False)
        first = {OFFSET_BEGINNING: low, OFFSET_END: high}.get(one.offset, max(low, one.offset))
        absolute.append(_at(one, first))
        total += max(0, high - first)
    return absolute, total


def _at(partition: TopicPartition, offset: int) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition, offset)
