"""Clusters in memory, a catalog and Consumers that follow it quickly: for tests of moves."""

import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from kafkaroute import Consumer, KafkaError, KafkaException, Phase
from kafkaroute.backend import registry
from kafkaroute.backend.contract import Capability
from kafkaroute.testing.catalog_stub import CatalogStub
from kafkaroute.testing.cluster import unique_name

sys.path.insert(0, str(Path(__file__).parents[2] / "third_party_backend" / "src"))


from kafkaroute_memory.backend import MemoryBackend
from kafkaroute_memory.broker import Broker, Record
from kafkaroute_memory.consumer import MemoryConsumer

WINDOW = 0.4
X = "kafka://x/orders"
Y = "kafka://x/bills"


class Spy(MemoryConsumer):
    """A consumer that can lose its cluster, and remembers what matters: `found` is what its group
    had committed when it joined."""

    backend = None
    cluster = ""

    def _check(self):
        if self.cluster in self.backend.unreachable:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, f"{self.cluster} is away"))

    def list_topics(self, topic, timeout):
        self._check()
        return super().list_topics(topic, timeout)

    def committed(self, partitions, timeout):
        self._check()
        if self.cluster in self.backend.silent:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer in time"))
        return super().committed(partitions, timeout)

    def subscribe(self, topics, *callbacks):
        self.found = dict(self._group.committed)
        super().subscribe(topics, *callbacks)

    def get_watermark_offsets(self, partition, timeout, cached):
        self._check()
        return super().get_watermark_offsets(partition, timeout, cached)

    def poll(self, timeout):
        if self.cluster in self.backend.unreachable:
            time.sleep(min(max(timeout, 0), 0.01))
            return None
        return super().poll(timeout)

    def close(self):
        if self.cluster in self.backend.slow:
            self.backend.slow_closing.wait(30)
        super().close()

    def set_sasl_credentials(self, username, password):
        self.backend.credentials.append((username, password))

    def offsets_for_times(self, partitions, timeout):
        found = []
        for one in partitions:
            log = self._broker.log(one.topic)[one.partition]
            later = [n for n, record in enumerate(log) if record.timestamp >= one.offset]
            found.append(type(one)(one.topic, one.partition, min(later, default=-1)))
        return found


class Clusters(MemoryBackend):
    capabilities = MemoryBackend.capabilities | {Capability.SET_SASL_CREDENTIALS}

    def __init__(self):
        self.unreachable = set()
        #: Clusters whose coordinators do not answer.
        self.silent = set()
        self.credentials = []
        self.slow = set()
        self.slow_closing = threading.Event()
        self.consumers = []

    def check_config(self, config, *, consumer): ...

    def open_consumer(self, config, origins):
        cluster = config["bootstrap.servers"].split(",")[0]
        spy = Spy(
            Broker.named(cluster),
            config["group.id"],
            origins,
            earliest=config.get("auto.offset.reset", "latest") == "earliest",
            auto_commit=str(config.get("enable.auto.commit", True)).lower() == "true",
        )
        spy.backend, spy.cluster, spy.config = self, cluster, config
        self.consumers.append(spy)
        return spy


