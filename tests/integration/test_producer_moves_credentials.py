"""A Producer follows new passwords and mechanisms, and transactions follow theirs."""

import time

from kafkaroute import KafkaException, TopicPartition
from kafkaroute.testing.cluster import unique_name

from .producer_load import IDEMPOTENT, MOVING, Load, check, moved, put


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
        load.go_on(real_world, 200)
    assert producer.flush(30) == 0
    assert load.longest < 2 + load.stalls.seconds
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
        load.go_on(real_world, 50)
    assert producer.flush(30) == 0
    check(real_world, load, [place])


def test_a_transaction_ends_before_its_channel_moves(real_world):
    channel = real_world.channel(0)
    old = real_world.where[channel]
    producer = real_world.producer({"transactional.id": f"tx-{channel}"}, **MOVING)
    producer.init_transactions(30, channels=[channel])

    def transactions_around_a_move(put_elsewhere, before, after, next_one):
        producer.begin_transaction()
        producer.produce(channel, before)
        place = put_elsewhere()
        real_world.wait(lambda: producer._transactions._waiting)
        producer.produce(channel, after)
        producer.commit_transaction(30)
        producer.begin_transaction()
        producer.produce(channel, next_one)
        producer.commit_transaction(30)
        return place

    new = transactions_around_a_move(
        lambda: put(real_world, channel, 1, unique_name("moved"), partitions=1), b"1", b"2", b"3"
    )
    # To another client of the same cluster.
    same = transactions_around_a_move(
        lambda: put(real_world, channel, *new, linger_ms=1), b"4", b"5", b"6"
    )
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
    producer.init_transactions(30, channels=[target])
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
