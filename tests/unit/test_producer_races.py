"""What overlaps with a Producer's move: other moves, first messages, purges."""

import threading
import time

import pytest

from kafkaroute import ChannelNotFound, KafkaError, KafkaException, Phase, Producer
from kafkaroute.moves.producing import strays

from . import producer_world
from .producer_world import (
    TIMED_OUT,
    A,
    B,
    Reports,
    everything_is_over,
    held,
    move,
    sent,
    stuck_move,
    told,
    wait_for,
)

world, events, producer = producer_world.world, producer_world.events, producer_world.producer


@pytest.fixture(autouse=True)
def soon_closed(monkeypatch):
    """Old clients do not wait for stray threads here."""
    monkeypatch.setattr(strays, "_GRACE", 0.2)


class Gate:
    """Stands in the way of movers in a client's call; others pass."""

    def __init__(self):
        self._open = threading.Event()
        self.reached = threading.Event()

    def pass_through(self):
        if threading.current_thread().name == "kafkaroute-mover":
            self.reached.set()
            assert self._open.wait(10)

    def wait_for_somebody(self):
        assert self.reached.wait(10)

    def open(self):
        self._open.set()


def full_for_movers(client):
    """`client` takes nothing from movers until the answer is called."""
    real, full = client.sender, [True]

    def sender(topic):
        send = real(topic)

        def sending(*args, **more):
            if full and threading.current_thread().name == "kafkaroute-mover":
                raise BufferError("Local: Queue full")
            send(*args, **more)

        return sending

    client.sender = sender
    return full.clear


def both(producer, reports):
    """Two channels in use, with their clients."""
    for channel in (A, B):
        producer.produce(channel, b"0", on_delivery=reports)
    assert producer.flush(2) == 0


def of_topic(client, topic):
    return [message[1] for message in client.sent if message[0] == topic]


def test_a_failure_after_a_purge_is_reported(world, producer):
    reports = Reports()
    producer.produce(A, b"0", on_delivery=reports)
    assert producer.flush(1) == 0
    producer.purge()
    world.on("A").stuck = True
    producer.produce(A, b"1", on_delivery=reports)
    world.on("A").fail(TIMED_OUT)
    assert producer.flush(1) == 0
    assert reports.codes[b"1"] == [TIMED_OUT]


@pytest.mark.parametrize("late", [False, True])
def test_a_second_change_during_the_first_is_followed(world, producer, events, late):
    """Before the first has a new place (`late`: while it waits there to be released)."""
    reports = Reports()
    a = stuck_move(world, producer, events, reports, count=3)
    producer.produce(A, b"3", on_delivery=reports)
    if late:
        b = next(p for p in world.backend.producers if p.config["bootstrap.servers"] == "B:1")
        let = full_for_movers(b)
        wait_for(lambda: producer._dispatch.homes[A].link.client is b)
    move(world, producer, A, "third", "C")
    if late:
        wait_for(lambda: [e for e in told(events, Phase.HELD) if e.new.topic == "third"])
        producer.produce(A, b"4", on_delivery=reports)
        let()
    wait_for(lambda: str(producer.routes()[A].spot) == "third at C:1")
    everything_is_over(producer)
    producer.produce(A, b"5", on_delivery=reports)
    assert producer.flush(2) == 0
    written = [
        value for client in world.backend.producers if client is not a for value in sent(client)
    ]
    expected = [b"0", b"1", b"2", b"3", *([b"4"] if late else []), b"5"]
    assert written == expected
    assert reports.codes == {value: [None] for value in expected}
    assert len(told(events, Phase.DONE)) == 2


def test_two_clusters_change_places(world, producer, events):
    """Each client is the other one's new place while it is left."""
    reports = Reports()
    both(producer, reports)
    a, b = world.on("A"), world.on("B")
    a.stuck = b.stuck = True
    producer.produce(A, b"a1", on_delivery=reports)
    producer.produce(B, b"b1", on_delivery=reports)
    world.put(A, "ta", "B")
    world.put(B, "tb", "A")
    for channel in (A, B):
        producer._router.cache.refresh(channel)
    wait_for(lambda: len(told(events, Phase.HELD)) == 2)
    producer.produce(A, b"a2", on_delivery=reports)
    producer.produce(B, b"b2", on_delivery=reports)
    wait_for(lambda: len(told(events, Phase.RELEASED)) == 2)
    everything_is_over(producer)
    at_a, at_b = world.on("A"), world.on("B")
    at_a.stuck = at_b.stuck = False
    producer.produce(A, b"a3", on_delivery=reports)
    producer.produce(B, b"b3", on_delivery=reports)
    assert producer.flush(2) == 0
    assert of_topic(at_b, "ta") == [b"a1", b"a2", b"a3"]
    assert of_topic(at_a, "tb") == [b"b1", b"b2", b"b3"]
    homes = [home.link for home in producer._dispatch.homes.values()]
    assert {id(link) for link in homes} == {id(link) for link in producer._router.clients()}


@pytest.mark.parametrize("closed", [False, True])
def test_a_channel_comes_to_a_client_that_is_left(world, producer, events, monkeypatch, closed):
    """B's channel is on its way to A's client when A's only channel leaves that one."""
    reports = Reports()
    both(producer, reports)
    a, gate = world.on("A"), Gate()
    real = a.list_topics

    def slow(topic, timeout):
        if topic == "tb":
            gate.pass_through()
        return real(topic, timeout)

    a.list_topics = slow
    move(world, producer, B, "tb", "A")
    gate.wait_for_somebody()
    if not closed:
        monkeypatch.setattr(strays, "_GRACE", 30)
    move(world, producer, A, "ta", "C")
    wait_for(lambda: told(events, Phase.RELEASED, A))
    if closed:
        wait_for(lambda: a.closed)
    gate.open()
    wait_for(lambda: told(events, Phase.RELEASED, B))
    wait_for(lambda: told(events, Phase.DONE, A))  # long before its time is over, if it came back
    producer.produce(B, b"1", on_delivery=reports)
    assert producer.flush(2) == 0
    assert of_topic(world.on("A"), "tb") == [b"1"]
    assert (world.on("A") is a) is not closed
    assert reports.codes == {b"0": [None, None], b"1": [None]}


