"""Questions about offsets that go to the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafkaroute.errors import KafkaException
from kafkaroute.messages import (
    OFFSET_END,
    OFFSET_INVALID,
    ClusterMetadata,
    KafkaError,
    TopicPartition,
    kafka_exception,
)

from ..internals import private
from ..library import kp
from .positions import native_partition

__all__ = ["OffsetQuestions", "committed_offsets", "forget_answers"]

#: Seconds of one question to the brokers, until it is asked again whether the partitions exist.
_SLICE = 5.0


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


class OffsetQuestions:
    """Where partitions begin and end, and where they were at some time.

    kafka-python asks for ever about a partition that does not exist. So the cluster is asked for
    the topic's partitions first, and again every `_SLICE` seconds, as topics are deleted, too.

    Args:
        native: the consumer, when it is there within so many seconds.
        describe: a topic, as the cluster describes it within so many seconds.
    """

    def __init__(
        self,
        native: Callable[[float], Any],
        describe: Callable[[str, float], ClusterMetadata],
    ) -> None:
        self._native = native
        self._describe = describe

    def watermarks(self, partition: Any, timeout: float) -> tuple[int, int]:
        """(low, high); KafkaException ``_UNKNOWN_PARTITION`` where there is no such partition."""
        deadline = _deadline(timeout)
        if self._missing([partition], deadline):
            raise _unknown("Failed to get watermark offsets: Local: Unknown partition")
        low, missing = self._ask("beginning_offsets", {partition: 0}, deadline)
        high, gone = self._ask("end_offsets", {partition: 0}, deadline)
        if missing or gone:
            raise _unknown("Failed to get watermark offsets: Local: Unknown partition")
        return low[partition], high[partition]

    def at_times(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        """The first offset at or after each time stamp; OFFSET_END where there is none; an
        ``error`` on those that do not exist."""
        deadline = _deadline(timeout)
        wanted = {native_partition(tp): tp.offset for tp in partitions}
        missing = self._missing(list(wanted), deadline)
        found: dict[Any, int] = {}
        # -1 and -2 mean the end and the beginning in the protocol, and to librdkafka.
        for question, chosen in (
            ("offsets_for_times", {tp: at for tp, at in wanted.items() if at >= 0}),
            ("end_offsets", {tp: at for tp, at in wanted.items() if at == -1}),
            ("beginning_offsets", {tp: at for tp, at in wanted.items() if at < -1}),
        ):
            asked = {tp: at for tp, at in chosen.items() if tp not in missing}
            answers, gone = self._ask(question, asked, deadline)
            missing |= gone
            for tp, answer in answers.items():
                if answer is not None:
                    found[tp] = getattr(answer, "offset", answer)
        answered = []
        for one, tp in zip(partitions, map(native_partition, partitions), strict=True):
            error = missing.get(tp)
            offset = found.get(tp, OFFSET_END) if error is None else one.offset
            answered.append(TopicPartition(tp.topic, tp.partition, offset, error=error))
        return answered

    def _ask(
        self, question: str, asked: Mapping[Any, int], deadline: float
    ) -> tuple[dict[Any, Any], dict[Any, KafkaError]]:
        """The answers, and which partitions have gone meanwhile."""
        gone: dict[Any, KafkaError] = {}
        while left := {tp: at for tp, at in asked.items() if tp not in gone}:
            seconds = deadline - time.monotonic()
            argument = left if question == "offsets_for_times" else list(left)
            call = getattr(self._native(_given(seconds)), question)
            try:
                return call(argument, timeout_ms=max(1.0, min(seconds, _SLICE) * 1000)), gone
            except kp.KafkaTimeoutError:
                if time.monotonic() >= deadline:
                    raise
                gone |= self._missing(list(left), deadline)
        return {}, gone

    def _missing(self, partitions: Sequence[Any], deadline: float) -> dict[Any, KafkaError]:
        """Which of these do not exist, and how librdkafka says it."""
        missing: dict[Any, KafkaError] = {}
        for topic in dict.fromkeys(tp.topic for tp in partitions):
            try:
                described = self._describe(topic, _given(deadline - time.monotonic()))
            except KafkaException as error:
                if error.args[0].code() != KafkaError._TRANSPORT:
                    raise
                raise kafka_exception(KafkaError._TIMED_OUT, error.args[0].str()) from error
            found = described.topics.get(topic)
            unknown = found is None or (
                found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            )
            code = KafkaError.UNKNOWN_TOPIC_OR_PART if unknown else KafkaError._UNKNOWN_PARTITION
            for tp in partitions:
                if tp.topic == topic and (found is None or tp.partition not in found.partitions):
                    missing[tp] = KafkaError(code)
        return missing


def _deadline(timeout: float) -> float:
    return float("inf") if timeout < 0 else time.monotonic() + timeout


def _given(seconds: float) -> float:
    """A timeout as the contract has it."""
    return -1.0 if seconds == float("inf") else max(0.0, seconds)


def _unknown(text: str) -> KafkaException:
    return kafka_exception(KafkaError._UNKNOWN_PARTITION, text)
