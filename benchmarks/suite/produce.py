"""confluent-kafka: what routing adds to produce(), shape by shape, redelivery on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import confluent_kafka

from kafkaroute import Producer

from .builder import per_call_figure, rate_figure
from .readback import Ledger
from .runs import Clock, Sample, check, interleaved
from .setting import Setting
from .shapes import SHAPES, Loop, Shape

__all__ = ["QUEUE", "TUNING", "measure", "produce_once"]

CHANNEL = "kafka://bench.example/hot"
QUEUE = 1_000_000
#: Few, large requests, so that the broker's side disturbs the caller's least.
TUNING = {"linger.ms": 50, "queue.buffering.max.messages": QUEUE}
_DELIVERED_GOAL = 0.98  # on real Kafka


def measure(setting: Setting) -> None:
    servers, result = setting.servers, setting.result
    topic = servers.topic()
    servers.put(CHANNEL, topic, "confluent-kafka", TUNING)
    config = servers.config()
    bare = confluent_kafka.Producer({**config, **TUNING})
    ledger = Ledger(config, topic)
    # One Producer without callbacks, one with: an application is one or the other, and the first
    # callback exchanges the native client.
    with (
        Producer(servers.settings("confluent-kafka")) as plain,
        Producer(servers.settings("confluent-kafka")) as reporting,
    ):
        for shape in SHAPES:
            routed = reporting if shape.reports else plain
            with ledger.balanced():
                taken = _shape(setting, shape, bare, routed, topic, ledger)
            more = {"against": "confluent-kafka"}
            result.figures.append(
                per_call_figure("produce", shape.name, *taken, goal=shape.goal, **more)
            )
            goal = _DELIVERED_GOAL if servers.kind != "embedded" else None
            result.figures.append(rate_figure("delivered", shape.name, *taken, goal=goal, **more))
    left = bare.flush(30)
    check(left == 0, f"{left} messages of the bare client were not delivered")


def _shape(
    setting: Setting, shape: Shape, bare: Any, routed: Producer, topic: str, ledger: Ledger
) -> tuple[list[Sample], list[Sample]]:
    count = setting.count(40_000)
    produce = routed.channel(CHANNEL).produce if shape.through_handle else routed.produce
    sides: dict[str, Callable[[], Sample]] = {
        "bare": partial(
            produce_once, shape.bare, bare, bare.produce, topic, count, ledger, shape.reports
        ),
        "ours": partial(
            produce_once, shape.ours, routed, produce, CHANNEL, count, ledger, shape.reports
        ),
    }
    taken = interleaved(setting.rounds(25), sides, warm_ups=2)
    return taken["ours"], taken["bare"]


def produce_once(
    loop: Loop,
    producer: Any,
    produce: Callable[..., Any],
    where: str,
    count: int,
    ledger: Ledger,
    reports: bool,
) -> Sample:
    """One run: `count` messages, delivered, their reports counted."""
    check(len(producer) == 0, "the queue was not empty before a run")
    check(count < QUEUE, "the queue could get full")
    good = bad = 0

    def hit(error: object, _message: object) -> None:
        nonlocal good, bad
        if error is None:
            good += 1
        else:
            bad += 1

    with Clock.running() as clock:
        loop(produce, where, count, hit)  # a full queue raises BufferError, and ends the suite
        clock.lap()
        left = producer.flush(60)
    ledger.produced += count
    check(left == 0, f"{left} messages were not delivered")
    check(not bad, f"{bad} messages failed")
    check(good == (count if reports else 0), f"{good} reports for {count} messages")
    return clock.sample(count)
