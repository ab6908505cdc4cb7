"""A Producer follows its channels to other topics, clusters, credentials: every message counted."""

import contextlib
import itertools
import threading
import time

import pytest

from kafkaroute import KafkaException, Phase, TopicPartition
from kafkaroute.testing.cluster import unique_name

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

    def _report(self, number):
        thread = self._thread

        def report(error, message):
            assert threading.current_thread() in (thread, threading.main_thread())
            self.reported.setdefault(number, []).append(error)
            self.delivered.append(time.monotonic())

        return report

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)
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


@pytest.mark.parametrize("callbacks", [True, False], ids=["callbacks", "quiet"])
def test_to_another_cluster(any_world, callbacks):
    world = any_world
    channel = world.channel(0, partitions=2)
    old = world.where[channel]
    events = []
    producer = world.producer(IDEMPOTENT, on_route_change=events.append, **MOVING)
    with Load(producer, channel, callbacks=callbacks) as load:
        world.wait(lambda: load.sent > 200)
        new = put(world, channel, 1, unique_name("moved"))
        world.wait(lambda: moved(producer))
        before = load.sent
        world.wait(lambda: load.sent > before + 200)
    assert producer.flush(30) == 0
    assert load.longest < 2
    check(world, load, [old, new])
    phases = [event.phase for event in events]
    assert phases[:5] == [Phase.SEEN, Phase.OPENED, Phase.HELD, Phase.DRAINED, Phase.RELEASED]
    assert {(e.channel, e.intent, e.old.topic, e.new.topic) for e in events} == {
        (channel, "produce", old[1], new[1])
    }


def test_to_another_topic(any_world):
    world = any_world
    channel = world.channel(0, partitions=2)
    old = world.where[channel]
    producer = world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel) as load:
        world.wait(lambda: load.sent > 100)
        new = put(world, channel, 0, unique_name("moved"))
        world.wait(lambda: moved(producer))
        before = load.sent
        world.wait(lambda: load.sent > before + 100)
    assert producer.flush(30) == 0
    check(world, load, [old, new])
    world.wait(lambda: not producer._dispatch.movers)
    assert len(producer._router.clients()) == 1


def test_to_a_topic_of_the_same_name_on_another_cluster(world):
    name = unique_name("same")
    channel = world.channel(0, topic=name, partitions=2)
    producer = world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel) as load:
        world.wait(lambda: load.sent > 100)
        put(world, channel, 1, name)
        world.wait(lambda: moved(producer))
        before = load.sent
        world.wait(lambda: load.sent > before + 100)
    assert producer.flush(30) == 0
    check(world, load, [(0, name), (1, name)])


def test_another_profile(world):
    """The same topic, sent by a client with other settings."""
    channel = world.channel(0, partitions=2)
    place = world.where[channel]
    producer = world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel) as load:
        world.wait(lambda: load.sent > 100)
        put(world, channel, *place, message_timeout_ms=60_000)
        world.wait(lambda: moved(producer))
        before = load.sent
        world.wait(lambda: load.sent > before + 100)
    assert producer.flush(30) == 0
    check(world, load, [place])


def test_there_and_back(any_world):
    world = any_world
    channel = world.channel(0, partitions=2)
    places = [world.where[channel]]
    producer = world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel) as load:
        for cluster in (1, 0, 1):
            before = load.sent
            world.wait(lambda before=before: load.sent > before + 50)
            places.append(put(world, channel, cluster, unique_name("moved")))
            world.wait(lambda: moved(producer, len(places) - 1))
        before = load.sent
        world.wait(lambda: load.sent > before + 50)
    assert producer.flush(30) == 0
    check(world, load, places)


def test_one_channel_moves_and_its_neighbour_stays(world):
    here, there = world.channel(0, partitions=2), world.channel(0, partitions=2)
    old, stays = world.where[here], world.where[there]
    producer = world.producer(IDEMPOTENT, **MOVING)
    moving, staying = (Load(producer, channel, callbacks=False) for channel in (here, there))
    with moving, staying:
        world.wait(lambda: min(moving.sent, staying.sent) > 100)
        new = put(world, here, 1, unique_name("moved"))
        world.wait(lambda: moved(producer))
        before = staying.sent
        world.wait(lambda: staying.sent > before + 100)
    assert producer.flush(30) == 0
    check(world, moving, [old, new])
    check(world, staying, [stays])


