"""Questions about offsets that go to the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafkaroute.messages import OFFSET_END, OFFSET_INVALID, TopicPartition

from ..internals import private
from .positions import native_partition

__all__ = ["committed_offsets", "forget_answers", "offsets_at", "watermarks"]


def forget_answers(native: Any) -> None:
    """Have the group asked anew for committed offsets: the library shares the answer to a question
    that was asked before, and keeps one that came after its time-out for whoever asks next."""
    answers, net = private(native, "_coordinator", "_offset_fetch_futures"), private(native, "_net")
    if answers is not None and net is not None:
        net.run(_clear, answers)


async def _clear(answers: dict[Any, Any]) -> None:
    """On the loop, which looks for an answer before it takes it away."""
    answers.clear()


def committed_offsets(
    native: Any, partitions: Sequence[TopicPartition], timeout: float
) -> list[TopicPartition]:
    """What the group has committed; one request for all partitions where the library lets us."""
    milliseconds = None if timeout < 0 else timeout * 1000
    wanted = [native_partition(tp) for tp in partitions]
    forget_answers(native)
    together = private(native, "_coordinator", "fetch_committed_offsets")
    if together is not None:
        found = together(list(dict.fromkeys(wanted)), timeout_ms=milliseconds)
    else:
        found = {tp: native.committed(tp, metadata=True, timeout_ms=milliseconds) for tp in wanted}
    answers = []
    for tp in wanted:
        stored = found.get(tp)
        if stored is None:
            answers.append(TopicPartition(tp.topic, tp.partition, OFFSET_INVALID))
            continue
        epoch = stored.leader_epoch
        answers.append(
            TopicPartition(
                tp.topic,
                tp.partition,
                stored.offset,
                stored.metadata or None,
                None if epoch is None or epoch < 0 else epoch,
            )
        )
    return answers


def watermarks(native: Any, partition: Any, timeout: float) -> tuple[int, int]:
    milliseconds = None if timeout < 0 else timeout * 1000
    low = native.beginning_offsets([partition], timeout_ms=milliseconds)[partition]
    high = native.end_offsets([partition], timeout_ms=milliseconds)[partition]
    return low, high


def offsets_at(
    native: Any, partitions: Sequence[TopicPartition], timeout: float
) -> list[TopicPartition]:
    """The first offset at or after each time stamp; OFFSET_END where there is none."""
    milliseconds = None if timeout < 0 else timeout * 1000
    wanted = {native_partition(tp): tp.offset for tp in partitions}
    times = {tp: at for tp, at in wanted.items() if at >= 0}
    found = native.offsets_for_times(dict(times), timeout_ms=milliseconds) if times else {}
    # -1 and -2 mean the end and the beginning in the protocol, and to librdkafka.
    ends = [tp for tp, at in wanted.items() if at == -1]
    starts = [tp for tp, at in wanted.items() if at < -1]
    logical = native.end_offsets(ends, timeout_ms=milliseconds) if ends else {}
    if starts:
        logical |= native.beginning_offsets(starts, timeout_ms=milliseconds)
    answers = []
    for tp in map(native_partition, partitions):
        answer = found.get(tp)
        offset = logical.get(tp, OFFSET_END) if answer is None else answer.offset
        answers.append(TopicPartition(tp.topic, tp.partition, offset))
    return answers
