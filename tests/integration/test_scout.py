"""The scout on real Kafka: is an old place empty for a group? With both backends."""

import contextlib
import time

import confluent_kafka
import pytest

from kafkaroute.backend.registry import get_backend
from kafkaroute.consumer.moving.drainage.looks import Ends
from kafkaroute.consumer.moving.drainage.scout import Scout
from kafkaroute.messages import TopicPartition
from kafkaroute.testing.cluster import unique_name

pytestmark = pytest.mark.kafka
BACKENDS = ("confluent-kafka", "kafka-python")


class Old:
    """An old place: a topic on a real cluster, a group, and a scout that looks at it."""

    def __init__(self, backend, cluster, stack):
        self.backend = get_backend(backend)
        self.cluster = cluster
        self.group = unique_name("g")
        self.topic = cluster.new_topic(1)
        self._stack = stack

    def scout(self, servers=None, **more):
        config = self.cluster.client_config() | {"group.id": self.group} | more
        if servers is not None:
            config["bootstrap.servers"] = servers
        scout = Scout(self.backend, config, interval=0.05, patience=3.0)
        self._stack.callback(scout.close, 20)
        return scout

    def raw_config(self, **more):
        return self.cluster.client_config() | {"log_level": 0} | more

    def write(self, count, partition=0, topic=None):
        producer = confluent_kafka.Producer(self.raw_config())
        for number in range(count):
            producer.produce(topic or self.topic, str(number), partition=partition)
        assert producer.flush(20) == 0

    def transactions(self):
        producer = confluent_kafka.Producer(
            self.raw_config(**{"transactional.id": unique_name("tx")})
        )
        producer.init_transactions(20)
        return producer

    def write_in(self, producer, count):
        producer.begin_transaction()
        for number in range(count):
            producer.produce(self.topic, str(number), partition=0)
        assert producer.flush(20) == 0

    def settled(self, high):
        """Wait until the marker of a transaction that ended is in the log."""
        config = self.raw_config(**{"group.id": unique_name("look")})
        with contextlib.closing(confluent_kafka.Consumer(config)) as consumer:
            where = confluent_kafka.TopicPartition(self.topic, 0)
            wait(lambda: consumer.get_watermark_offsets(where, 10) == (0, high))

    def commit(self, offset, partition=0, topic=None):
        consumer = confluent_kafka.Consumer(self.raw_config(**{"group.id": self.group}))
        with contextlib.closing(consumer):
            where = confluent_kafka.TopicPartition(topic or self.topic, partition, offset)
            [done] = consumer.commit(offsets=[where], asynchronous=False)
            assert done.error is None

    def delete_before(self, offset):
        where = confluent_kafka.TopicPartition(self.topic, 0, offset)
        for future in self.cluster.admin._client.delete_records([where]).values():
            future.result(20)


@pytest.fixture(params=BACKENDS)
def old(request, real_clusters):
    with contextlib.ExitStack() as stack:
        yield Old(request.param, real_clusters[0], stack)


def only(look):
    assert look.error is None
    [(number, extent)] = look.partitions.items()
    assert number == 0
    assert extent.error is None
    return extent


def test_an_empty_topic_is_drained_without_a_commit(old):
    look = old.scout().look(old.topic, 5)
    assert look.reached
    assert look.drained
    assert look.untouched
    assert look.cluster_id == old.cluster.cluster_id
    assert look.unread() == []


def test_commits_of_the_group_are_seen_at_once(old):
    old.write(10)
    scout = old.scout()
    assert not only(scout.look(old.topic, 5)).drained
    old.commit(7)
    look = scout.look(old.topic, 5)
    extent = only(look)
    assert (extent.read, extent.low, extent.high, extent.drained) == (7, 0, 10, False)
    assert [(p.partition, p.offset) for p in look.unread()] == [(0, 7)]
    assert not look.untouched
    old.commit(10)
    assert only(scout.look(old.topic, 5)).drained
    old.write(1)
    assert not only(scout.look(old.topic, 5)).drained


def test_a_topic_that_nobody_committed_on_is_not_drained(old):
    old.write(3)
    look = old.scout().look(old.topic, 5)
    assert not look.drained
    assert look.untouched
    assert [(p.partition, p.offset) for p in look.unread()] == [(0, 0)]


def test_the_own_position_counts_where_it_is_larger(old):
    old.write(10)
    scout = old.scout()
    old.commit(4)
    scout.report(old.topic, {0: 10})
    assert only(scout.look(old.topic, 5)).drained
    scout.report(old.topic, {0: 2})
    assert only(scout.look(old.topic, 5)).read == 4


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
def test_transactions(old, isolation):
    """Markers and aborted records are not given to anyone; records of an open transaction will be."""
    scout = old.scout(**{"isolation.level": isolation})
    committed = isolation == "read_committed"
    producer = old.transactions()
    old.write_in(producer, 5)  # 0-4, open
    extent = only(scout.look(old.topic, 5))
    assert (extent.high, extent.drained) == (5, False)
    producer.commit_transaction(20)  # marker 5
    old.settled(6)
    assert not only(scout.look(old.topic, 5)).drained
    old.commit(5)  # what an application commits: after the last message, before the marker
    extent = only(scout.look(old.topic, 5))
    assert (extent.read, extent.high, extent.drained) == (5, 6, True)
    old.write_in(producer, 3)  # 6-8, open
    assert not only(scout.look(old.topic, 5)).drained
    producer.abort_transaction(20)  # marker 9
    old.settled(10)
    extent = only(scout.look(old.topic, 5))
    assert (extent.high, extent.drained) == (10, committed)
    old.commit(9)
    assert only(scout.look(old.topic, 5)).drained


