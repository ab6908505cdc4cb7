"""1, 2, 4 and 8 threads producing through one Producer, against the bare client with as many."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import confluent_kafka

from kafkaroute import Producer

from .builder import per_call_figure
from .produce import TUNING
from .readback import Ledger
from .runs import Clock, Sample, check, interleaved
from .setting import Setting
from .shapes import keyed

__all__ = ["measure"]

CHANNEL = "kafka://bench.example/threads"


def measure(setting: Setting) -> None:
    servers = setting.servers
    topic = servers.topic()
    servers.put(CHANNEL, topic, "confluent-kafka", TUNING)
    config = servers.config()
    bare = confluent_kafka.Producer({**config, **TUNING})
    ledger = Ledger(config, topic)
    with Producer(servers.settings("confluent-kafka")) as routed, ledger.balanced():
        for threads in (1, 2, 4, 8):
            count = setting.count(40_000) // threads
            sides = {
                "bare": partial(_run, bare, topic, threads, count, ledger),
                "ours": partial(_run, routed, CHANNEL, threads, count, ledger),
            }
            taken = interleaved(setting.rounds(12), sides)
            setting.result.figures.append(
                per_call_figure(
                    "threads",
                    f"{threads} thread{'s' * (threads > 1)}, value, key=",
                    taken["ours"],
                    taken["bare"],
                    against="confluent-kafka, as many threads",
                )
            )


def _run(producer: Any, where: str, threads: int, count: int, ledger: Ledger) -> Sample:
    start = threading.Barrier(threads + 1)
    failures: list[BaseException] = []

    def work() -> None:
        start.wait()
        try:
            keyed(producer.produce, where, count, print)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    with Clock.running() as clock:
        start.wait()
        for worker in workers:
            worker.join()
        clock.lap()
        left = producer.flush(60)
    ledger.produced += threads * count
    check(not failures, f"a thread failed: {failures}")
    check(left == 0, f"{left} messages were not delivered")
    return clock.sample(threads * count)
