"""Whether the number of channels costs anything: 1, 1,000 and 100,000 cached and in use.

Routes come from a catalog in a file, in this process: filling takes seconds instead of minutes, and
a refresh competes with produce() for the interpreter harder than one over HTTP does.
"""

from __future__ import annotations

import gc
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kafkaroute import Producer

from .builder import per_call_figure
from .figure import Figure
from .produce import TUNING, produce_once
from .readback import Ledger
from .runs import check, interleaved
from .setting import Setting
from .shapes import KEYS, VALUE, keyed
from .spread import spread

__all__ = ["measure"]

_RULES = """
clusters:
  - name: bench
    connection: {connection}
    rules:
      - match: {{host: 'bench\\.example'}}
        transform: "{{key}}"
profiles:
  - name: default
    settings: {tuning}
"""
#: Seconds that calls are timed one by one, quiet and during a refresh.
_WATCHED = 4.0
#: Seconds that a refresh of all channels may take.
_PATIENCE = 180.0


def measure(setting: Setting) -> None:
    most = setting.count(100_000)
    sizes = sorted({1, min(1000, most), most})
    topic = setting.servers.topic()
    ledger = Ledger(setting.servers.config(), topic)
    with tempfile.TemporaryDirectory(prefix="kafkaroute-bench-") as folder, ExitStack() as stack:
        producers: dict[int, Producer] = {}
        for size in sizes:
            # A profile for each, so that they do not share a cache.
            rules = Path(folder) / f"{size}.yaml"
            rules.write_text(_RULES.format(connection=setting.servers.config(), tuning=TUNING))
            producer = producers[size] = stack.enter_context(_open(rules))
            taken = _fill(producer, topic, size)
            if size == most:
                _memory_figures(setting, size, taken)
        with ledger.balanced():
            _per_call(setting, producers, topic, ledger)
        _threads(setting, most)
        with ledger.balanced():
            _refresh(setting, producers[most], topic, ledger)
    _requests(setting)


@contextmanager
def _open(rules: Path) -> Iterator[Producer]:
    settings = {
        "service_gateway_uri": rules.as_uri(),
        "config_profile": "default",
        "backend": "confluent-kafka",
        "ttl": 3600.0,  # quiet until told otherwise
    }
    with Producer(settings) as producer:
        yield producer


def _channel(name: str) -> str:
    return f"kafka://bench.example/{name}"


class _Filling(NamedTuple):
    """What one channel took: bytes when looked up, bytes when used, too; seconds to look up."""

    idle: float
    used: float
    seconds: float


def _fill(producer: Producer, topic: str, size: int) -> _Filling:
    """Preload so many channels, then have the senders of all of them made."""
    producer.preload([_channel(topic)])
    names = [f"idle-{number}" for number in range(size - 1)]
    gc.collect()
    before, began = _resident(), time.perf_counter()
    producer.preload(_channel(name) for name in names)
    took = time.perf_counter() - began
    gc.collect()
    check(len(producer.routes()) == size, "not every channel is ready")
    idle = _resident() - before
    for name in names:
        producer._connect(_channel(name))  # as its first message does, which no broker must store
    gc.collect()
    return _Filling(idle / size, (_resident() - before) / size, took / size)