def test_messages_before_an_open_transaction_are_told_apart_from_it(old):
    old.write(2)
    producer = old.transactions()
    old.write_in(producer, 1)
    scout = old.scout()
    old.commit(2)
    assert not only(scout.look(old.topic, 5)).drained
    producer.abort_transaction(20)
    old.settled(4)
    assert only(scout.look(old.topic, 5)).drained


def test_a_trimmed_topic(old):
    old.write(10)
    scout = old.scout()
    old.commit(2)
    old.delete_before(6)
    extent = only(scout.look(old.topic, 5))
    assert (extent.read, extent.low, extent.next, extent.drained) == (2, 6, 6, False)
    old.delete_before(10)
    assert only(scout.look(old.topic, 5)).drained


def test_a_message_that_was_found_and_then_removed(old, monkeypatch):
    monkeypatch.setattr("kafkaroute.consumer.moving.drainage.gap_reader._BELIEVED", 0.0)
    old.write(3)
    scout = old.scout()
    assert not only(scout.look(old.topic, 5)).drained
    old.delete_before(3)
    assert only(scout.look(old.topic, 5)).drained


def test_nothing_is_joined_and_nothing_is_committed(old):
    old.write(5)
    scout = old.scout(**{"group.instance.id": "me", "enable.auto.commit": True})
    scout.look(old.topic, 5)
    scout.close(20)
    admin = old.cluster.admin._client
    described = admin.describe_consumer_groups([old.group])[old.group].result(20)
    assert not described.members
    assert old.scout().look(old.topic, 5).untouched


def test_a_hundred_partitions(old):
    topic = old.cluster.new_topic(100)
    producer = confluent_kafka.Producer(old.raw_config())
    for number in range(100):
        producer.produce(topic, b"x", partition=number)
    assert producer.flush(20) == 0
    scout = old.scout()
    look = scout.look(topic, 20)
    assert look.reached
    assert len(look.unread()) == 100
    consumer = confluent_kafka.Consumer(old.raw_config(**{"group.id": old.group}))
    with contextlib.closing(consumer):
        all_of_them = [confluent_kafka.TopicPartition(topic, number, 1) for number in range(100)]
        consumer.commit(offsets=all_of_them[:-1], asynchronous=False)
        look = scout.look(topic, 20)
        assert [(p.partition, p.offset) for p in look.unread()] == [(99, 0)]
        consumer.commit(offsets=all_of_them, asynchronous=False)
    look = scout.look(topic, 20)
    assert look.drained
    print("100 partitions:", old.backend.name, round(look.took, 3))
    assert look.took < 10


def test_partitions_that_are_added(old):
    from confluent_kafka.admin import NewPartitions

    scout = old.scout()
    ends = Ends(time.monotonic())
    ends.add(scout.look(old.topic, 5))
    assert ends.complete
    for future in old.cluster.admin._client.create_partitions(
        [NewPartitions(old.topic, 2)]
    ).values():
        future.result(20)
    until = time.monotonic() + 20
    while True:
        with contextlib.suppress(Exception):
            old.write(1, partition=1)
            break
        assert time.monotonic() < until
    while set((look := scout.look(old.topic, 5)).partitions) != {0, 1}:
        assert time.monotonic() < until
    ends.add(look)
    assert not ends.complete
    assert [(p.partition, p.offset) for p in ends.unread()] == [(1, 0)]
    old.commit(1, partition=1)
    ends.add(scout.look(old.topic, 5))
    assert ends.complete
    assert ends.ends == {0: 0, 1: 1}


def test_a_topic_that_is_not_there(old):
    look = old.scout().look("never-created", 5)
    assert not look.drained
    assert look.error is not None
    assert "never-created" not in old.cluster.admin._client.list_topics(timeout=10).topics


def test_a_dead_cluster_is_an_answer(old):
    scout = old.scout(servers="127.0.0.1:1")
    started = time.monotonic()
    look = scout.look(old.topic, 1.0)
    assert time.monotonic() - started < 10
    assert not look.reached
    assert not look.drained
    assert look.error


def test_a_cluster_that_hangs_and_goes_on(old):
    old.write(4)
    scout = old.scout()
    assert not scout.look(old.topic, 5).drained
    old.commit(4)
    with old.cluster.writes_hindered():
        started = time.monotonic()
        look = scout.look(old.topic, 1.0)
        took = time.monotonic() - started
        assert not look.reached
        assert not look.drained
        assert took < 10, took
    until = time.monotonic() + 20
    while not (look := scout.look(old.topic, 3)).drained:
        assert time.monotonic() < until, look


def test_the_thread_looks_by_itself_and_ends(old):
    old.write(3)
    scout = old.scout()
    assert scout.latest(old.topic) is None
    scout.watch(old.topic)
    wait(lambda: scout.latest(old.topic) is not None)
    assert not scout.latest(old.topic).drained
    old.commit(3)
    wait(lambda: scout.latest(old.topic).drained)
    scout.unwatch(old.topic)
    assert scout.latest(old.topic) is None
    scout.close(10)
    assert not scout._thread.is_alive()
    scout.close()


def test_both_signals_of_the_backend(old):
    """The contract: asked for, the high watermark is the last stable offset under read_committed;
    without isolation it counts records of open transactions."""
    producer = old.transactions()
    old.write(2)
    old.write_in(producer, 3)
    answers = {}
    for isolation in ("read_committed", "read_uncommitted"):
        config = old.cluster.client_config() | {"group.id": old.group, "isolation.level": isolation}
        client = old.backend.open_consumer(config, {})
        with contextlib.closing(client):
            where = TopicPartition(old.topic, 0)
            answers[isolation] = client.get_watermark_offsets(where, 10, False)
    producer.abort_transaction(20)
    assert answers == {"read_committed": (0, 2), "read_uncommitted": (0, 5)}


def wait(condition, timeout=15):
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
