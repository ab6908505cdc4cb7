"""The kafka-python backend against kafka-python itself: with its defaults, and with our settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from typing import Any

import kafka

from kafkaroute import Producer
from kafkaroute_kafka_python.config import read_settings
from kafkaroute_kafka_python.translate import plan_producer

from .builder import cpu_figure, rate_figure
from .consuming import Filled, consume_batches, poll_loop
from .readback import Ledger
from .runs import Clock, Sample, check, interleaved
from .setting import Setting
from .shapes import KEYS, VALUE

__all__ = ["measure"]

CHANNEL = "kafka://bench.example/kafka-python"
#: What bare kafka-python must be told on the embedded broker, which it cannot ask.
_OLD_BROKER = {"api_version": (2, 3)}


def measure(setting: Setting) -> None:
    _produce(setting)
    _consume(setting)


# Producing.


def _produce(setting: Setting) -> None:
    servers = setting.servers
    topic = servers.topic()
    servers.put(CHANNEL, topic, "kafka-python", {})
    ledger = Ledger(servers.config(), topic)
    addresses = servers.config()["bootstrap.servers"]
    versions = _OLD_BROKER if servers.kind == "embedded" else {}
    plan = plan_producer(read_settings(servers.config("kafka-python"), consumer=False))
    count = setting.count(6000)
    with ExitStack() as stack:
        defaults = kafka.KafkaProducer(bootstrap_servers=addresses, **versions)
        stack.callback(defaults.close, 10)
        same = kafka.KafkaProducer(**plan.kwargs)
        stack.callback(same.close, 10)
        routed, reporting = (
            stack.enter_context(Producer(servers.settings("kafka-python"))) for _ in range(2)
        )
        stack.enter_context(ledger.balanced())
        taken = interleaved(
            setting.rounds(9),
            {
                "defaults": partial(_bare, defaults, topic, count, ledger),
                "same": partial(_bare, same, topic, count, ledger),
                "value, key=": partial(_routed, routed, count, ledger),
                "on_delivery=": partial(_reported, reporting, count, ledger),
            },
        )
        requests = interleaved(
            setting.rounds(5),
            {
                "same": partial(_bare_requests, same, topic, setting.count(300), ledger),
                "ours": partial(_requests, routed, setting.count(300), ledger),
            },
        )
    setting.result.figures.append(
        cpu_figure(
            "kafka-python",
            "CPU of a request: one message, flush()",
            requests["ours"],
            requests["same"],
            against="KafkaProducer, the same settings",
        )
    )
    for shape in ("value, key=", "on_delivery="):
        for side, against, goal in (
            ("defaults", "KafkaProducer, its defaults", 3.0),
            ("same", "KafkaProducer, the same settings", 1.0),
        ):
            setting.result.figures.append(
                rate_figure(
                    "kafka-python",
                    f"{shape} delivered, against {against}",
                    taken[shape],
                    taken[side],
                    against=against,
                    goal=goal,
                )
            )


def _bare(producer: Any, topic: str, count: int, ledger: Ledger) -> Sample:
    keys, value = KEYS, VALUE
    with Clock.running() as clock:
        futures = [producer.send(topic, value, key=keys[n & 15]) for n in range(count)]
        clock.lap()
        producer.flush(60)
    ledger.produced += count
    check(all(future.succeeded() for future in futures), "kafka-python did not deliver all")
    return clock.sample(count)


def _routed(producer: Producer, count: int, ledger: Ledger) -> Sample:
    keys, value = KEYS, VALUE
    with Clock.running() as clock:
        for number in range(count):
            producer.produce(CHANNEL, value, key=keys[number & 15])
        clock.lap()
        left = producer.flush(60)
    ledger.produced += count
    check(left == 0, f"{left} messages were not delivered")
    check(producer.counters()["failed without a callback"] == 0, "messages failed")
    return clock.sample(count)


def _reported(producer: Producer, count: int, ledger: Ledger) -> Sample:
    """With a callback, as kafka-python's futures tell of each message, too."""
    keys, value, good = KEYS, VALUE, 0

    def hit(error: object, _message: object) -> None:
        nonlocal good
        good += error is None

    with Clock.running() as clock:
        for number in range(count):
            producer.produce(CHANNEL, value, key=keys[number & 15], on_delivery=hit)
        clock.lap()
        left = producer.flush(60)
    ledger.produced += count
    check(left == 0, f"{left} messages were not delivered")
    check(good == count, f"{good} good reports for {count} messages")
    return clock.sample(count)


def _bare_requests(producer: Any, topic: str, count: int, ledger: Ledger) -> Sample:
    with Clock.running() as clock:
        for number in range(count):
            producer.send(topic, VALUE, key=KEYS[number & 15])
            producer.flush(10)
    ledger.produced += count
    return clock.sample(count)


def _requests(producer: Producer, count: int, ledger: Ledger) -> Sample:
    left = 0
    with Clock.running() as clock:
        for number in range(count):
            producer.produce(CHANNEL, VALUE, key=KEYS[number & 15])
            left += producer.flush(10)
    ledger.produced += count
    check(left == 0, f"{left} messages were not delivered in time")
    return clock.sample(count)


# Consuming.


def _consume(setting: Setting) -> None:
    filled = Filled(setting, setting.count(20_000), "kafka-python")
    addresses = setting.servers.config()["bootstrap.servers"]
    versions = _OLD_BROKER if setting.servers.kind == "embedded" else {}

    @contextmanager
    def bare(group: str) -> Iterator[Any]:
        consumer = kafka.KafkaConsumer(
            filled.topic,
            bootstrap_servers=addresses,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            **versions,
        )
        try:
            yield consumer
        finally:
            consumer.close()

    sides: dict[str, Callable[[], Sample]] = {
        "bare": partial(filled.run, bare, _iterate, ahead=0),
        "poll": partial(filled.run, filled.routed, poll_loop, ahead=0),
        "consume": partial(filled.run, filled.routed, consume_batches, ahead=0),
    }
    taken = interleaved(setting.rounds(6), sides)
    for side, name in (("poll", "poll() loop"), ("consume", "consume(500)")):
        setting.result.figures.append(
            rate_figure(
                "kafka-python",
                f"{name}, against `for message in KafkaConsumer`",
                taken[side],
                taken["bare"],
                against="for message in KafkaConsumer",
                goal=2.0,
            )
        )


def _iterate(consumer: Any, count: int) -> int:
    read = 0
    for message in islice(consumer, count):
        read += len(message.value)
    return read