def _resident() -> int:
    """Bytes of memory that the process holds."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmRSS")  # this group needs Linux


def _memory_figures(setting: Setting, size: int, taken: _Filling) -> None:
    for name, value, unit, goal, note in (
        ("memory per idle channel", taken.idle, "bytes", 1024, "preloaded, none used"),
        ("memory per channel in use", taken.used, "bytes", None, "with the sender of each made"),
        ("preload per channel", taken.seconds * 1e6, "µs", None, "out of a catalog in a file"),
    ):
        text = f"{size:,} channels, {note}"
        figure = Figure("flat", name, unit, spread([value]), goal=goal, note=text)
        setting.result.figures.append(figure)


def _per_call(setting: Setting, producers: dict[int, Producer], topic: str, ledger: Ledger) -> None:
    count = setting.count(20_000)
    gc.freeze()  # or each run would begin with a walk over all channels
    try:
        sides = {
            str(size): partial(
                produce_once,
                keyed,
                producer,
                producer.produce,
                _channel(topic),
                count,
                ledger,
                False,
            )
            for size, producer in producers.items()
        }
        taken = interleaved(setting.rounds(20), sides)
    finally:
        gc.unfreeze()
    for size in sorted(producers)[1:]:
        setting.result.figures.append(
            per_call_figure(
                "flat",
                f"produce() with {size:,} channels cached",
                taken[str(size)],
                taken["1"],
                goal=1.10,
                against="1 channel",
            )
        )


def _threads(setting: Setting, most: int) -> None:
    alive = sum(it.name == "kafkaroute-refresher" for it in threading.enumerate())
    setting.result.figures.append(
        Figure(
            "flat",
            "refresher threads",
            "",
            spread([alive]),
            goal=1,
            note=f"three Producers with {most:,} channels and more",
        )
    )


def _refresh(setting: Setting, producer: Producer, topic: str, ledger: Ledger) -> None:
    """p99.9 of produce() while all channels are asked for again."""
    gc.collect()
    gc.freeze()
    try:
        _percentile(producer, topic, 0.5, ledger)
        quiet, busy, refreshed = [], [], []
        for _ in range(2):
            quiet.append(_percentile(producer, topic, _WATCHED, ledger))
            with _refreshing(producer) as count:
                busy.append(_percentile(producer, topic, _WATCHED, ledger))
                refreshed.append(count())
            check(refreshed[-1], "nothing was refreshed meanwhile")
    finally:
        gc.unfreeze()
    ratio = spread([a / b for a, b in zip(busy, quiet, strict=True)])
    setting.result.figures.append(
        Figure(
            "flat",
            "p99.9 of produce() during a refresh",
            "µs",
            spread(busy),
            bare=spread(quiet),
            ratio=ratio,
            goal=3.0,
            against="quiet",
            note=f"every cached channel due at once, {min(refreshed):,} of them asked for within "
            f"the {_WATCHED:.0f} s; calls 20 µs apart, timed one by one",
        )
    )


@contextmanager
def _refreshing(producer: Producer) -> Iterator[Callable[[], int]]:
    """All channels become due when this begins; yields how many were asked for since. Ends when
    there are no more to ask for."""
    cache = producer._router.cache
    channels = list(producer.routes())
    began = time.monotonic()

    def asked() -> int:
        since = time.monotonic() - began
        return sum((cache.state(channel).age or 0) < since for channel in channels)

    def make_due() -> None:
        for channel in channels:
            cache.refresh(channel)

    worker = threading.Thread(target=make_due, daemon=True)
    worker.start()
    yield asked
    worker.join()
    while asked() < len(channels):
        check(time.monotonic() - began < _PATIENCE, "the refresh does not end")
        time.sleep(0.5)


def _percentile(producer: Producer, topic: str, seconds: float, ledger: Ledger) -> float:
    """Microseconds that 999 of 1,000 calls do not exceed."""
    produce, channel, clock = producer.produce, _channel(topic), time.perf_counter_ns
    taken = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for number in range(1000):
            began = clock()
            produce(channel, VALUE, key=KEYS[number & 15])
            taken.append(clock() - began)
            while clock() - began < 20_000:
                pass
    check(producer.flush(60) == 0, "not everything was delivered")
    ledger.produced += len(taken)
    taken.sort()
    return taken[int(len(taken) * 0.999)] / 1000


def _requests(setting: Setting) -> None:
    """Questions to the catalog while messages flow."""
    servers = setting.servers
    topic = servers.topic()
    channel = f"kafka://bench.example/{topic}"
    servers.put(channel, topic, "confluent-kafka", TUNING)
    with Producer(servers.settings("confluent-kafka")) as producer:
        producer.preload([channel])
        asked, count = servers.requests(), setting.count(50_000)
        keyed(producer.produce, channel, count, print)
        check(producer.flush(60) == 0, "not everything was delivered")
        more = servers.requests() - asked
    name = "catalog requests per message in steady state"
    setting.result.figures.append(Figure("flat", name, "", spread([more / count]), goal=0))
