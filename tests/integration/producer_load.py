"""A load for a Producer whose channels move, and what is checked of it."""

import threading
import time

from .stalls import Stalls

#: Refreshes come fast, and order per key needs idempotence, on the bare client as here.
MOVING = {"ttl": 1}


IDEMPOTENT = {"enable.idempotence": True, "linger.ms": 5}


class Load:
    """Produces numbered messages with four keys until told to stop; counts reports."""

    def __init__(self, producer, channel, *, callbacks=True, pause=0.001):
        self.producer = producer
        self.channel = channel
        self.sent = 0
        self.reported = {}
        self.delivered = []
        self.longest = 0.0
        self.stalls = Stalls()
        self._callbacks = callbacks
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.error = None

    def _run(self):
        try:
            while not self._stop.is_set():
                self.one()
                self.producer.poll(0)
                self._stop.wait(self._pause)
        except BaseException as error:
            self.error = error

    def one(self):
        number = self.sent
        report = self._report(number) if self._callbacks else None
        began = time.monotonic()
        while True:
            try:
                self.producer.produce(
                    self.channel, b"%d" % number, b"k%d" % (number % 4), on_delivery=report
                )
                break
            except BufferError:
                self.producer.poll(0.01)
        if number:  # the first one asks the catalog
            self.longest = max(self.longest, time.monotonic() - began)
        self.sent += 1

    def go_on(self, world, count):
        """Until `count` more messages were sent."""
        before = self.sent
        world.wait(lambda: self.sent > before + count)

    def _report(self, number):
        thread = self._thread

        def report(error, message):
            assert threading.current_thread() in (thread, threading.main_thread())
            self.reported.setdefault(number, []).append(error)
            self.delivered.append(time.monotonic())

        return report

    def __enter__(self):
        self.stalls.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)
        self.stalls.__exit__(*_)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


def numbers(messages):
    return [int(message.value()) for message in messages]


def check_order(messages):
    """Numbers go up per key, but for repetitions."""
    for key in {message.key() for message in messages}:
        first = list(dict.fromkeys(numbers(m for m in messages if m.key() == key)))
        assert first == sorted(first), key


def check(world, load, places, *, duplicates=False):
    """Nothing lost, nothing twice, order kept over `places` (in the order of the moves)."""
    landed = [message for place in places for message in world.landed_in(*place)]
    seen = numbers(landed)
    assert set(seen) == set(range(load.sent))
    if not duplicates:
        assert len(seen) == load.sent
    for place in places:
        check_order(world.landed_in(*place))
    if load._callbacks:
        assert load.reported == {n: [None] for n in range(load.sent)}


def moved(producer, count=1):
    """Whether `count` moves have come to their release."""
    return producer.counters().get("released", 0) >= count


def put(world, channel, cluster, topic, partitions=2, **profile):
    """Move `channel` to a (new) topic of `cluster`; returns the place."""
    world.channel(cluster, topic=topic, name=channel, partitions=partitions, **profile)
    return cluster, topic
