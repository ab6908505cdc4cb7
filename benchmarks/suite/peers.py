"""Others that produce to Kafka from Python, in the same run: messages delivered a second."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import confluent_kafka

from kafkaroute import Producer

from .builder import rate_figure
from .readback import Ledger
from .runs import Clock, Sample, check, interleaved
from .setting import Setting
from .shapes import KEYS, VALUE, keyed

__all__ = ["measure"]

CHANNEL = "kafka://bench.example/peers"
#: How many awaited calls are under way at once.
_AT_ONCE = 500


def measure(setting: Setting) -> None:
    servers = setting.servers
    topic = servers.topic()
    servers.put(CHANNEL, topic, "confluent-kafka", {})
    ledger = Ledger(servers.config(), topic)
    addresses = servers.config()["bootstrap.servers"]
    bare = confluent_kafka.Producer(servers.config())
    slow, fast = setting.count(4000), setting.count(40_000)
    with (
        asyncio.Runner() as runner,
        ExitStack() as closing,
        Producer(servers.settings("confluent-kafka")) as routed,
        ledger.balanced(),
    ):
        sides: dict[str, Callable[[], Sample]] = {
            "bare": partial(_native, bare, topic, fast, ledger),
            "kafkaroute": partial(_native, routed, CHANNEL, fast, ledger),
        }
        for name, module, start in _PEERS:
            try:
                importlib.import_module(module)
                peer = _Peer(runner, *runner.run(start(addresses, topic)))
                closing.callback(peer.close)
                peer.run(10, ledger)
            except ImportError as error:
                setting.result.missing[name] = f"is not installed: {error}"
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                setting.result.missing[name] = f"does not work on this broker: {reason}"
            else:
                sides[name] = partial(peer.run, slow, ledger)
        taken = interleaved(setting.rounds(5), sides)
    for name in sides:
        if name != "bare":
            setting.result.figures.append(
                rate_figure(
                    "peers",
                    f"{name}, value, key",
                    taken[name],
                    taken["bare"],
                    against="confluent-kafka",
                    note=_NOTES.get(name, ""),
                )
            )


def _native(producer: Any, where: str, count: int, ledger: Ledger) -> Sample:
    with Clock.running() as clock:
        keyed(producer.produce, where, count, print)
        clock.lap()
        left = producer.flush(60)
    ledger.produced += count
    check(left == 0, f"{left} messages were not delivered")
    return clock.sample(count)


#: Sends so many messages, and returns when they are delivered.
Send = Callable[[int], Awaitable[None]]
Stop = Callable[[], Awaitable[None]]


class _Peer:
    """A client that lives in an event loop."""

    def __init__(self, runner: asyncio.Runner, send: Send, stop: Stop) -> None:
        self._runner = runner
        self._send = send
        self._stop = stop

    def run(self, count: int, ledger: Ledger) -> Sample:
        with Clock.running() as clock:
            self._runner.run(self._wait(self._send(count)))
            clock.lap()
        ledger.produced += count
        return clock.sample(count)

    def close(self) -> None:
        self._runner.run(self._wait(self._stop()))

    @staticmethod
    async def _wait(what: Awaitable[None]) -> None:
        await asyncio.wait_for(what, 60)


async def _aiokafka(addresses: str, topic: str) -> tuple[Send, Stop]:
    import aiokafka

    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=addresses)
    await asyncio.wait_for(producer.start(), 10)

    async def send(count: int) -> None:
        futures = [await producer.send(topic, VALUE, key=KEYS[n & 15]) for n in range(count)]
        await producer.flush()
        await asyncio.gather(*futures)  # raises what failed

    return send, producer.stop


async def _faststream(broker: Any, topic: str) -> tuple[Send, Stop]:
    await asyncio.wait_for(broker.start(), 10)
    stop = broker.stop if hasattr(broker, "stop") else broker.close

    async def send(count: int) -> None:
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(count, first + _AT_ONCE))
            await asyncio.gather(
                *(broker.publish(VALUE, topic=topic, key=KEYS[n & 15]) for n in numbers)
            )

    return send, stop


async def _faststream_confluent(addresses: str, topic: str) -> tuple[Send, Stop]:
    from faststream.confluent import KafkaBroker

    return await _faststream(KafkaBroker(addresses, logger=None), topic)


async def _faststream_kafka(addresses: str, topic: str) -> tuple[Send, Stop]:
    from faststream.kafka import KafkaBroker

    return await _faststream(KafkaBroker(addresses, logger=None), topic)


_PEERS = (
    ("aiokafka", "aiokafka", _aiokafka),
    ("FastStream, confluent broker", "faststream.confluent", _faststream_confluent),
    ("FastStream, kafka broker", "faststream.kafka", _faststream_kafka),
)
_NOTES = {
    "aiokafka": "awaits send(), then flush()",
    "FastStream, confluent broker": f"awaits {_AT_ONCE} publish() at once",
    "FastStream, kafka broker": f"awaits {_AT_ONCE} publish() at once",
}