def test_an_unreachable_cluster_is_not_taken(world):
    channel = world.channel(0, partitions=2)
    old = world.where[channel]
    topic = world.clusters[1].new_topic(2)
    events = []
    producer = world.producer(IDEMPOTENT, on_route_change=events.append, **MOVING)
    with Load(producer, channel) as load:
        world.wait(lambda: load.sent > 50)
        world.clusters[1].kill()
        try:
            world.stub.put(channel, topic=topic, connection=world.connection(1))
            world.wait(lambda: [e for e in events if e.phase == Phase.UNREACHABLE])
            before = load.sent
            world.wait(lambda: load.sent > before + 200)
            assert not moved(producer)
        finally:
            world.clusters[1].start()
        world.wait(lambda: moved(producer), 60)
        before = load.sent
        world.wait(lambda: load.sent > before + 50)
    assert producer.flush(30) == 0
    assert len([e for e in events if e.phase == Phase.UNREACHABLE]) == 1
    check(world, load, [old, (1, topic)])


def test_the_old_cluster_is_gone(world):
    """What it did not acknowledge is delivered by the new one, in order, before all else."""
    channel = world.channel(0, partitions=2)
    old = world.where[channel]
    producer = world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel) as load:
        world.wait(lambda: load.sent > 100)
        new = put(world, channel, 1, unique_name("moved"))
        world.clusters[0].kill()
        try:
            world.wait(lambda: moved(producer))
        finally:
            world.clusters[0].start()
        before = load.sent
        world.wait(lambda: load.sent > before + 100)
    assert producer.flush(30) == 0
    assert producer.counters()["rescued"] > 0
    check(world, load, [old, new], duplicates=True)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_the_old_cluster_fails_at_the_change(real_world, fault):
    """The longest silence of the producer is bounded by the TTL and five seconds."""
    world = real_world
    old_cluster = world.clusters[0]
    channel = world.channel(0, partitions=2)
    old = world.where[channel]
    producer = world.producer(IDEMPOTENT, ttl=3)
    with Load(producer, channel) as load, contextlib.ExitStack() as stack:
        world.wait(lambda: load.sent > 200)
        new = put(world, channel, 1, unique_name("moved"))
        if fault == "killed":
            old_cluster.kill()
            stack.callback(old_cluster.start)
        else:
            stack.enter_context(old_cluster.writes_hindered())
        world.wait(lambda: moved(producer))
        before = load.sent
        world.wait(lambda: load.sent > before + 200)
        stack.close()
    assert producer.flush(30) == 0
    assert max(b - a for a, b in itertools.pairwise(load.delivered)) < 3 + 5
    assert producer.counters()["rescued"] > 0
    check(world, load, [old, new], duplicates=True)


def test_what_rescued_messages_carry(world):
    """Headers, timestamps and explicit partitions survive, with and without callbacks."""
    channel = world.channel(0, partitions=3)
    old = world.where[channel]
    producer = world.producer(IDEMPOTENT, **MOVING)
    producer.preload([channel])
    world.clusters[0].kill()
    reports = []
    began = int(time.time() * 1000)
    try:
        for number in range(60):
            producer.produce(
                channel,
                b"%d" % number,
                b"k%d" % (number % 3),
                partition=number % 3,
                headers=[("n", b"%d" % number)] if number % 2 else None,
                timestamp=1_000_000 + number if number % 5 == 0 else 0,
                on_delivery=(lambda e, m: reports.append(e)) if number % 4 == 0 else None,
            )
        new = put(world, channel, 1, unique_name("moved"), partitions=3)
        world.wait(lambda: moved(producer))
    finally:
        world.clusters[0].start()
    ended = int(time.time() * 1000)
    assert producer.flush(30) == 0
    assert world.landed_in(*old) == []
    landed = world.landed_in(*new)
    assert sorted(numbers(landed)) == list(range(60))
    for message in landed:
        number = int(message.value())
        assert message.partition() == number % 3
        assert message.headers() == ([("n", b"%d" % number)] if number % 2 else None)
        if number % 5 == 0:
            assert message.timestamp() == (1, 1_000_000 + number)
        else:
            assert began - 2 <= message.timestamp()[1] <= ended
    check_order(landed)
    assert reports == [None] * 15


