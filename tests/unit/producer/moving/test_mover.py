"""Moves of a Producer over fake native clients: the races, made to happen on purpose."""

import threading
import time

import pytest

from kafkaroute import (
    KafkaError,
    KafkaException,
    Phase,
    Producer,
)

from .. import producer_world
from ..producer_world import (
    A2,
    TIMED_OUT,
    A,
    B,
    Reports,
    held,
    move,
    sent,
    stuck_move,
    told,
    wait_for,
)

world, events, producer = producer_world.world, producer_world.events, producer_world.producer
patient_producer = producer_world.patient_producer


# The sequence.


def test_phases_and_counters(world, producer, events):
    producer.produce(A, b"1")
    move(world, producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.RELEASED))
    producer.produce(A, b"2")
    assert [e.phase for e in events] == ["seen", "opened", "held", "drained", "released"]
    assert {(str(e.old), str(e.new), e.intent) for e in events} == {
        ("ta at A:1", "moved at B:1", "produce")
    }
    assert producer.counters()["released"] == 1
    assert sent(world.on("B")) == [b"2"]


def test_what_the_old_cluster_does_not_take_goes_to_the_new_one_first(
    world, patient_producer, events
):
    reports = Reports()
    a = stuck_move(world, patient_producer, events, reports)
    for number in range(5, 10):
        patient_producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
    assert held(patient_producer) == 5
    wait_for(lambda: told(events, Phase.RELEASED))
    assert [e.count for e in told(events, Phase.RESCUED)] == [5]
    b = world.on("B")
    assert sent(b) == [b"%d" % n for n in range(10)]
    assert ("purge", True, True, True) in a.calls
    assert patient_producer.flush(2) == 0
    assert reports.codes == {b"%d" % n: [None] for n in range(10)}
    assert reports.threads == {threading.get_ident()}


def test_messages_keep_what_they_carry(world, patient_producer, events):
    patient_producer.preload([A])
    a = world.on("A")
    a.stuck = True
    began = time.time() * 1000
    headers = [("h", b"1")]
    patient_producer.produce(A, b"1", b"k", partition=3, headers=headers, timestamp=77)
    patient_producer.produce(A, b"2", b"k")
    move(world, patient_producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.HELD))
    patient_producer.produce(A, bytearray(b"3"), memoryview(b"k"), partition=1, timestamp=78)
    patient_producer.produce(A, b"4", "k", headers={"h": b"2"})
    ended = time.time() * 1000
    headers.append(("later", b""))
    wait_for(lambda: told(events, Phase.RELEASED))
    one, two, three, four = world.on("B").sent
    assert one == ("moved", b"1", b"k", 3, 77, [("h", b"1")])
    assert three == ("moved", b"3", b"k", 1, 78, None)
    assert two[:4] == ("moved", b"2", b"k", -1)
    assert four[:4] == ("moved", b"4", "k", -1)
    assert four[5] == [("h", b"2")]
    assert began - 1 <= two[4] <= four[4] <= ended


def test_a_topic_moves_on_the_same_client(world, producer, events):
    producer.produce(A, b"1")
    a = world.on("A")
    a.stuck = True
    move(world, producer, A, "other", "A")
    wait_for(lambda: told(events, Phase.HELD))
    producer.produce(A, b"2")
    a.stuck = False
    wait_for(lambda: told(events, Phase.DONE))
    producer.produce(A, b"3")
    assert [message[:2] for message in a.sent] == [
        ("ta", b"1"),
        ("other", b"2"),
        ("other", b"3"),
    ]
    assert world.backend.producers == [a]
    assert not producer._dispatch.movers


def test_only_one_of_two_channels_moves(world, producer, events):
    reports = Reports()
    producer.preload([A, A2])
    producer.produce(A, b"0", on_delivery=reports)
    wait_for(lambda: len(world.backend.producers) == 2)  # the kind that reports successes
    assert producer.flush(2) == 0
    a = world.backend.producers[-1]
    a.stuck = True
    for channel, value in ((A, b"1"), (A2, b"2"), (A, b"3"), (A2, b"4")):
        producer.produce(channel, value, on_delivery=reports)
    move(world, producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.HELD))
    producer.produce(A2, b"5", on_delivery=reports)
    producer.produce(A, b"6", on_delivery=reports)
    wait_for(lambda: told(events, Phase.RELEASED))
    a.stuck = False
    assert producer.flush(2) == 0
    assert sent(world.on("B")) == [b"1", b"3", b"6"]
    assert [m[:2] for m in a.sent[-3:]] == [("ta2", b"2"), ("ta2", b"4"), ("ta2", b"5")]
    assert reports.codes == {b"%d" % n: [None] for n in range(7)}
    assert {e.channel: e.count for e in told(events, Phase.RESCUED)} == {A: 2, A2: 2}
    assert a.closed == 0


def test_two_channels_on_one_topic_are_told_apart(world, producer, events):
    twin = "kafka://x/twin"
    world.put(twin, "ta", "A")
    producer.preload([A, twin])
    a = world.on("A")
    a.stuck = True
    for channel, value in ((A, b"1"), (twin, b"2"), (A, b"3"), (twin, b"4")):
        producer.produce(channel, value)
    world.put(A, "ma", "B")
    move(world, producer, twin, "mt", "C")
    wait_for(lambda: len(told(events, Phase.RELEASED)) == 2)
    assert [m[:2] for m in world.on("B").sent] == [("ma", b"1"), ("ma", b"3")]
    assert [m[:2] for m in world.on("C").sent] == [("mt", b"2"), ("mt", b"4")]


