"""Reports of a purge, put back into order by what they tell of the time of produce()."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kafkaroute.messages import KafkaError
from kafkaroute_confluent.purged import InOrder


class Failed:
    def __init__(self, value: int, produced_at: float, partition: int = 0) -> None:
        self._value, self._produced_at, self._partition = value, produced_at, partition

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return self._partition

    def value(self) -> int:
        return self._value

    def latency(self) -> float:
        return time.monotonic() - self._produced_at


class Later(Failed):
    """Another thread runs between the latency's measurement and the report."""

    def latency(self) -> float:
        latency = super().latency()
        time.sleep(0.01)
        return latency


def tell(reports: InOrder, *messages: Failed, code: int = KafkaError._PURGE_QUEUE) -> None:
    for message in messages:
        reports(KafkaError(code), message)


def values(told: list[Any]) -> list[int]:
    return [message.value() for _, message in told]


def test_blocks_are_sorted_and_kept_in_themselves() -> None:
    told: list[Any] = []
    reports = InOrder(lambda *what: told.append(what))
    reports.begin()
    began = time.monotonic() - 5
    batch = [Failed(number, began + number * 1e-6) for number in range(30)]
    late = Later(21, began + 21e-6)  # seems to be 10 ms younger than it is
    tell(reports, *batch[20:21], late, *batch[22:])
    tell(reports, *batch[:10], code=KafkaError._PURGE_INFLIGHT)
    tell(reports, *batch[10:20])
    assert (told, len(reports)) == ([], 30)
    assert reports.serve() == 30
    assert values(told) == list(range(30))
    assert len(reports) == 0


def test_partitions_are_sorted_for_themselves() -> None:
    told: list[Any] = []
    reports = InOrder(lambda *what: told.append(what))
    reports.begin()
    began = time.monotonic() - 5
    for partition in (0, 1):
        tell(reports, Failed(3, began + 1, partition), Failed(1, began, partition))
    reports.serve()
    for partition in (0, 1):
        assert values([each for each in told if each[1].partition() == partition]) == [1, 3]


def test_other_failures_are_told_at_once() -> None:
    told: list[Any] = []
    reports = InOrder(lambda *what: told.append(what))
    tell(reports, Failed(1, 0.0), code=KafkaError._MSG_TIMED_OUT)
    assert values(told) == [1]


def test_what_a_callback_raises_leaves_the_rest() -> None:
    told: list[Any] = []

    def report(*what: Any) -> None:
        told.append(what)
        if len(told) == 1:
            raise RuntimeError("the application's own")

    reports = InOrder(report)
    tell(reports, Failed(1, 0.0), Failed(2, 1.0))
    with pytest.raises(RuntimeError):
        reports.serve()
    assert len(reports) == 1
    assert reports.serve() == 1
    assert values(told) == [1, 2]
