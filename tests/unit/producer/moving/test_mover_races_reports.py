"""Reports and calls that overlap with a Producer's move."""

import threading

import pytest

from kafkaroute import ChannelNotFound, KafkaError, KafkaException, Phase, Producer

from .. import producer_world
from ..producer_world import (
    TIMED_OUT,
    A,
    B,
    Gate,
    Reports,
    both,
    change_places,
    everything_is_over,
    full_for_movers,
    move,
    of_topic,
    sent,
    told,
    wait_for,
)

world, events, producer = producer_world.world, producer_world.events, producer_world.producer
soon_closed = producer_world.soon_closed


# Reports while something moves.


@pytest.mark.parametrize("place", [("ta", "B"), ("moved", "A")])
def test_callbacks_run_where_the_application_polls(world, producer, events, place):
    """Whatever live client the new place is."""
    reports = Reports()
    both(producer, reports)
    for number in range(5):
        producer.produce(A, b"%d" % number, on_delivery=reports)
        producer.produce(B, b"%d" % number, on_delivery=reports)
    move(world, producer, A, *place)
    wait_for(lambda: told(events, Phase.DONE))
    assert producer.flush(2) == 0
    assert reports.threads == {threading.get_ident()}
    assert len(reports.order) == 12


def test_what_a_callback_raises_reaches_the_application(world, producer, events):
    def fail(error, message):
        raise LookupError("of the application")

    producer.produce(A, b"1", on_delivery=fail)
    move(world, producer, A, "moved", "A")
    wait_for(lambda: told(events, Phase.DONE))
    with pytest.raises(LookupError, match="of the application"):
        producer.flush(2)
    assert producer.flush(2) == 0


def test_a_report_in_hand_when_the_move_ends_is_not_overlooked(world, producer):
    """A thread has seen that a mover serves the client, and reports when it no longer does."""
    reports = Reports()
    producer.produce(A, b"1", on_delivery=reports)
    [a] = world.backend.producers
    client = producer._dispatch.table.homes[A].client
    client.reports.divert(1)
    a.poll(0)
    client.reports.divert(-1)
    assert not reports.order
    assert producer.flush(1) == 0
    assert reports.order == [b"1"]


def test_what_fails_before_a_place_turns_out_unreachable_is_reported(world, producer, events):
    """Sent again to the old place, it would come behind younger messages."""
    reports = Reports()
    producer.produce(A, b"0", on_delivery=reports)
    assert producer.flush(1) == 0
    a, gate = world.on("A"), Gate()
    a.stuck = True
    for number in range(1, 4):
        producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
    producer.produce(A, b"no callback", b"k")
    world.backend.unreachable.add("B:1")
    opened = world.backend.open_producer

    def open_producer(config, **more):
        client = opened(config, **more)
        gate.pass_through()
        return client

    world.backend.open_producer = open_producer
    move(world, producer, A, "moved", "B")
    gate.wait_for_somebody()
    a.fail(TIMED_OUT, 1)
    producer.poll(0)
    gate.open()
    wait_for(lambda: told(events, Phase.UNREACHABLE))
    wait_for(lambda: reports.codes.get(b"1") or producer.poll(0))
    a.fail(TIMED_OUT)
    assert producer.flush(2) == 0
    assert reports.codes == {b"0": [None], **{b"%d" % n: [TIMED_OUT] for n in (1, 2, 3)}}
    assert producer.counters()["failed without a callback"] == 1
    assert sent(a) == [b"0", b"1", b"2", b"3", b"no callback"]


def test_what_fails_before_a_place_is_open_goes_there(world, producer, events):
    reports = Reports()
    producer.produce(A, b"0", on_delivery=reports)
    assert producer.flush(1) == 0
    a, gate = world.on("A"), Gate()
    a.stuck = True
    for number in range(1, 4):
        producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
    opened = world.backend.open_producer

    def open_producer(config, **more):
        gate.pass_through()
        return opened(config, **more)

    world.backend.open_producer = open_producer
    move(world, producer, A, "moved", "B")
    gate.wait_for_somebody()
    a.fail(TIMED_OUT, 2)
    producer.poll(0)
    gate.open()
    wait_for(lambda: told(events, Phase.RELEASED))
    assert producer.flush(2) == 0
    assert of_topic(world.on("B"), "moved") == [b"1", b"2", b"3"]
    assert reports.codes == {b"%d" % n: [None] for n in range(4)}