def test_nothing_overtakes_what_is_held_while_its_new_client_moves_another_channel(
    world, producer, events
):
    reports = Reports()
    both(producer, reports)
    a, b = world.on("A"), world.on("B")
    let = full_for_movers(b)
    a.stuck = True
    producer.produce(A, b"1", on_delivery=reports)
    move(world, producer, A, "ta", "B")
    wait_for(lambda: told(events, Phase.HELD, A))
    producer.produce(A, b"2", on_delivery=reports)
    wait_for(lambda: producer._dispatch.homes[A].link.client is b)
    producer.produce(A, b"3", on_delivery=reports)
    move(world, producer, B, "tb", "C")
    wait_for(lambda: told(events, Phase.HELD, B))
    producer.produce(A, b"4", on_delivery=reports)
    assert of_topic(b, "ta") == []
    let()
    wait_for(lambda: len(told(events, Phase.RELEASED)) == 2)
    producer.produce(A, b"5", on_delivery=reports)
    assert producer.flush(2) == 0
    everything_is_over(producer)
    assert of_topic(b, "ta") == [b"1", b"2", b"3", b"4", b"5"]
    assert reports.codes == {b"0": [None, None], **{b"%d" % n: [None] for n in range(1, 6)}}


def test_an_expired_channel_is_still_held(world, producer, events):
    """Its sender is looked up again while its older messages wait for the new client."""
    reports = Reports()
    both(producer, reports)
    b = world.on("B")
    let = full_for_movers(b)
    world.on("A").stuck = True
    producer.produce(A, b"1", on_delivery=reports)
    move(world, producer, A, "ta", "B")
    wait_for(lambda: producer._dispatch.homes[A].link.client is b)
    producer._dispatch.expire(A)
    producer.produce(A, b"2", on_delivery=reports)
    assert held(producer) == 2
    assert of_topic(b, "ta") == []
    let()
    wait_for(lambda: told(events, Phase.RELEASED))
    assert of_topic(b, "ta") == [b"1", b"2"]


def test_a_first_callback_at_the_new_client_keeps_order(world, producer, events):
    """The new client reports failures only, and what it is to send has a callback."""
    reports = Reports()
    producer.produce(A, b"0")
    producer.produce(B, b"0")
    a = world.on("A")
    a.stuck = True
    producer.produce(A, b"1")
    move(world, producer, A, "ta", "B")
    wait_for(lambda: told(events, Phase.HELD))
    for number in range(2, 6):
        producer.produce(A, b"%d" % number, on_delivery=reports)
    wait_for(lambda: told(events, Phase.RELEASED))
    everything_is_over(producer)
    assert producer.flush(2) == 0
    values = [v for p in world.backend.producers if p is not a for v in of_topic(p, "ta")]
    assert values == [b"%d" % n for n in range(6)]
    assert reports.order == [b"%d" % n for n in range(2, 6)]


def test_a_change_during_the_first_message_is_followed(world, producer, events):
    router = producer._router
    real = router.route

    def route(channel):
        router.route = real
        answer = real(channel)
        world.put(A, "moved", "C")
        router.cache.refresh(A)
        wait_for(lambda: router.cache.peek(A) != answer)
        time.sleep(0.1)  # its listeners have been told
        return answer

    router.route = route
    producer.produce(A, b"1")
    wait_for(lambda: told(events, Phase.RELEASED))
    producer.produce(A, b"2")
    assert of_topic(world.on("C"), "moved")[-1] == b"2"


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
    link = producer._dispatch.homes[A].link
    link.tracker.divert(1)
    a.poll(0)
    link.tracker.divert(-1)
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
        drain_timeout=1.5,
        on_route_change=events.append,
        client_config={"queue.buffering.max.messages": 5},
    )
    reports, accepted = Reports(), {A: [], B: []}
    with Producer(settings) as producer:
        both(producer, reports)
        a, b = world.on("A"), world.on("B")
        a.stuck = b.stuck = True
        producer.produce(A, b"a1", on_delivery=reports)
        producer.produce(B, b"b1", on_delivery=reports)
        world.put(A, "ta", "B")
        world.put(B, "tb", "A")
        for channel in (A, B):
            producer._router.cache.refresh(channel)
        wait_for(lambda: len(told(events, Phase.HELD)) == 2)
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
    wait_for(lambda: producer._dispatch.homes[A].link.client is b)
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
            one.init_transactions()
            one.begin_transaction()
        # The link is there, and its cluster is away.
        one._dispatch.router.client(one._dispatch.router.place(one._dispatch.router.route(A)))
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
            assert set(one.routes()) <= {A}
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
        dispatch.forget_senders([A])

        def lose(link, channel):
            dispatch.bind = None
            if what == "expired":
                dispatch.expire(A)
            else:
                dispatch.failing(A, dispatch.homes[A].route, ChannelNotFound(A))

        dispatch.bind = lose
        if what == "expired":
            producer.produce(A, b"2")  # asks again
            assert not dispatch._expired
        else:
            with pytest.raises(ChannelNotFound):
                producer.produce(A, b"2")
            assert A not in producer._senders
        assert sent(world.on("A")) == [b"1", b"2"][: 2 if what == "expired" else 1]
