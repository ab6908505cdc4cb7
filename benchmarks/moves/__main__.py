"""Runs the proof and writes docs/moves/: one result and one picture for each run, and the table.

Runs whose result is there already are left out, so that it can be stopped and started again; a run
that fails is told and does not end the rest. The table is made from the results there are.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kafkaroute.testing.real_kafka import RealCluster
from kafkaroute.verify.picture import draw

from .play import Verdict, play
from .scenarios import SCENARIOS, Scenario
from .stage import FULL, SMALL, Size
from .table import write_table

BACKENDS = ("confluent-kafka", "kafka-python")
DOCS = Path(__file__).resolve().parents[2] / "docs"


@dataclass(frozen=True)
class Task:
    scenario: Scenario
    backend: str
    rate: str
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.scenario.number}-{self.backend}-{self.rate}"

    @property
    def result(self) -> Path:
        return self.folder / "results" / f"{self.name}.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moves", description=__doc__)
    parser.add_argument("--only", metavar="N,N", help="these scenarios alone, such as 0,1,11a")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="this one (repeat)")
    parser.add_argument(
        "--rate", action="append", choices=("1000", "max"), help="messages a second (both)"
    )
    parser.add_argument("--small", action="store_true", help="as small as in the test suite")
    parser.add_argument("--again", action="store_true", help="also where there is a result")
    parser.add_argument("--table", action="store_true", help="only make the table")
    parser.add_argument("--seconds", type=float, help="begin nothing new after so many seconds")
    parser.add_argument("--out", type=Path, default=DOCS, help="instead of docs/")
    options = parser.parse_args()
    folder = options.out / "moves"
    (folder / "results").mkdir(parents=True, exist_ok=True)
    wanted = options.only.split(",") if options.only else list(SCENARIOS)
    tasks = [
        Task(SCENARIOS[number], backend, rate, folder)
        for rate in (("small",) if options.small else options.rate or ("1000", "max"))
        for number in wanted
        for backend in options.backend or BACKENDS
    ]
    if not options.again:
        tasks = [task for task in tasks if not task.result.exists()]
    failed = 0
    if tasks and not options.table:
        size = SMALL if options.small else FULL
        failed = _run(tasks, size, time.monotonic() + (options.seconds or 1e9))
    write_table(options.out)
    return 1 if failed else 0


def _run(tasks: list[Task], size: Size, deadline: float) -> int:
    failed = 0
    with _clusters() as clusters:
        for task in tasks:
            if time.monotonic() > deadline:
                print(f"time is up before {task.name}", flush=True)
                break
            for cluster in clusters.values():
                cluster.start()  # where a run left it down
            failed += not _play(task, clusters, size)
    return failed


def _play(task: Task, clusters: dict[str, RealCluster], size: Size) -> bool:
    rates = {"max": None, "small": SMALL.load.rate}
    rate = rates[task.rate] if task.rate in rates else float(task.rate)
    try:
        verdict = play(
            task.scenario, task.backend, clusters, replace(size, load=replace(size.load, rate=rate))
        )
    except Exception:
        print(f"{task.name}: FAILED\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return False
    task.result.write_text(json.dumps(verdict.as_json(), separators=(",", ":")), encoding="utf-8")
    (task.folder / f"{task.name}.svg").write_text(draw(verdict.certificate), encoding="utf-8")
    _tell(task, verdict)
    return not verdict.breaches


def _tell(task: Task, verdict: Verdict) -> None:
    found = verdict.certificate
    state = "; ".join(verdict.breaches) or "sound"
    print(
        f"{time.strftime('%H:%M:%S')} {task.name}: {found.sent:,} sent, {found.lost} lost, "
        f"{found.unreported} unreported, {found.duplicated} duplicated, {found.reordered} + "
        f"{found.reordered_late} reordered, {found.late} late, pauses {found.producer_pause[0]:.2f} "
        f"and {found.consumer_pause[0]:.2f} s, took {verdict.took:.0f} s: {state}",
        flush=True,
    )
    if verdict.breaches:
        for note in found.notes:
            print(f"    {note[:400]}", flush=True)


@contextmanager
def _clusters() -> Iterator[dict[str, RealCluster]]:
    with ThreadPoolExecutor(2) as pool:
        starting = [pool.submit(RealCluster) for _ in "AB"]
        made = [each.result() for each in starting]
    try:
        for cluster in made:
            cluster.warm_up()
        yield dict(zip("AB", made, strict=True))
    finally:
        for cluster in made:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