class MovesWorld:
    """One Consumer is polled by the test itself."""

    def __init__(self, stub, backend):
        self.stub = stub
        self.backend = backend
        self.mark = unique_name("b")
        self.group = unique_name("g")
        self.events = []
        self.calls = []

    def server(self, cluster):
        return f"{self.mark}{cluster}"

    def put(self, cluster, topic="orders", channel=X, servers=None, credentials=None, **more):
        self.stub.put(
            channel,
            topic=topic,
            connection={"bootstrap.servers": servers or self.server(cluster)},
            credentials=credentials or {},
            configuration=more.pop("configuration", {}),
            **more,
        )

    def write(self, cluster, *values, topic="orders", partition=0):
        broker = Broker.named(self.server(cluster))
        with broker.lock:
            log = broker.log(topic)[partition]
            log += [Record(b"k", value.encode(), None, int(time.time() * 1000)) for value in values]
            broker.lock.notify_all()

    def group_at(self, cluster):
        return Broker.named(self.server(cluster)).groups[self.group]

    def committed(self, cluster, topic="orders", partition=0):
        return self.group_at(cluster).committed.get((topic, partition), (None, None))

    def consumer(self, channels=(X,), client_config=None, **more):
        config = {"group.id": self.group, "auto.offset.reset": "earliest"}
        settings = self.stub.settings(
            backend="moves",
            client_config=config | (client_config or {}),
            **{
                "on_route_change": self.events.append,
                "ttl": 1.0,
                "move_window": WINDOW,
                "move_linger": 0.6,
                "drain_timeout": 0.6,
            }
            | more,
        )
        consumer = Consumer(settings)
        consumer.subscribe(list(channels), self.on_assign, self.on_revoke)
        return consumer

    def on_assign(self, consumer, partitions):
        self.calls.append(("assign", {p.topic for p in partitions}, partitions))

    def on_revoke(self, consumer, partitions):
        self.calls.append(("revoke", {p.topic for p in partitions}, partitions))

    def move(self, consumer, *where, **more):
        """The catalog answers another place, and the consumer learns of it now."""
        self.put(*where, **more)
        self.tell(consumer, more.get("channel", X))

    @staticmethod
    def tell(consumer, channel=X):
        consumer._router.cache.refresh(channel)

    def phases(self, channel=X):
        return [event.phase for event in self.events if event.channel == channel]

    def until(self, consumer, phase, count=1, channel=X, timeout=10):
        """Poll until `phase` was told; what was read meanwhile."""
        found = []
        end = time.monotonic() + timeout
        while self.phases(channel).count(phase) < count:
            assert time.monotonic() < end, self.phases(channel)
            if (message := consumer.poll(0.02)) is not None:
                found.append(message)
        return found

    @staticmethod
    def read(consumer, count, timeout=10):
        found = []
        end = time.monotonic() + timeout
        while len(found) < count:
            assert time.monotonic() < end, [m.value() for m in found]
            if (message := consumer.poll(0.05)) is not None:
                found.append(message)
        return found

    @staticmethod
    def share(*consumers, timeout=10):
        """Until all partitions are split among the consumers."""
        end = time.monotonic() + timeout
        while True:
            shares = [len(one.assignment()) for one in consumers]
            if sum(shares) == 4 and all(shares):
                return
            assert time.monotonic() < end, shares
            for one in consumers:
                one.poll(0.02)

    @staticmethod
    def during(consumer, seconds):
        """What is read in so many seconds, and in as many polls as fit in them: a machine that
        stalls takes the time, but not the polls."""
        found = []
        end = time.monotonic() + seconds
        polls = 0
        while time.monotonic() < end or polls < seconds / 0.02:
            polls += 1
            if (message := consumer.poll(0.02)) is not None:
                found.append(message)
        return found

    def started(self, **more):
        """A consumer that has read one message in the old place, A."""
        self.put("A")
        self.write("A", "first")
        consumer = self.consumer(**more)
        assert values(self.read(consumer, 1)) == ["first"]
        return consumer

    def open_natives(self):
        return [spy for spy in self.backend.consumers if not spy._closed]


@contextmanager
def open_world(monkeypatch, kind=MovesWorld):
    """A world of `kind`; when it ends, every native consumer has to be closed before long."""
    backend = Clusters()
    monkeypatch.setitem(registry._instances, "moves", backend)
    with CatalogStub() as stub:
        made = kind(stub, backend)
        yield made
    end = time.monotonic() + 20
    while made.open_natives():
        assert time.monotonic() < end, [spy.cluster for spy in made.open_natives()]
        time.sleep(0.02)


@pytest.fixture
def world(monkeypatch):
    """Tests take it over by its name: ``world = moves_world.world``."""
    with open_world(monkeypatch) as made:
        yield made


@pytest.fixture
def reading(world):
    with world.started() as consumer:
        yield consumer


def values(messages):
    return [message.value().decode() for message in messages]


SEQUENCE = [
    Phase.SEEN,
    Phase.OPENED,
    Phase.HELD,
    Phase.DRAINED,
    Phase.LEFT,
    Phase.LINGERING,
    Phase.DONE,
]


def consume(consumer, seconds):
    found = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found += consumer.consume(100, 0.05)
    return found


def share_of_both(world, consumer):
    end = time.monotonic() + 5
    while len(consumer.assignment()) != 8:
        assert time.monotonic() < end
        assert consumer.consume(1, 0.05) == []
