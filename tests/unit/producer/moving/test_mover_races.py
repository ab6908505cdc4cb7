"""What overlaps with a Producer's move: other moves, first messages, purges."""

import time

import pytest

from kafkaroute import Phase
from kafkaroute.producer.moving import strays

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
    held,
    move,
    of_topic,
    sent,
    stuck_move,
    told,
    wait_for,
)

world, events, producer = producer_world.world, producer_world.events, producer_world.producer
soon_closed = producer_world.soon_closed


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
        wait_for(lambda: producer._dispatch.table.homes[A].client.native is b)
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
    change_places(world, producer, events, reports)
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
    homes = [home.client for home in producer._dispatch.table.homes.values()]
    assert {id(client) for client in homes} == {id(client) for client in producer._router.clients()}


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
    wait_for(lambda: producer._dispatch.table.homes[A].client.native is b)
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
    wait_for(lambda: producer._dispatch.table.homes[A].client.native is b)
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
