"""A backend without Kafka, and a catalog that leads to it."""

import threading
import time
from collections import deque

import pytest

from kafkaroute import KafkaError, KafkaException, Message, TopicPartition
from kafkaroute.backend import registry
from kafkaroute.backend.contract import Backend, BackendConsumer, BackendProducer, Capability
from kafkaroute.messages import ClusterMetadata
from kafkaroute.testing.catalog_stub import CatalogStub


def kafka_error(code):
    return KafkaException(KafkaError(code))


class FakeProducer(BackendProducer):
    """Delivers when polled or flushed, unless `stuck`."""

    def __init__(self, config, unreachable=(), on_failure=None, only_failures=False):
        self.config = dict(config)
        self.unreachable = unreachable
        self.on_failure = on_failure
        self.only_failures = only_failures
        self.sent = []
        self.queue = deque()
        self.purged = deque()
        self.stuck = False
        self.dead = False
        self.full = False
        self.closed = 0
        self.calls = []
        self.cluster_id = config["bootstrap.servers"]

    def sender(self, topic):
        def send(value=None, key=None, partition=-1, on_delivery=None, timestamp=0, headers=None):
            if self.full:
                raise BufferError("Local: Queue full")
            self.sent.append((topic, value, key, partition, timestamp, headers))
            callback = on_delivery or self.on_failure
            produced = time.monotonic()
            self.queue.append((callback, topic, key, value, len(self.sent), produced))

        return send

    def _serve(self):
        served = 0
        while self.queue and not self.stuck:
            self._report(self.queue.popleft(), None)
            served += 1
        while self.purged:
            self._report(*self.purged.popleft())
            served += 1
        return served

    def _report(self, entry, code):
        callback, topic, key, value, offset, produced = entry
        error = None if code is None else KafkaError(code)
        if callback is not None and (error or not self.only_failures):
            latency = time.monotonic() - produced
            callback(error, Message(topic, 0, offset, key, value, error=error, latency=latency))

    def fail(self, code, count=None):
        """Let the oldest `count` messages (all) fail when next polled."""
        for _ in range(len(self.queue) if count is None else count):
            self.purged.append((self.queue.popleft(), code))

    def poll(self, timeout):
        served = self._serve()
        if not served and timeout > 0:
            time.sleep(timeout)
        return served

    def flush(self, timeout):
        self._serve()
        if self.queue and timeout > 0:
            time.sleep(timeout)
        return len(self)

    def __len__(self):
        return len(self.queue) + len(self.purged)

    def list_topics(self, topic, timeout):
        self.calls.append(("list_topics", topic))
        if self.dead or self.cluster_id in self.unreachable:
            raise kafka_error(KafkaError._TRANSPORT)
        return ClusterMetadata(self.cluster_id, 1, {}, {})

    def close(self, timeout):
        self.closed += 1
        left = len(self.queue)
        self.fail(KafkaError._PURGE_QUEUE)
        self._serve()
        return left

    def purge(self, in_queue, in_flight, blocking):
        self.calls.append(("purge", in_queue, in_flight, blocking))
        self.fail(KafkaError._PURGE_QUEUE)

    def set_sasl_credentials(self, username, password):
        self.calls.append(("credentials", username, password))

    def init_transactions(self, timeout):
        self.calls.append("init")

    def begin_transaction(self):
        self.calls.append("begin")

    def commit_transaction(self, timeout):
        self.calls.append("commit")

    def abort_transaction(self, timeout):
        self.calls.append(("abort", timeout))


