"""Whether somebody else used the two cores while a run was timed."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from .serving import Process

__all__ = ["Patience"]

T = TypeVar("T")

#: Of either core: what the system itself takes.
_BEARABLE = 0.06
#: Seconds of looking whether it is quiet, and what may be used then.
_LOOK, _IDLE = 0.3, 0.15
_TICK = os.sysconf("SC_CLK_TCK")


def _busy(core: int) -> float:
    """Seconds in which `core` ran processes or was taken away by the machine's owner."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _wait, _irq, _softirq, stolen = map(int, line.split()[1:9])
            return (user + nice + system + stolen) / _TICK
    raise RuntimeError(f"there is no core {core}")


def _own() -> float:
    found = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        found += used.ru_utime + used.ru_stime
    return found


@dataclass
class Patience:
    """Begins when it is quiet and repeats runs that others disturbed, until its `seconds` are over.

    Attributes:
        disturbed: how many runs were thrown away.
        kept: how many are in the result although they were disturbed.
    """

    core: int
    driver: int
    seconds: float
    disturbed: int = 0
    kept: int = 0
    others: list[float] = field(default_factory=list)

    def run(self, processes: Iterable[Process], run: Callable[[], T]) -> T:
        """What `run` returns; `processes` are those that it is meant to keep busy."""
        processes = list(processes)
        while True:
            self._await_idle()
            began = time.perf_counter()
            before = [_busy(self.core), _busy(self.driver)]
            used = [sum(process.cpu() for process in processes), _own()]
            found = run()
            took = time.perf_counter() - began
            after = [_busy(self.core), _busy(self.driver)]
            using = [sum(process.cpu() for process in processes), _own()]
            others = max(
                (after[at] - before[at] - (using[at] - used[at])) / took for at in range(2)
            )
            if others <= _BEARABLE:
                break
            self.seconds -= took
            if self.seconds < 0:
                self.kept += 1
                break
            self.disturbed += 1
        self.others.append(round(max(0.0, others), 3))
        return found

    def _await_idle(self) -> None:
        """Leave the cores to others while they need them."""
        while self.seconds > 0:
            before = [_busy(self.core), _busy(self.driver)]
            time.sleep(_LOOK)
            after = [_busy(self.core), _busy(self.driver)]
            if all(b - a <= _IDLE * _LOOK for a, b in zip(before, after, strict=True)):
                return
            self.seconds -= _LOOK