def test_two_full_holds_that_wait_for_each_other(world, events):
    settings = world.settings(
        ttl=60,
        drain_timeout=4.0,
        on_route_change=events.append,
        client_config={"queue.buffering.max.messages": 5},
    )
    reports, accepted = Reports(), {A: [], B: []}
    with Producer(settings) as producer:
        change_places(world, producer, events, reports)
        for channel, values in accepted.items():
            with pytest.raises(BufferError):
                for number in range(2, 20):
                    value = channel[-1:].encode() + b"%d" % number
                    producer.produce(channel, value, on_delivery=reports)
                    values.append(value)
            assert len(values) == 4
        wait_for(lambda: len(told(events, Phase.RELEASED)) == 2)
        for client in world.backend.producers:
            client.stuck = False
        everything_is_over(producer)
        assert producer.flush(2) == 0
        for channel, topic, cluster in ((A, "ta", "B"), (B, "tb", "A")):
            first = channel[-1:].encode() + b"1"
            assert of_topic(world.on(cluster), topic) == [first, *accepted[channel]]
        assert all(codes in ([None], [None, None]) for codes in reports.codes.values())
        assert len(reports.codes) == 11


def test_a_closed_full_client_is_waited_out(world, producer, events):
    """The channel moves on while what it left waits for a client that is full."""
    reports = Reports()
    both(producer, reports)
    a, b = world.on("A"), world.on("B")
    let = full_for_movers(b)
    a.stuck = True
    producer.produce(A, b"1", on_delivery=reports)
    move(world, producer, A, "ta", "B")
    wait_for(lambda: producer._dispatch.table.homes[A].client.native is b)
    world.put(B, "tb", "C")
    move(world, producer, A, "ta", "C")
    wait_for(lambda: len(told(events, Phase.RELEASED)) == 3)
    producer.produce(A, b"2", on_delivery=reports)
    everything_is_over(producer)
    let()
    assert producer.flush(2) == 0
    assert of_topic(world.on("C"), "ta") == [b"1", b"2"]
    assert b.closed == 1


# Calls that wait.


@pytest.mark.parametrize("call", ["init_transactions", "produce"])
def test_a_cluster_that_does_not_initialise_holds_up_nobody_else(world, events, call):
    """Nor anything else of its own Producer."""
    hanging, go_on = threading.Event(), threading.Event()

    def hang(timeout):
        hanging.set()
        assert go_on.wait(20)

    with (
        Producer(world.settings(ttl=60, client_config={"transactional.id": "x"})) as one,
        Producer(world.settings(ttl=60, on_route_change=events.append)) as other,
    ):
        if call == "produce":
            one.init_transactions(channels=[B])
            one.begin_transaction()
        # The client is there, and its cluster is away.
        one._dispatch.table.router.client(
            one._dispatch.table.router.place(one._dispatch.table.router.route(A))
        )
        world.on("A").init_transactions = hang
        calls = {"init_transactions": one.init_transactions, "produce": lambda: one.produce(A, b"")}
        thread = threading.Thread(target=calls[call])
        thread.start()
        try:
            assert hanging.wait(10)
            other.produce(B, b"1")
            move(world, one, A, "ta", "C")
            move(world, other, B, "tb", "C")
            wait_for(lambda: told(events, Phase.RELEASED))
            assert set(one.routes()) <= ({A, B} if call == "produce" else {A})
            assert len(one) == 0
        finally:
            go_on.set()
            thread.join()
        if call == "produce":
            one.abort_transaction()


@pytest.mark.parametrize("phase", [Phase.SEEN, Phase.HELD, Phase.RELEASED])
def test_close_from_on_route_change_is_refused_and_changes_nothing(world, caplog, phase):
    refused, events = [], []

    def heed(event):
        if event.phase == phase:
            try:
                producer.close()
            except KafkaException as error:
                refused.append(error.args[0].code())
                raise
        events.append(event)

    with Producer(world.settings(ttl=60, on_route_change=heed)) as producer:
        producer.produce(A, b"1")
        move(world, producer, A, "moved", "B")
        wait_for(lambda: producer.counters().get("released"))
        producer.produce(A, b"2")
        assert refused == [KafkaError._STATE]
        wait_for(lambda: "cannot be called from their on_route_change" in caplog.text)
    assert all(client.closed for client in world.backend.producers)
    assert not [t for t in threading.enumerate() if t.name == "kafkaroute-mover"]


@pytest.mark.parametrize("what", ["expired", "refused"])
def test_a_sender_is_not_kept_for_a_channel_that_is_lost_while_it_connects(world, what):
    with Producer(world.settings(ttl=60, on_revoked="stop")) as producer:
        producer.produce(A, b"1")
        dispatch = producer._dispatch
        dispatch.table.forget_senders([A])

        def lose(client, channel):
            dispatch._bind = None
            if what == "expired":
                dispatch.expire(A)
            else:
                dispatch.failing(A, dispatch.table.homes[A].route, ChannelNotFound(A))

        dispatch._bind = lose
        if what == "expired":
            producer.produce(A, b"2")  # asks again
            assert not dispatch._expired
        else:
            with pytest.raises(ChannelNotFound):
                producer.produce(A, b"2")
            assert A not in producer._senders
        assert sent(world.on("A")) == [b"1", b"2"][: 2 if what == "expired" else 1]