def test_channels_of_one_client_move_as_one_sequence(world, producer, events):
    """The others are asked for when one is seen to move."""
    producer.produce(A, b"1")
    producer.produce(A2, b"2")
    world.put(A2, "moved2", "B")
    move(world, producer, A, "moved", "B")
    wait_for(lambda: len(told(events, Phase.RELEASED)) == 2)
    phases = [e.phase for e in events]
    assert phases.index("held") > max(i for i, p in enumerate(phases) if p == "seen")
    assert len(world.backend.producers) == 2


def test_there_and_back_quickly(world, producer, events):
    reports = Reports()
    for number in range(300):
        if number % 50 == 20:
            cluster = "B" if number // 50 % 2 == 0 else "A"
            move(world, producer, A, f"t{number}", cluster)
        producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
        producer.poll(0)
        time.sleep(0.001)
    wait_for(lambda: not producer._dispatch.is_moving())
    assert producer.flush(5) == 0
    assert reports.codes == {b"%d" % n: [None] for n in range(300)}
    by_topic = {}
    for client in world.backend.producers:
        for topic, value, *_ in client.sent:
            by_topic.setdefault(topic, []).append(int(value))
    assert all(values == sorted(values) for values in by_topic.values())
    assert sorted(n for values in by_topic.values() for n in values) == list(range(300))


# Races.


def test_a_message_appended_after_the_release_is_forwarded(world, producer, events):
    """A thread that fetched the hold's sender calls it when the hold has ended."""
    stuck_move(world, producer, events, count=1)
    producer.produce(A, b"held")
    late = producer._senders[A]
    wait_for(lambda: told(events, Phase.RELEASED))
    late[0](b"late", b"k")
    late[1](b"later", b"k", -1, None, 0, None)
    assert sent(world.on("B")) == [b"0", b"held", b"late", b"later"]


def test_a_message_sent_with_the_old_sender_after_the_release_follows(world, producer, events):
    producer.produce(A, b"1")
    old, a = producer._senders[A], world.on("A")
    move(world, producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.RELEASED))
    old[0](b"late", b"k")
    assert sent(a) == [b"1", b"late"]
    a.fail(TIMED_OUT)
    wait_for(lambda: b"late" in sent(world.on("B")))
    assert producer.flush(5) == 0


def test_a_full_new_client_is_waited_out(world, producer, events):
    reports = Reports()
    producer.produce(B, b"x", on_delivery=lambda *_: None)  # so that the client of B is there
    world.on("B").full = True
    stuck_move(world, producer, events, reports)
    for number in range(5, 8):
        producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
    time.sleep(0.7)
    assert not told(events, Phase.RELEASED)
    producer.produce(A, b"8", b"k", on_delivery=reports)
    for client in world.backend.producers:
        client.full = False
    wait_for(lambda: told(events, Phase.RELEASED))
    assert producer.flush(5) == 0
    assert reports.order == [b"%d" % n for n in range(9)]


def test_a_hold_is_bounded_like_the_queue_of_a_client(world, events):
    bounds = {"queue.buffering.max.messages": 8}
    settings = world.settings(ttl=60, client_config=bounds, on_route_change=events.append)
    with Producer(settings) as producer:
        a = stuck_move(world, producer, events, count=3)
        for number in range(5):
            producer.produce(A, b"%d" % number)
        with pytest.raises(BufferError):
            producer.produce(A, b"one too many")
        assert len(producer) == 8
        a.stuck = False
        assert producer.flush(5) == 0


def test_a_hold_is_bounded_in_bytes(world, events):
    bounds = {"queue.buffering.max.kbytes": 1}
    settings = world.settings(ttl=60, client_config=bounds, on_route_change=events.append)
    with Producer(settings) as producer:
        a = stuck_move(world, producer, events, count=1)
        producer.produce(A, b"v" * 600)
        with pytest.raises(BufferError):
            producer.produce(A, b"v" * 600)
        producer.produce(A, b"v" * 300)
        a.stuck = False
        assert producer.flush(5) == 0


def test_what_no_client_takes_is_refused_at_once(world, producer, events):
    a = stuck_move(world, producer, events, count=1)
    with pytest.raises(TypeError, match="value"):
        producer.produce(A, 7)
    a.stuck = False


def test_what_the_new_client_refuses_is_reported(world, patient_producer, events):
    reports = Reports()
    a = stuck_move(world, patient_producer, events, reports, count=1)
    patient_producer.produce(A, b"big", on_delivery=reports)
    patient_producer.produce(A, b"odd", on_delivery=reports)
    b = world.on("B")
    real = b.sender

    def sender(topic):
        send = real(topic)

        def refuse(value, *rest):
            if value == b"big":
                raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
            if value == b"odd":
                raise TypeError("the value's text stays out of reports")
            send(value, *rest)

        return refuse

    b.sender = sender
    a.stuck = False
    wait_for(lambda: told(events, Phase.RELEASED))
    assert patient_producer.flush(5) == 0
    assert reports.codes == {
        b"0": [None],
        b"big": [KafkaError.MSG_SIZE_TOO_LARGE],
        b"odd": [KafkaError._INVALID_ARG],
    }


def test_no_thread_while_nothing_moves(world, producer):
    producer.produce(A, b"1")
    producer.flush(1)
    assert not producer._dispatch.movers
    assert not producer._dispatch.table.busy
    assert not [t for t in threading.enumerate() if t.name == "kafkaroute-mover"]
