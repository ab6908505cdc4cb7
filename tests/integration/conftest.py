"""A world for tests of the public API: an HTTP catalog, two clusters, one backend."""

import contextlib
import itertools
import os
import threading
import time

import confluent_kafka
import pytest

from kafkaroute import Consumer, Producer
from kafkaroute.testing.catalog_stub import CatalogStub
from kafkaroute.testing.cluster import unique_name
from kafkaroute.testing.embedded import KAFKA_PYTHON_SETTINGS, EmbeddedCluster

BACKENDS = ("confluent-kafka", "kafka-python")
_numbers = itertools.count(1)


class World:
    """Channels on two clusters behind one catalog, and what landed there.

    Attributes:
        backend: the backend under test.
        clusters: two clusters.
        stub: the catalog.
        where: channel → (number of its cluster, topic).
    """

    def __init__(self, backend, clusters, stub, stack):
        self.backend = backend
        self.clusters = clusters
        self.stub = stub
        self.where = {}
        self._stack = stack

    def connection(self, cluster):
        more = {}
        if self.backend == "kafka-python" and isinstance(self.clusters[cluster], EmbeddedCluster):
            more = KAFKA_PYTHON_SETTINGS
        return self.clusters[cluster].client_config() | more

    def channel(
        self, cluster=0, *, topic=None, partitions=1, name=None, connection=None, **profile
    ):
        """A new channel on a topic of its own (or on `topic`, which is created where new)."""
        if topic is None:
            topic = self.clusters[cluster].new_topic(partitions)
        elif (cluster, topic) not in self.where.values():
            self.clusters[cluster].create_topic(topic, partitions)
        channel = name or f"kafka://example.com/{unique_name('c')}"
        self.stub.put(
            channel,
            topic=topic,
            connection=connection or self.connection(cluster),
            configuration={key.replace("_", "."): value for key, value in profile.items()},
        )
        self.where[channel] = (cluster, topic)
        return channel

    def dead_channel(self):
        """A channel on a cluster that nobody answers for."""
        channel = f"kafka://example.com/{unique_name('dead')}"
        connection = self.connection(0) | {
            "bootstrap.servers": f"127.0.0.1:{port_without_a_server()}"
        }
        self.stub.put(channel, topic="dead", connection=connection)
        return channel

    def settings(self, client_config=None, **more):
        return self.stub.settings(backend=self.backend, client_config=client_config or {}, **more)

    def producer(self, client_config=None, **more):
        """A Producer, closed at the test's end."""
        producer = Producer(self.settings(client_config, **more))
        self._stack.callback(producer.close, 2)
        return producer

    def consumer(self, channels=None, client_config=None, group=None, **more):
        """A Consumer of a new group that starts at the beginning, closed at the test's end."""
        config = {
            "group.id": group or unique_name("g"),
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
        consumer = Consumer(self.settings(config | (client_config or {}), **more))
        self._stack.callback(consumer.close)
        if channels is not None:
            consumer.subscribe(channels)
        return consumer

    # The bare client, to look from outside.

    def raw(self, channel):
        cluster, topic = self.where[channel]
        return self.clusters[cluster].client_config() | {"log_level": 0}, topic

    def write(self, channel, values, *, key=None, partition=None, timestamp=None, headers=None):
        config, topic = self.raw(channel)
        producer = confluent_kafka.Producer(config)
        more = {}
        if partition is not None:
            more["partition"] = partition
        if timestamp is not None:
            more["timestamp"] = timestamp
        failed = []
        for value in values:
            producer.produce(
                topic,
                value,
                key,
                headers=headers,
                on_delivery=lambda error, _: failed.append(error) if error else None,
                **more,
            )
        assert producer.flush(20) == 0
        assert not failed

    def landed(self, channel, timeout=20):
        """Everything in the channel's topic, read by the bare client, partition by partition."""
        return self.landed_in(*self.where[channel], timeout)

    def landed_in(self, cluster, topic, timeout=20):
        config = self.clusters[cluster].client_config() | {
            "log_level": 0,
            "group.id": unique_name("look"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10,
        }
        consumer = confluent_kafka.Consumer(config)
        try:
            numbers = sorted(consumer.list_topics(topic, 10).topics[topic].partitions)
            consumer.assign([confluent_kafka.TopicPartition(topic, n, 0) for n in numbers])
            found, open_ends = [], set(numbers)
            until = time.monotonic() + timeout
            while open_ends:
                assert time.monotonic() < until, f"{topic}: no end of {open_ends}"
                message = consumer.poll(0.2)
                if message is None:
                    continue
                if message.error() is None:
                    found.append(message)
                elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    open_ends.discard(message.partition())
                else:
                    pytest.fail(f"reading back {topic}: {message.error()}")
        finally:
            consumer.close()
        return sorted(found, key=lambda m: (m.partition(), m.offset()))

    # Waiting.

    def committed(self, channel, group):
        """Partition → what `group` has committed, where it has."""
        config, topic = self.raw(channel)
        consumer = confluent_kafka.Consumer(config | {"group.id": group})
        try:
            numbers = consumer.list_topics(topic, 10).topics[topic].partitions
            found = consumer.committed(
                [confluent_kafka.TopicPartition(topic, number) for number in numbers], 10
            )
        finally:
            consumer.close()
        return {p.partition: p.offset for p in found if p.offset >= 0}

    @staticmethod
    def read(consumer, count, timeout=30):
        """`count` messages from poll(); fails when they do not come."""
        found = []
        until = time.monotonic() + timeout
        while len(found) < count:
            message = consumer.poll(0.2)
            if message is None:
                assert time.monotonic() < until, f"{len(found)} of {count} messages came"
                continue
            assert message.error() is None, message.error()
            found.append(message)
        return found

    @staticmethod
    def quiet(consumer, seconds=1.0):
        """Fails when a message comes within `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert consumer.poll(0.1) is None

    @staticmethod
    def wait(condition, timeout=20, what="the condition"):
        until = time.monotonic() + timeout
        while not (answer := condition()):
            assert time.monotonic() < until, f"{what} did not come true in {timeout} s"
            time.sleep(0.02)
        return answer

    def join(self, consumer, channels=(), timeout=30):
        """Poll until something of every channel is assigned; messages meanwhile are returned."""
        found = []
        until = time.monotonic() + timeout
        while True:
            if (message := consumer.poll(0.1)) is not None:
                found.append(message)
            seen = {partition.channel for partition in consumer.assignment()}
            if seen >= set(channels or seen) and seen:
                return found
            assert time.monotonic() < until, f"assigned: {seen}"


def port_without_a_server():
    import socket

    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.detach()  # it stays bound until the process ends, or another test's server might get it
    return port


@contextlib.contextmanager
def _world(backend, clusters):
    with contextlib.ExitStack() as stack:
        stub = stack.enter_context(CatalogStub())
        # Entered before the clients, so that a test's fault does not outlive it.
        stack.callback(setattr, stub, "fault", None)
        yield World(backend, clusters, stub, stack)


@pytest.fixture(scope="session")
def embedded_pair(embedded_cluster):
    with EmbeddedCluster() as other:
        yield embedded_cluster, other


@pytest.fixture
def third_cluster():
    with EmbeddedCluster() as cluster:
        yield cluster


@pytest.fixture(params=BACKENDS)
def world(request, embedded_pair):
    """On two embedded clusters."""
    with _world(request.param, embedded_pair) as made:
        yield made


@pytest.fixture(
    params=[pytest.param(backend, marks=pytest.mark.kafka) for backend in BACKENDS],
)
def real_world(request, real_clusters):
    """On two real clusters."""
    with _world(request.param, real_clusters) as made:
        yield made


@pytest.fixture(
    params=[
        *(pytest.param((backend, "embedded"), id=f"{backend}-embedded") for backend in BACKENDS),
        *(
            pytest.param((backend, "real"), id=f"{backend}-real", marks=pytest.mark.kafka)
            for backend in BACKENDS
        ),
    ]
)
def any_world(request):
    """On two embedded clusters and on two real ones."""
    backend, kind = request.param
    pair = request.getfixturevalue("embedded_pair" if kind == "embedded" else "real_clusters")
    with _world(backend, pair) as made:
        yield made


class Background:
    """Calls `step` again and again on a thread until stopped; what it raised is raised at the end."""

    def __init__(self, step):
        self._step = step
        self._stop = threading.Event()
        self.error = None
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            while not self._stop.is_set():
                self._step()
        except BaseException as error:
            self.error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


@pytest.fixture
def pair(world):
    """Two channels whose topics have the same name on two clusters."""
    topic = unique_name("orders")
    return (
        world.channel(0, topic=topic, name=f"kafka://here.example/{topic}"),
        world.channel(1, topic=topic, name=f"kafka://there.example/{topic}"),
    )


@pytest.fixture
def background():
    return Background


def in_child(work, timeout=60):
    """Run `work` in a forked child; fails when it raises or hangs."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    until = time.monotonic() + timeout
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        if time.monotonic() > until:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail(f"the child did not end within {timeout} s")
        time.sleep(0.02)


@pytest.fixture(name="in_child")
def _in_child():
    return in_child