def test_a_burst_is_rescued_in_order(world):
    """More than fits into one request, partly in flight, keys spread over partitions."""
    channel = world.channel(0, partitions=4)
    old = world.where[channel]
    producer = world.producer(
        IDEMPOTENT | {"batch.num.messages": 200, "message.timeout.ms": 60_000}, **MOVING
    )
    producer.preload([channel])
    total = 3000
    with world.clusters[0].writes_hindered():
        for number in range(total):
            producer.produce(channel, b"%d" % number, b"k%d" % (number % 7))
        new = put(world, channel, 1, unique_name("moved"), partitions=4)
        world.wait(lambda: producer.counters().get("held"))
        for number in range(total, total + 100):
            producer.produce(channel, b"%d" % number, b"k%d" % (number % 7))
        world.wait(lambda: moved(producer), 40)
    assert producer.flush(30) == 0
    landed = world.landed_in(*new)
    assert {*numbers(landed), *numbers(world.landed_in(*old))} == set(range(total + 100))
    check_order(landed)


def test_a_password_is_rotated_on_the_live_client(real_world):
    cluster = real_world.clusters[0]
    secured = cluster.client_config("scram-sha-512")
    channel = real_world.channel(0, partitions=2, connection=secured)
    place = real_world.where[channel]
    producer = real_world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel, pause=0.005) as load:
        real_world.wait(lambda: load.sent > 100)
        clients = list(producer._router.clients())
        cluster.alter_scram_password("scram-sha-512", unique_name("pass"))
        put(real_world, channel, *place, connection=cluster.client_config("scram-sha-512"))
        real_world.wait(lambda: producer.counters().get("credentials replaced"))
        until = time.monotonic() + 4  # the broker asks for them again within 3 s
        real_world.wait(lambda: time.monotonic() > until)
    assert producer.flush(30) == 0
    assert list(producer._router.clients()) == clients
    check(real_world, load, [place])


def test_what_a_refused_login_failed_is_sent_with_the_new_one(real_world):
    """The TTL is long: the first message that fails has the new password asked for."""
    cluster = real_world.clusters[0]
    secured = cluster.client_config("scram-sha-512")
    channel = real_world.channel(0, partitions=2, connection=secured)
    place = real_world.where[channel]
    producer = real_world.producer(IDEMPOTENT | {"message.timeout.ms": 3000}, ttl=120)
    with Load(producer, channel, pause=0.005) as load:
        real_world.wait(lambda: load.sent > 100)
        clients = list(producer._router.clients())
        cluster.alter_scram_password("scram-sha-512", unique_name("pass"))
        put(real_world, channel, *place, connection=cluster.client_config("scram-sha-512"))
        # The broker asks for it again within 3 s, and then messages have 3 s to fail.
        real_world.wait(lambda: producer.counters().get("credentials replaced"), 20)
        before = load.sent
        real_world.wait(lambda: load.sent > before + 200)
    assert producer.flush(30) == 0
    assert load.longest < 2
    assert list(producer._router.clients()) == clients
    assert producer.counters()["rescued"] > 0
    check(real_world, load, [place], duplicates=True)  # what was on the wire


def test_another_mechanism_is_a_move(real_world):
    cluster = real_world.clusters[0]
    channel = real_world.channel(0, partitions=2, connection=cluster.client_config("scram-sha-512"))
    place = real_world.where[channel]
    producer = real_world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel, pause=0.005) as load:
        real_world.wait(lambda: load.sent > 50)
        put(real_world, channel, *place, connection=cluster.client_config("plain"))
        real_world.wait(lambda: moved(producer))
        before = load.sent
        real_world.wait(lambda: load.sent > before + 50)
    assert producer.flush(30) == 0
    check(real_world, load, [place])