class FakeConsumer(BackendConsumer):
    """Hands out what tests put into `inbox`: Messages, callables (called; their answer counts) and
    exceptions (raised). Records calls; notices when two threads are inside at once."""

    def __init__(self, config, origins):
        self.config = dict(config)
        self.origins = origins
        self.inbox = deque()
        self.calls = []
        self.closed = 0
        self.polls = 0
        self.callbacks = (None, None, None)
        self.gathers = True
        self.ahead = []
        self.taken = []
        self.overlaps = 0
        self.stored = False
        self._inside = threading.Lock()
        self._depth = threading.local()

    # Helpers for tests.

    def put(self, topic, value=b"v", partition=0, offset=0):
        self.inbox.append((topic, value, partition, offset))

    def revoke(self, topic="t", partition=0):
        """Let the next poll run on_revoke."""

        def revoked():
            self._drop_ahead(topic, partition)
            self.callbacks[1]([TopicPartition(topic, partition)])

        self.inbox.append(revoked)

    def assign_callback(self, topic="t", partition=0):
        self.inbox.append(lambda: self.callbacks[0]([TopicPartition(topic, partition)]))

    def _drop_ahead(self, topic, partition):
        self.ahead = [m for m in self.ahead if (m.topic(), m.partition()) != (topic, partition)]

    def _next(self):
        return self.ahead.pop(0) if self.ahead else self._arrived()

    def _arrived(self):
        item = self.inbox.popleft()
        if isinstance(item, BaseException):
            raise item
        if callable(item):
            answer = item()
            return answer if isinstance(answer, Message) else None
        topic, value, partition, offset = item
        return Message(topic, partition, offset, None, value, origin=self.origins.get(topic))

    def _enter(self):
        depth = getattr(self._depth, "n", 0)
        if depth == 0 and not self._inside.acquire(blocking=False):
            self.overlaps += 1
            self._inside.acquire()
        self._depth.n = depth + 1

    def _leave(self):
        self._depth.n -= 1
        if self._depth.n == 0:
            self._inside.release()

    def _call(self, *what):
        self._enter()
        self.calls.append(what)
        self._leave()

    # The contract.

    def poll(self, timeout):
        self._enter()
        try:
            self.polls += 1
            until = time.monotonic() + timeout
            while True:
                if self.ahead or self.inbox:
                    return self._next()
                if time.monotonic() >= until:
                    return None
                time.sleep(0.0005)
        finally:
            self._leave()

    def consume(self, num_messages, timeout):
        self._enter()
        try:
            found = []
            until = time.monotonic() + timeout
            while len(found) < num_messages:
                if self.ahead or self.inbox:
                    if (message := self._next()) is not None:
                        found.append(message)
                elif time.monotonic() >= until or found:
                    break
                else:
                    time.sleep(0.0005)
            self.taken += found
            return found
        finally:
            self._leave()

    def gather(self, num_messages, timeout):
        if not self.gathers:
            return None
        self._enter()
        try:
            until = time.monotonic() + timeout
            while len(self.ahead) < num_messages:
                if self.inbox:
                    if (message := self._arrived()) is not None:
                        self.ahead.append(message)
                elif time.monotonic() >= until:
                    break
                else:
                    time.sleep(0.0005)
            return min(len(self.ahead), num_messages)
        finally:
            self._leave()

    def put_back(self, partition):
        self._call("put_back", repr(partition))
        key = (partition.topic, partition.partition)
        again = [
            m
            for m in self.taken
            if (m.topic(), m.partition()) == key and m.offset() >= partition.offset
        ]
        self.taken = [m for m in self.taken if m not in again]
        self.ahead[:0] = again

    def subscribe(self, topics, on_assign, on_revoke, on_lost):
        self.callbacks = (on_assign, on_revoke, on_lost)
        self._call("subscribe", list(topics))

    def unsubscribe(self):
        self._call("unsubscribe")

    def assign(self, partitions):
        self._call("assign", [repr(p) for p in partitions])

    def unassign(self):
        self._call("unassign")

    def incremental_assign(self, partitions):
        self._call("incremental_assign", [repr(p) for p in partitions])

    def incremental_unassign(self, partitions):
        self._call("incremental_unassign", [repr(p) for p in partitions])

    def assignment(self):
        self._call("assignment")
        return [TopicPartition(topic, 0) for topic in self.origins]

    def commit(self, offsets, asynchronous):
        shown = None if offsets is None else [repr(p) for p in offsets]
        self._call("commit", shown, asynchronous)
        if offsets is None:
            if not self.stored:
                raise kafka_error(KafkaError._NO_OFFSET)
            offsets = [TopicPartition(topic, 0, 1) for topic in self.origins]
        return None if asynchronous else list(offsets)

    def store_offsets(self, offsets):
        self._call("store_offsets", [repr(p) for p in offsets])

    def committed(self, partitions, timeout):
        self._call("committed", timeout)
        return [
            TopicPartition(p.topic, p.partition, 10 + p.partition) for p in reversed(partitions)
        ]

    def position(self, partitions):
        self._call("position")
        return [TopicPartition(p.topic, p.partition, 20 + p.partition) for p in partitions]

    def seek(self, partition):
        self._drop_ahead(partition.topic, partition.partition)
        self._call("seek", repr(partition))

    def pause(self, partitions):
        self._call("pause", [repr(p) for p in partitions])

    def resume(self, partitions):
        self._call("resume", [repr(p) for p in partitions])

    def get_watermark_offsets(self, partition, timeout, cached):
        self._call("watermarks", repr(partition), timeout, cached)
        return (0, 7)

    def offsets_for_times(self, partitions, timeout):
        self._call("offsets_for_times", timeout)
        return [TopicPartition(p.topic, p.partition, 30) for p in partitions]

    def list_topics(self, topic, timeout):
        self._call("list_topics", topic, timeout)
        return ClusterMetadata(str(self.config["bootstrap.servers"]), 1, {}, {})

    def consumer_group_metadata(self):
        return ("group of", self.config["bootstrap.servers"])

    def memberid(self):
        return "member-" + str(self.config["bootstrap.servers"])

    def close(self):
        self._enter()
        self.closed += 1
        self._leave()


class FakeBackend(Backend):
    name = "fake"
    capabilities = frozenset(Capability)

    def __init__(self):
        self.producers = []
        self.consumers = []
        self.refuse = {}
        #: Bootstrap servers of clusters that answer no question.
        self.unreachable = set()

    def open_producer(self, config, *, on_failure=None, only_failures=False):
        if (error := self.refuse.get(config["bootstrap.servers"])) is not None:
            raise error
        self.producers.append(FakeProducer(config, self.unreachable, on_failure, only_failures))
        return self.producers[-1]

    def open_consumer(self, config, origins):
        if (error := self.refuse.get(config["bootstrap.servers"])) is not None:
            raise error
        self.consumers.append(FakeConsumer(config, origins))
        return self.consumers[-1]

    def check_config(self, config, *, consumer): ...

    def client_version(self):
        return "fake 1"


class FakeWorld:
    """The backend, the catalog's stub, and short ways to use both."""

    fake_consumer = FakeConsumer

    def __init__(self, stub, backend):
        self.stub = stub
        self.backend = backend

    def put(self, channel, topic, cluster="A", **more):
        self.stub.put(
            channel, topic=topic, connection={"bootstrap.servers": f"{cluster}:1"}, **more
        )
        return channel

    def settings(self, **more):
        return self.stub.settings(backend="fake", **more)

    def on(self, cluster):
        """The one live fake client of `cluster`."""
        clients = [*self.backend.producers, *self.backend.consumers]
        [client] = [
            c for c in clients if c.config["bootstrap.servers"] == f"{cluster}:1" and not c.closed
        ]
        return client


@pytest.fixture
def fake(monkeypatch):
    backend = FakeBackend()
    monkeypatch.setitem(registry._instances, "fake", backend)
    with CatalogStub() as stub:
        yield FakeWorld(stub, backend)
