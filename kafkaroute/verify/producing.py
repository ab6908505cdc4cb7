"""What a producer process does: produce in sequence, and note each report."""

from __future__ import annotations

import logging
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ClosedError, KafkarouteError
from ..messages import KafkaError, Message
from ..producer.producer import Producer
from .payload import Payload, key_name
from .talk import Talk

__all__ = ["DELIVERED", "FAILED", "ProducerWork", "TransactionalWork"]

_log = logging.getLogger("kafkaroute.verify")

#: States of a message in the reports' file: 0 is unreported, DELIVERED + i is delivered to the
#: i-th topic that reports named.
FAILED = 1
DELIVERED = 2
_BURST = 200
#: Seconds between looks at what is due. poll() with a time-out would wake up for each report.
_PACE = 0.02
_METADATA_TIMEOUT = 30.0  # s
_FLUSH_TIMEOUT = 60.0  # s


class ProducerWork:
    """Produces message after message; even-numbered workers pass one and the same callback, odd
    ones a new callback and headers with each message, because kafkaroute treats them apart."""

    def __init__(self, talk: Talk) -> None:
        spec = talk.spec
        self._talk = talk
        self._number: int = spec["number"]
        self._channels: list[str] = spec["channels"]
        self._keys: int = spec["keys"]
        self._payload = Payload(spec["run"], spec["size"])
        self._names = [key_name(key) for key in range(self._keys)]
        self._plain = self._number % 2 == 0
        self._producer = Producer({**spec["settings"], "on_route_change": talk.change})
        self._count = 0
        self._state = bytearray()
        self._topics: list[str] = []
        self._failures: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._delivered = 0
        self._twice = 0
        self._last = 0.0
        self._pause = (0.0, 0.0)
        self._per_100_ms: Counter[int] = Counter()
        self._first_failures: list[str] = []

    def run(self) -> None:
        self._producer.preload(self._channels)
        partitions = {}
        for channel in self._channels:
            topics = self._producer.list_topics(channel, _METADATA_TIMEOUT).topics
            partitions[channel] = max(len(topic.partitions) for topic in topics.values())
        self._prepare()
        self._talk.say(
            "ready", partitions=partitions, backend=self._talk.spec["settings"].get("backend")
        )
        self._talk.wait_for_go()
        self._produce_until_told()
        left = self._finish()
        # The load stops here: what the end does to the native client is not its pause.
        pause = self._pause
        self._producer.close(5)
        Path(self._talk.spec["out"]).write_bytes(self._state)
        self._talk.say(
            "done",
            accepted=self._count,
            delivered=self._delivered,
            twice=self._twice,
            left=left,
            topics=self._topics,
            failures=self._failures,
            first_failures=self._first_failures,
            refused=self._refused,
            pause=pause,
            per_100_ms=sorted(self._per_100_ms.items()),
        )

    def _prepare(self) -> None:
        """Nothing, without transactions."""

    def _finish(self) -> int:
        until = time.monotonic() + _FLUSH_TIMEOUT
        left = 1
        while left and time.monotonic() < until:
            left = self._producer.flush(0.5)
            self._tell_progress()
        return left

    # Producing.

    def _produce_until_told(self) -> None:
        talk, poll = self._talk, self._producer.poll
        since, base, rate = time.monotonic(), 0, talk.rate
        while not talk.stopping:
            now = time.monotonic()
            if talk.rate != rate:
                since, base, rate = now, self._count, talk.rate
            due = talk.allowed if rate is None else base + int((now - since) * rate)
            if rate is not None and due - self._count > max(rate, _BURST):
                # What a full queue held up for longer than a second is not made good for.
                base -= due - self._count - int(rate)
            ahead = due - self._count
            for _ in range(min(ahead, _BURST)):
                if talk.stopping:
                    break
                self._produce_next()
            poll(0)
            if ahead <= _BURST:
                time.sleep(_PACE)
            self._tell_progress()

    def _produce_next(self) -> None:
        number = self._count
        key = number % self._keys
        channel = self._channels[key % len(self._channels)]
        value = self._payload.pack(self._number, key, number, time.time())
        self._state.append(0)
        self._count += 1
        while True:
            try:
                if self._plain:
                    self._producer.produce(channel, value, self._names[key], -1, self._on_report)
                else:
                    self._producer.produce(
                        channel,
                        value,
                        self._names[key],
                        on_delivery=partial(self._report, number),
                        headers=[("number", b"%d" % number)],
                    )
            except BufferError:
                self._producer.poll(0.05)
            except ClosedError:
                raise
            except KafkarouteError as error:
                self._refused[_name_of(error)] += 1
                self._producer.poll(0.1)
                if self._talk.stopping:  # it was not accepted
                    self._state.pop()
                    self._count -= 1
                    return
            else:
                return
            self._tell_progress()

    def _tell_progress(self) -> None:
        if self._talk.due(time.monotonic()):
            self._talk.say("progress", accepted=self._count, delivered=self._delivered)

    # Reports.

    def _on_report(self, error: KafkaError | None, message: Message) -> None:
        value = message.value()
        assert value is not None
        self._report(self._payload.unpack(value)[2], error, message)

    def _report(self, number: int, error: KafkaError | None, message: Message) -> None:
        if self._state[number]:
            self._twice += 1
            return
        if error is not None:
            self._state[number] = FAILED
            self._failures[error.name()] += 1
            if len(self._first_failures) < 5:
                self._first_failures.append(f"{number}: {error}")
            return
        self._state[number] = DELIVERED + self._topic(message.topic() or "")
        self._note_delivery(1)

    def _topic(self, name: str) -> int:
        topics = self._topics
        if topics and topics[-1] == name:
            return len(topics) - 1
        if name not in topics:
            topics.append(name)
        return topics.index(name)

    def _note_delivery(self, count: int) -> None:
        now = time.monotonic()
        self._delivered += count
        if self._last and now - self._last > self._pause[0]:
            self._pause = (now - self._last, self._last)
        self._last = now
        self._per_100_ms[int((now - self._talk.started) * 10)] += count


