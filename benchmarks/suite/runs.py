"""Timing one run, and runs in turn. What would spoil a figure ends the suite instead."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["BrokenMeasurement", "Clock", "Sample", "check", "interleaved"]


class BrokenMeasurement(Exception):
    """The run did not measure what it claims to; its figure would be worse than none."""


def check(condition: object, text: str) -> None:
    """A condition of every valid figure."""
    if not condition:
        raise BrokenMeasurement(text)


@dataclass(frozen=True)
class Sample:
    """One run.

    Attributes:
        per_call: ns, of the calls alone; 0 where they are not timed.
        rate: units a second, from the first call until everything is delivered.
        cpu: seconds a unit of the whole process, all threads, until everything is delivered.
        collections: garbage collections meanwhile.
    """

    rate: float
    per_call: float = 0.0
    cpu: float = 0.0
    collections: int = 0


class Clock:
    """Times one run: wall and CPU, with garbage collection off and accounted for."""

    def __init__(self) -> None:
        self.calls = self.total = self.cpu = 0.0
        self.collections = 0
        self._began = 0

    def lap(self) -> None:
        """The calls are made; what follows is delivery."""
        self.calls = time.perf_counter_ns() - self._began

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Clock]:
        clock = cls()
        gc.collect()
        gc.disable()
        before = _collections()
        cpu = time.process_time_ns()
        clock._began = time.perf_counter_ns()
        try:
            yield clock
        finally:
            clock.total = time.perf_counter_ns() - clock._began
            clock.cpu = (time.process_time_ns() - cpu) / 1e9
            clock.collections = _collections() - before
            gc.enable()

    def sample(self, units: int) -> Sample:
        """The figures of a run of so many units."""
        per_call = self.calls / units
        return Sample(units / self.total * 1e9, per_call, self.cpu / units, self.collections)


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def interleaved(
    rounds: int, sides: Mapping[str, Callable[[], Sample]], *, warm_ups: int = 1
) -> dict[str, list[Sample]]:
    """Each side once a round, every other round backwards, after warm-ups that do not count."""
    taken: dict[str, list[Sample]] = {name: [] for name in sides}
    for number in range(-warm_ups, rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in order:
            sample = sides[name]()
            if number >= 0:
                taken[name].append(sample)
    return taken
