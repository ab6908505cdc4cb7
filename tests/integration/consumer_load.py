"""A load and a consumer group for channels that move, and what is checked of them."""

import threading
import time
from collections import Counter, defaultdict

import confluent_kafka
import pytest

from kafkaroute import Consumer, Phase
from kafkaroute.testing.cluster import unique_name

WINDOW = 1.5


PARTITIONS = 3


KEYS = 7


class Load:
    """Writes keyed, numbered messages through the bare client; told when to go elsewhere, as a
    producer that learns of a move some time after the consumer."""

    def __init__(self, world, channel, rate=200):
        self.world, self.rate = world, rate
        self.sent = Counter()
        self._target = world.where[channel]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def go_to(self, cluster, topic):
        self._target = (cluster, topic)

    def _run(self):
        producers = {}
        number = 0
        current = None
        while not self._stop.is_set():
            cluster, topic = self._target
            if (cluster, topic) != current and current is not None:
                assert producers[current[0]].flush(20) == 0
            current = (cluster, topic)
            if cluster not in producers:
                producers[cluster] = confluent_kafka.Producer(
                    self.world.clusters[cluster].client_config()
                    | {"log_level": 0, "enable.idempotence": True, "linger.ms": 2}
                )
            key = f"k{number % KEYS}"
            producers[cluster].produce(topic, str(self.sent[key]).encode(), key)
            producers[cluster].poll(0)
            self.sent[key] += 1
            number += 1
            time.sleep(1 / self.rate)
        for producer in producers.values():
            assert producer.flush(20) == 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


class Group:
    """Members of one group, each polled on a thread of its own, and all that they read."""

    def __init__(self, world, channels, members=2, handle=None, **more):
        self.world, self.channels, self.more = world, channels, more
        self.group = unique_name("g")
        self.handle = handle
        self.read = defaultdict(list)  # (channel, key) → numbers in the order of reading
        self.events = []
        self.errors = []
        self._lock = threading.Lock()
        self._running = []
        for _ in range(members):
            self.add()

    def config(self):
        return {
            "group.id": self.group,
            "auto.offset.reset": "latest",
            "fetch.wait.max.ms": 50,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
        } | self.more.get("client_config", {})

    def add(self, start="earliest", **own):
        more = {key: value for key, value in self.more.items() if key != "client_config"}
        settings = self.world.settings(
            self.config() | {"auto.offset.reset": start},
            on_route_change=self.events.append,
            **{"ttl": 1.0, "move_window": WINDOW, "move_linger": 3.0, "drain_timeout": 2.0}
            | more
            | own,
        )
        consumer = Consumer(settings)
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(consumer, stop))
        self._running.append((consumer, stop, thread))
        thread.start()
        return consumer

    def _run(self, consumer, stop):
        try:
            consumer.subscribe(self.channels)
            while not stop.is_set():
                message = consumer.poll(0.2)
                if message is None:
                    continue
                assert message.error() is None, message.error()
                with self._lock:
                    key = (message.channel(), message.key().decode())
                    self.read[key].append(int(message.value()))
                if self.handle is not None:
                    self.handle(consumer, message)
        except BaseException as error:
            self.errors.append(error)
        finally:
            consumer.close()

    def remove(self):
        """Let the last member go, properly."""
        _, stop, thread = self._running.pop()
        stop.set()
        thread.join(60)
        assert not thread.is_alive()

    def close(self):
        for _, stop, _ in self._running:
            stop.set()
        for _, _, thread in self._running:
            thread.join(60)
            assert not thread.is_alive()
        self._running.clear()
        assert not self.errors, self.errors

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def phases(self, channel=None):
        return [e.phase for e in self.events if channel in {None, e.channel}]

    def await_phase(self, phase, count, timeout=30):
        until = time.monotonic() + timeout
        while not self.errors and self.phases().count(phase) < count:
            if time.monotonic() > until:
                pytest.fail(f"no {phase} {count} times; {self.phases()}; {self.standing()}")
            time.sleep(0.02)
        assert not self.errors, self.errors

    def standing(self):
        """What each member's native consumers have, for whoever has to find out why."""
        found = []
        for consumer, *_ in self._running:
            for member in consumer._members.all:
                own = member.client.assignment()
                positions = [(p.topic, p.partition, p.offset) for p in member.client.position(own)]
                kept = {key: [why.name for why in whys] for key, whys in member.kept._why.items()}
                found.append((positions, member.paused, kept, member.kept._silent, member.wanted()))
        return found

    def await_all(self, channel, sent, timeout=30):
        def complete():
            with self._lock:
                return self.errors or all(
                    len(set(self.read[channel, key])) >= count for key, count in sent.items()
                )

        until = time.monotonic() + timeout
        while not complete() and time.monotonic() < until:
            time.sleep(0.05)
        assert not self.errors, self.errors
        lost = {
            key: missing
            for key, count in sent.items()
            if (missing := sorted(set(range(count)) - set(self.read[channel, key])))
        }
        assert not lost, (lost, dict(sent), [str(e) for e in self.events], self.standing())

    def reordered(self, channel):
        """First readings that came after a higher number of the same key."""
        found = []
        for (where, key), numbers in list(self.read.items()):  # members go on reading
            highest, seen = -1, set()
            for number in numbers if where == channel else ():
                if number not in seen and number < highest:
                    found.append((key, number, highest))
                seen.add(number)
                highest = max(highest, number)
        return found

    def duplicates(self, channel):
        return sum(
            len(numbers) - len(set(numbers))
            for (where, _), numbers in list(self.read.items())
            if where == channel
        )


def move(world, channel, cluster, topic=None, **more):
    """Let the catalog answer a new place for `channel`; the topic's name, if it is new."""
    topic = topic or world.clusters[cluster].new_topic(PARTITIONS)
    world.stub.put(channel, topic=topic, connection=world.connection(cluster), **more)
    world.where[channel] = (cluster, topic)
    return cluster, topic


def run_move(world, members, do, **more):
    """A load through a move: `do(load, group, channel)` makes it happen."""
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], members, **more) as group, Load(world, channel) as load:
        world.wait(lambda: sum(map(len, list(group.read.values()))) > 100, 30, "the first messages")
        do(load, group, channel)
        time.sleep(1)
        load.stop()
        group.await_all(channel, load.sent)
    assert group.reordered(channel) == []
    return group, channel


def late_producers(load, target, group, phase=Phase.HELD, count=1, after=0.5):
    """The producers learn of the move after the consumers."""
    group.await_phase(phase, count)
    time.sleep(after)
    load.go_to(*target)


def commit_rarely(every):
    """A handler that commits each `every` messages of its consumer."""
    counts = Counter()

    def handle(consumer, message):
        counts[id(consumer)] += 1
        if counts[id(consumer)] % every == 0:
            consumer.commit(message, asynchronous=False)

    return handle
