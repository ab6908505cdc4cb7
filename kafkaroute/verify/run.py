"""One run: processes that produce and consume while a channel is moved, and what came of it."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .certificate import Certificate, Mark
from .load import Load
from .payload import RUN_BYTES
from .process import Worker, WorkFailed
from .summary import summarize

__all__ = ["MoveRun", "verify_move"]

_READY = 60.0  # s, for processes to start and groups to form
_END = 90.0  # s, for producers to flush, then for consumers to close
_TICK = 0.05
#: Of the rate that the slowest group keeps up with: the rest is room to catch up after a hold of
#: some seconds (one of 6 s takes 9 s), and for the move itself, on the same processors.
_HEADROOM = 0.6
_TRIALS = 6  # of rates, each for so many seconds, after as long as half of that
_TRIAL = 2.0
_CATCH_UP = 20.0  # s, at most, from the last trial to the start


class MoveRun:
    """A load on channels that somebody moves meanwhile.

    ``start()`` returns when every message is on its way to be read; ``finish()`` ends the load,
    waits for what is under way and counts. In between, members may come and go.

    Args:
        channels: the channels to use; each key belongs to one of them.
        produce, consume: settings for the Producers and for the Consumers, as the classes take
            them, but without functions: they go to other processes as JSON.
        load: see :class:`Load`.
        title: of the certificate.
        snapshots: a folder; each process then keeps a snapshot of its own there.

    Raises:
        WorkFailed: a process ended badly, or a group did not form.
    """

    def __init__(
        self,
        channels: Sequence[str],
        produce: Mapping[str, Any],
        consume: Mapping[str, Any],
        load: Load,
        *,
        title: str = "",
        snapshots: Path | None = None,
    ) -> None:
        self.channels = list(channels)
        self.load = load
        self.title = title or ", ".join(channels)
        self.producers: list[Worker] = []
        #: By group; members that are gone stay in the list.
        self.members: list[list[Worker]] = [[] for _ in range(load.groups)]
        self.marks: list[Mark] = []
        self.news: list[tuple[Worker, dict[str, Any]]] = []
        self.rate = load.rate or 0.0
        self.started = 0.0
        self._settings = {"producer": dict(produce), "consumer": dict(consume)}
        self._snapshots = snapshots
        self._run = secrets.token_hex(RUN_BYTES)
        self._folder = tempfile.TemporaryDirectory(prefix="kafkaroute-verify-")
        self._history = load.start == "latest"
        self._lock = threading.Lock()

    # The parts.

    def start(self) -> None:
        """Start everybody, wait until every group has its partitions, begin the load."""
        for number in range(self.load.producers):
            self.producers.append(self._start("producer", f"producer {number + 1}", number))
        if self._history:
            # One member of each group says where the group starts; then the others come.
            for group in range(self.load.groups):
                self.start_member(group)
            self._wait(lambda: all(m.ready for m in self._everybody()), "a process is not ready")
            self._history = False
        for group in range(self.load.groups):
            while len(self.members[group]) < self.load.members:
                self.start_member(group)
        self._wait(lambda: all(w.ready for w in self._everybody()), "a process is not ready")
        ready = self.producers[0].ready
        assert ready is not None
        total = sum(ready["partitions"].values())
        self._wait(lambda: self._assigned(total), "a group does not get its partitions")
        self.started = time.monotonic()
        for worker in self._everybody():
            worker.order(go=self.started)
        if self.load.rate is None:
            self._calibrate()
        self._set_rate(self.rate)

    def start_member(self, group: int) -> Worker:
        """One more member of `group` (the first is 0)."""
        number = len(self.members[group])
        name = f"group {group + 1} member {number + 1}"
        worker = self._start("consumer", name, number, group)
        self.members[group].append(worker)
        if self.started:
            worker.order(go=self.started)
        return worker

    def stop_member(self, group: int, number: int) -> None:
        """Let a member leave in good order; returns at once."""
        self.mark(f"group {group + 1} member {number + 1} leaves")
        self.members[group][number].order(stop=True)

    def kill_member(self, group: int, number: int) -> None:
        self.members[group][number].kill()
        self.mark(f"group {group + 1} member {number + 1} killed")

    def mark(self, what: str) -> None:
        """Note what happens now, for the picture."""
        self.marks.append(Mark(round(time.monotonic() - self.started, 3), "world", what))

    def sleep(self, seconds: float) -> None:
        """Let the load run on; raises as soon as a process fails."""
        self.wait_until(lambda: False, seconds)

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Let the load run on until `condition` or for `timeout` seconds; says which."""
        until = time.monotonic() + timeout
        while not condition():
            self._check()
            if time.monotonic() >= until:
                return False
            time.sleep(min(_TICK, max(0.0, until - time.monotonic())))
        return True

    def phases(self, phase: str, workers: Sequence[Worker] | None = None) -> int:
        """How often `phase` was told so far, by `workers` or by all processes."""
        with self._lock:
            return sum(
                said["phase"] == phase and (workers is None or worker in workers)
                for worker, said in self.news
                if said["is"] == "change"
            )

    def finish(self) -> Certificate:
        """End the load, wait until all is reported and read, and count."""
        for worker in self.producers:
            worker.order(stop=True)
        stopped = time.monotonic()
        for worker in self.producers:
            worker.wait(_END)
            worker.check()
        self._wait_for_readers()
        for group in self.members:
            for worker in group:
                worker.order(stop=True)
        for group in self.members:
            for worker in group:
                worker.wait(_END)
                worker.check()
        return summarize(self, stopped)

    def close(self) -> None:
        """End what still runs and remove its files. Safe to call twice."""
        for worker in self._everybody():
            worker.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # How.

    def _everybody(self) -> list[Worker]:
        return [*self.producers, *(member for group in self.members for member in group)]

    def file_of(self, name: str, kind: str) -> Path:
        return Path(self._folder.name) / f"{name.replace(' ', '-')}.{kind}"

    def _start(self, role: str, name: str, number: int, group: int = -1) -> Worker:
        settings = dict(self._settings[role])
        if self._snapshots is not None:
            # Who comes in a member's stead finds its snapshot.
            slot = number % self.load.members if role == "consumer" else number
            settings["snapshot"] = str(self._snapshots / f"{role}-{group + 1}-{slot + 1}.json")
        load = self.load
        spec: dict[str, Any] = {
            "role": role,
            "number": number,
            "settings": settings,
            "channels": self.channels,
            "run": self._run,
            "keys": load.keys,
            "size": load.size,
            "transaction": load.transaction,
            "out": str(self.file_of(name, "out")),
        }
        if role == "producer" and load.transaction:
            client = settings.get("client_config", {})
            identity = {"transactional.id": f"verify-{self._run}-{number}"}
            spec["settings"] = {**settings, "client_config": {**client, **identity}}
        if role == "consumer":
            spec["group"] = f"verify-{self._run}-{group + 1}"
            spec["commit"] = load.commit_of(group)
            spec["skip_history"] = self._history
        return Worker(name, spec, self.file_of(name, "log"), self._hear)

    def _hear(self, worker: Worker, said: dict[str, Any]) -> None:
        if said["is"] in {"change", "rebalance", "place"}:
            with self._lock:
                self.news.append((worker, said))

    def _check(self) -> None:
        for worker in self._everybody():
            worker.check()

    def _wait(self, condition: Callable[[], bool], trouble: str, timeout: float = _READY) -> None:
        if not self.wait_until(condition, timeout):
            logs = "\n".join(
                f"{w.name} ({w.progress}):\n{w.tail()}" for w in self._everybody()[-6:]
            )
            raise WorkFailed(f"{self.title}: {trouble} after {timeout:.0f} s\n{logs}")

    def _assigned(self, total: int) -> bool:
        for group in self.members:
            if any(member.progress.get("assigned") is None for member in group):
                return False
            if sum(member.progress["assigned"] for member in group) != total:
                return False
        return True

    def _read_by(self, group: Iterable[Worker]) -> int:
        return sum(member.progress.get("count", 0) for member in group)

    def _set_rate(self, rate: float) -> None:
        for worker in self.producers:
            worker.order(rate=rate / len(self.producers))

    def _lag(self) -> int:
        """How many messages are delivered that the slowest group has not read."""
        delivered: int = sum(worker.progress.get("delivered", 0) for worker in self.producers)
        return delivered - min(self._read_by(group) for group in self.members)

    def _calibrate(self) -> None:
        """Find the rate that the slowest group keeps up with, and take the share of it that leaves
        headroom. Messages at a steady rate come in smaller batches and cost more than those of a
        burst, so that what a burst shows is only where to begin."""
        rate = self._burst_rate()
        for _ in range(_TRIALS):
            self._set_rate(rate)
            self.sleep(_TRIAL / 2)
            before = self._lag()
            self.sleep(_TRIAL)
            growth = (self._lag() - before) / _TRIAL
            if growth < rate * 0.05:
                break
            rate = max(100.0, rate - max(growth, rate * 0.1))
        self.rate = max(100.0, rate * _HEADROOM)
        self._set_rate(self.rate)
        self.wait_until(lambda: self._lag() < self.rate / 2, _CATCH_UP)
        self.mark(f"steady at {self.rate:,.0f} msg/s")

    def _burst_rate(self) -> float:
        """Let producers run as fast as the slowest group reads, and see how fast that is."""
        until = self.started + self.load.calibration
        half: tuple[float, int] | None = None
        while (now := time.monotonic()) < until:
            self._check()
            read = min(self._read_by(group) for group in self.members)
            if half is None and now > until - self.load.calibration * 0.6:
                half = (now, read)
            allowed = (read + self.load.lead) // len(self.producers)
            for worker in self.producers:
                worker.order(allowed=allowed)
            time.sleep(_TICK)
        assert half is not None
        read = min(self._read_by(group) for group in self.members)
        return max(100.0, (read - half[1]) / (time.monotonic() - half[0]))

    def _wait_for_readers(self) -> None:
        """Until every group has read as many as were delivered and nothing more comes, or until
        nothing has come for `settle` seconds."""
        delivered = sum((worker.done or {}).get("delivered", 0) for worker in self.producers)
        counts: list[int] = []
        since = time.monotonic()
        while True:
            self._check()
            now_read = [self._read_by(group) for group in self.members]
            now = time.monotonic()
            if now_read != counts:
                counts, since = now_read, now
            complete = all(read >= delivered for read in counts)
            if now - since > (self.load.quiet if complete else self.load.settle):
                return
            time.sleep(_TICK)


def verify_move(
    channels: Sequence[str],
    produce: Mapping[str, Any],
    consume: Mapping[str, Any],
    load: Load,
    *,
    title: str = "",
    during: Callable[[MoveRun], object] | None = None,
) -> Certificate:
    """Run `load` on `channels`, which somebody moves meanwhile, and count.

    Args:
        during: called once the load runs; what is left of `load.seconds` is waited for after it.

    Raises:
        WorkFailed: a process failed.
    """
    with MoveRun(channels, produce, consume, load, title=title) as run:
        run.start()
        if during is not None:
            during(run)
        run.sleep(max(0.0, run.started + load.seconds - time.monotonic()))
        return run.finish()