def test_a_transaction_ends_before_its_channel_moves(real_world):
    channel = real_world.channel(0)
    old = real_world.where[channel]
    producer = real_world.producer({"transactional.id": f"tx-{channel}"}, **MOVING)
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(channel, b"1")
    new = put(real_world, channel, 1, unique_name("moved"), partitions=1)
    real_world.wait(lambda: producer._transactions._waiting)
    producer.produce(channel, b"2")
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce(channel, b"3")
    producer.commit_transaction(30)
    same = put(real_world, channel, new[0], new[1], linger_ms=1)  # another client, same cluster
    producer.begin_transaction()
    producer.produce(channel, b"4")
    real_world.wait(lambda: producer._transactions._waiting)
    producer.produce(channel, b"5")
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce(channel, b"6")
    producer.commit_transaction(30)
    assert same == new
    assert [m.value() for m in real_world.landed_in(*old)] == [b"1", b"2"]
    assert [m.value() for m in real_world.landed_in(*new)] == [b"3", b"4", b"5", b"6"]


def test_consume_transform_produce_moves_to_another_cluster(real_world):
    """The consumer leaves first, then the producer; no message is lost or transformed twice."""
    world = real_world
    source, target = world.channel(0), world.channel(0)
    old_in, old_out = world.where[source], world.where[target]
    settings = {"ttl": 1, "move_window": 2, "move_linger": 2, "drain_timeout": 2}
    consumer = world.consumer([source], {"enable.auto.commit": False}, **settings)
    producer = world.producer({"transactional.id": f"tx-{source}"}, **settings)
    producer.init_transactions(30)
    world.write(source, [b"%d" % n for n in range(20)])

    def transform(count):
        done = 0
        until = time.monotonic() + 60
        while done < count:
            assert time.monotonic() < until, f"{done} of {count}"
            message = consumer.poll(0.2)
            if message is None:
                continue
            assert message.error() is None, message.error()
            producer.begin_transaction()
            try:
                producer.produce(target, b"=" + message.value())
                producer.send_offsets_to_transaction(
                    [TopicPartition(source, message.partition(), message.offset() + 1)],
                    consumer.consumer_group_metadata(),
                    30,
                )
                producer.commit_transaction(30)
                done += 1
            except KafkaException as error:
                assert error.args[0].txn_requires_abort(), error
                producer.abort_transaction(30)
                consumer.seek(message_position(message))

    def message_position(message):
        return TopicPartition(source, message.partition(), message.offset())

    transform(20)
    new_in = put(world, source, 1, unique_name("in"), partitions=1)
    new_out = put(world, target, 1, unique_name("out"), partitions=1)
    world.write(source, [b"%d" % n for n in range(20, 40)])
    transform(20)
    out = [m.value() for place in (old_out, new_out) for m in world.landed_in(*place)]
    assert sorted(out) == sorted(b"=%d" % n for n in range(40))
    assert len(world.landed_in(*new_out)) > 0
    assert old_in != new_in


def test_moves_that_close_interrupts_report_everything_once(world):
    channel = world.channel(0, partitions=2)
    producer = world.producer(IDEMPOTENT, **MOVING)
    reports = {}
    producer.preload([channel])
    with world.clusters[0].writes_hindered():
        for number in range(100):
            producer.produce(
                channel,
                b"%d" % number,
                on_delivery=lambda e, m, n=number: reports.setdefault(n, []).append(e),
            )
        put(world, channel, 1, unique_name("moved"))
        world.wait(lambda: producer.counters().get("held"))
        failed = producer.close(0.1)
    assert set(reports) == set(range(100))
    assert all(len(errors) == 1 for errors in reports.values())
    assert failed == len([e for [e] in reports.values() if e is not None])
