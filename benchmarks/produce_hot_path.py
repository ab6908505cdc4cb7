"""What routing adds to produce(): nanoseconds a call, against the bare client, in one process.

Runs of both sides are interleaved; the figure is the median of the ratios of neighbouring runs,
with their quartiles. Everything produced is delivered before the next run starts, so that no
queue is ever full. Garbage collection is off while a run is timed.

    python -m benchmarks.produce_hot_path [--rounds 40] [--messages 20000]
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import confluent_kafka

from kafkaroute import Producer
from kafkaroute.testing.catalog_stub import CatalogStub
from kafkaroute.testing.embedded import EmbeddedCluster

CHANNEL = "kafka://bench.example/hot"
TOPIC = "hot"
VALUE = b"x" * 100
KEYS = [b"key-%d" % i for i in range(16)]
#: Few, large requests, so that the broker's side disturbs the caller's least.
TUNING = {"linger.ms": 50, "queue.buffering.max.messages": 1_000_000}

Shape = Callable[[Callable[..., Any], str, int], None]


def on_delivery(_error: object, _message: object) -> None:
    pass


def keyed(produce: Callable[..., Any], where: str, count: int) -> None:
    keys, value = KEYS, VALUE
    for i in range(count):
        produce(where, value, key=keys[i & 15])


def same_callback(produce: Callable[..., Any], where: str, count: int) -> None:
    keys, value, callback = KEYS, VALUE, on_delivery
    for i in range(count):
        produce(where, value, key=keys[i & 15], on_delivery=callback)


def fresh_callback(produce: Callable[..., Any], where: str, count: int) -> None:
    keys, value = KEYS, VALUE
    for i in range(count):
        produce(where, value, key=keys[i & 15], on_delivery=lambda _e, _m: None)


def with_headers(produce: Callable[..., Any], where: str, count: int) -> None:
    keys, value, headers = KEYS, VALUE, [("trace", b"abc")]
    for i in range(count):
        produce(where, value, key=keys[i & 15], headers=headers)


SHAPES: dict[str, Shape] = {
    "value, key=": keyed,
    "value, key=, on_delivery= (same)": same_callback,
    "value, key=, on_delivery= (fresh)": fresh_callback,
    "value, key=, headers=": with_headers,
}


def timed(shape: Shape, producer: Any, where: str, count: int) -> float:
    """Nanoseconds a call, everything delivered afterwards."""
    gc.collect()
    gc.disable()
    start = time.perf_counter_ns()
    shape(producer.produce, where, count)
    elapsed = time.perf_counter_ns() - start
    gc.enable()
    if producer.flush(60):
        raise SystemExit("not everything was delivered")
    return elapsed / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--messages", type=int, default=20_000)
    options = parser.parse_args()
    with EmbeddedCluster() as cluster, CatalogStub() as stub:
        connection = cluster.client_config()
        stub.put(CHANNEL, topic=TOPIC, connection=connection, configuration=TUNING)
        bare = confluent_kafka.Producer({**connection, **TUNING})
        with Producer(stub.settings(backend="confluent-kafka")) as routed:
            print(f"{'shape':36}{'bare ns':>9}{'routed ns':>11}{'ratio':>8}{'quartiles':>16}")
            for name, shape in SHAPES.items():
                timed(shape, bare, TOPIC, 2000)
                timed(shape, routed, CHANNEL, 2000)
                ours, theirs = [], []
                for _ in range(options.rounds):
                    theirs.append(timed(shape, bare, TOPIC, options.messages))
                    ours.append(timed(shape, routed, CHANNEL, options.messages))
                ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
                low, middle, high = statistics.quantiles(ratios, n=4)
                print(
                    f"{name:36}{statistics.median(theirs):9.0f}{statistics.median(ours):11.0f}"
                    f"{middle:8.3f}{low:9.3f}–{high:.3f}"
                )


if __name__ == "__main__":
    main()
