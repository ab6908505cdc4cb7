"""Before the first message: imports, the first produce, many look-ups at once."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import confluent_kafka
import requests

from kafkaroute import Producer

from .figure import Figure
from .runs import Sample, check, interleaved
from .setting import Setting
from .shapes import VALUE
from .spread import ratios, spread

__all__ = ["measure"]

_numbers = itertools.count()
_TIMED_IMPORT = """
import time
began = time.perf_counter()
{statement}
print(time.perf_counter() - began)
"""
_CATALOG_DELAY = 0.02


def measure(setting: Setting) -> None:
    _imports(setting)
    _first_produce(setting)
    _preload(setting)


def _add(setting: Setting, name: str, ours: str, bare: str, sides: Any, **more: Any) -> None:
    mine, theirs = ([1000 / it.rate for it in sides[side]] for side in (ours, bare))
    setting.result.figures.append(
        Figure(
            "cold",
            name,
            "ms",
            spread(mine),
            bare=spread(theirs),
            ratio=ratios(mine, theirs),
            **more,
        )
    )


def _imports(setting: Setting) -> None:
    statements = {
        "kafkaroute": "import kafkaroute",
        "producer": "from kafkaroute import Producer",
        "requests": "import requests",
    }
    sides = {name: partial(_import, statement) for name, statement in statements.items()}
    taken = interleaved(setting.rounds(11), sides)
    against = "import requests"
    _add(setting, "import kafkaroute", "kafkaroute", "requests", taken, goal=1.3, against=against)
    note = "what `import kafkaroute` leaves for the first use"
    _add(setting, statements["producer"], "producer", "requests", taken, against=against, note=note)


def _import(statement: str) -> Sample:
    code = _TIMED_IMPORT.format(statement=statement)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return Sample(1 / float(done.stdout))


def _first_produce(setting: Setting) -> None:
    servers = setting.servers
    topic = servers.topic()
    settings = servers.settings("confluent-kafka")

    def routed() -> float:
        channel = f"kafka://bench.example/cold-{next(_numbers)}"
        servers.put(channel, topic, "confluent-kafka", {})
        asked = servers.requests()
        began = time.perf_counter()
        producer = Producer(settings)
        producer.produce(channel, VALUE)
        took = time.perf_counter() - began
        check(producer.close(10) == 0, "the first message was not delivered")
        check(servers.requests() - asked == 1, "the first message took more than one question")
        return took

    def bare() -> float:
        """The same by hand: one question over HTTP, one native client, one message."""
        channel = f"kafka://bench.example/cold-{next(_numbers)}"
        servers.put(channel, topic, "confluent-kafka", {})
        began = time.perf_counter()
        with requests.Session() as session:
            answer = session.get(
                settings["service_gateway_uri"],
                params={"config_profile": "default", "channel": channel},
                auth=settings["basic_auth"],
                timeout=5,
            ).json()
        producer = confluent_kafka.Producer(answer["connection"])
        producer.produce(answer["channel_mapping"][channel.rpartition("/")[2]], VALUE)
        took = time.perf_counter() - began
        check(producer.flush(10) == 0, "the first message was not delivered")
        return took

    taken = interleaved(
        setting.rounds(15), {"ours": partial(_once, routed), "bare": partial(_once, bare)}
    )
    _add(
        setting,
        "Producer(), first produce()",
        "ours",
        "bare",
        taken,
        against="requests.get(), confluent_kafka.Producer(), produce()",
    )


def _preload(setting: Setting) -> None:
    """64 channels, a catalog that takes 20 ms for each: at once, and one after the other."""
    servers = setting.servers
    topic = servers.topic()

    def load(open_all: Callable[[Producer, list[str]], None]) -> float:
        channels = [f"kafka://bench.example/pre-{next(_numbers)}" for _ in range(64)]
        for channel in channels:
            servers.put(channel, topic, "confluent-kafka", {})
        with Producer(servers.settings("confluent-kafka")) as producer:
            began = time.perf_counter()
            open_all(producer, channels)
            took = time.perf_counter() - began
            check(len(producer.routes()) == 64, "not every channel is ready")
        return took

    def one_by_one(producer: Producer, channels: list[str]) -> None:
        for channel in channels:
            producer.preload([channel])

    servers.delay(_CATALOG_DELAY)
    try:
        sides = {
            "ours": partial(_once, partial(load, Producer.preload)),
            "bare": partial(_once, partial(load, one_by_one)),
        }
        taken = interleaved(setting.rounds(3), sides)
    finally:
        servers.delay(0)
    _add(
        setting,
        "preload() of 64 channels",
        "ours",
        "bare",
        taken,
        against="one after the other",
        note=f"the catalog takes {_CATALOG_DELAY * 1000:.0f} ms for each answer",
    )


def _once(timed: Callable[[], float]) -> Sample:
    return Sample(1 / timed())