class TransactionalWork(ProducerWork):
    """One transaction after the other, each as long as the load says. Messages of one that had to
    be aborted are produced again in the next, under the same numbers."""

    def _prepare(self) -> None:
        self._length: float = self._talk.spec["transaction"]
        self._producer.init_transactions(60, channels=self._talk.spec["channels"])

    def _produce_until_told(self) -> None:
        talk = self._talk
        since, base, rate = time.monotonic(), 0, talk.rate
        while not talk.stopping:
            if talk.rate != rate:
                since, base, rate = time.monotonic(), self._count, talk.rate
            first, reported = self._count, self._twice
            try:
                self._producer.begin_transaction()
                until = time.monotonic() + self._length
                while (now := time.monotonic()) < until and not talk.stopping:
                    due = talk.allowed if rate is None else base + int((now - since) * rate)
                    for _ in range(max(0, min(due - self._count, _BURST))):
                        self._produce_next()
                    self._producer.poll(0)
                    time.sleep(_PACE)
                    self._tell_progress()
                self._producer.commit_transaction(60)
            except KafkarouteError as error:
                _log.warning("transaction aborted: %s", error, exc_info=True)
                self._refused[_name_of(error)] += 1
                self._abort(first, reported)

    def _abort(self, first: int, reported: int) -> None:
        self._producer.abort_transaction(60)
        self._producer.flush(30)
        # None of them is in a topic for readers of committed messages.
        done = sum(state >= DELIVERED for state in self._state[first:])
        self._delivered -= done
        del self._state[first:]
        self._count, self._twice = first, reported


def _name_of(error: BaseException) -> str:
    inner: Any = error.args[0] if error.args else None
    return (
        f"{type(error).__name__} {inner.name()}" if isinstance(inner, KafkaError) else repr(error)
    )
