"""Moves of a Producer over fake native clients: the races, made to happen on purpose."""

import os
import threading
import time

import pytest

from kafkaroute import (
    CatalogUnauthorized,
    ClosedError,
    KafkaError,
    KafkaException,
    Phase,
    Producer,
)
from kafkaroute.testing.catalog_stub import Fault

from . import producer_world
from .producer_world import (
    A2,
    TIMED_OUT,
    A,
    B,
    Reports,
    held,
    login,
    move,
    sent,
    stuck_move,
    told,
    wait_for,
)

world, events, producer = producer_world.world, producer_world.events, producer_world.producer


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


def test_what_the_old_cluster_does_not_take_goes_to_the_new_one_first(world, producer, events):
    reports = Reports()
    a = stuck_move(world, producer, events, reports)
    for number in range(5, 10):
        producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
    assert held(producer) == 5
    wait_for(lambda: told(events, Phase.RELEASED))
    assert [e.count for e in told(events, Phase.RESCUED)] == [5]
    b = world.on("B")
    assert sent(b) == [b"%d" % n for n in range(10)]
    assert ("purge", True, True, True) in a.calls
    assert producer.flush(2) == 0
    assert reports.codes == {b"%d" % n: [None] for n in range(10)}
    assert reports.threads == {threading.get_ident()}


def test_messages_keep_what_they_carry(world, producer, events):
    producer.preload([A])
    a = world.on("A")
    a.stuck = True
    began = time.time() * 1000
    headers = [("h", b"1")]
    producer.produce(A, b"1", b"k", partition=3, headers=headers, timestamp=77)
    producer.produce(A, b"2", b"k")
    move(world, producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.HELD))
    producer.produce(A, bytearray(b"3"), memoryview(b"k"), partition=1, timestamp=78)
    producer.produce(A, b"4", "k", headers={"h": b"2"})
    ended = time.time() * 1000
    headers.append(("later", b""))
    wait_for(lambda: told(events, Phase.RELEASED))
    one, two, three, four = world.on("B").sent
    assert one == ("moved", b"1", b"k", 3, 77, [("h", b"1")])
    assert three == ("moved", b"3", b"k", 1, 78, None)
    assert two[:4] == ("moved", b"2", b"k", -1)
    assert four[:4] == ("moved", b"4", "k", -1)
    assert four[5] == {"h": b"2"}
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
    b = world.on("B")
    stuck_move(world, producer, events, reports)
    b.full = True
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


def test_what_the_new_client_refuses_is_reported(world, producer, events):
    reports = Reports()
    a = stuck_move(world, producer, events, reports, count=1)
    producer.produce(A, b"big", on_delivery=reports)
    producer.produce(A, b"odd", on_delivery=reports)
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
    assert producer.flush(5) == 0
    assert reports.codes == {
        b"0": [None],
        b"big": [KafkaError.MSG_SIZE_TOO_LARGE],
        b"odd": [KafkaError._INVALID_ARG],
    }


# Reports.


def test_callbacks_run_where_the_application_polls_in_order(world, producer, events):
    reports = Reports()
    a = stuck_move(world, producer, events, reports, count=20)
    a.stuck = False
    wait_for(lambda: told(events, Phase.RELEASED))
    assert reports.order == []
    assert producer.poll(0) == 20
    assert reports.order == [b"%d" % n for n in range(20)]
    assert reports.threads == {threading.get_ident()}


def test_a_first_callback_changes_the_kind_of_client_and_keeps_order(world, producer, events):
    reports = Reports()
    for number in range(5):
        producer.produce(A, b"%d" % number)
    quiet = world.on("A")
    assert quiet.only_failures
    for number in range(5, 10):
        producer.produce(A, b"%d" % number, on_delivery=reports)
    wait_for(lambda: len(world.backend.producers) == 2)
    assert producer.flush(5) == 0
    assert not world.backend.producers[1].only_failures
    assert sent(quiet) + sent(world.backend.producers[1]) == [b"%d" % n for n in range(10)]
    assert reports.codes == {b"%d" % n: [None] for n in range(5, 10)}
    assert events == []
    producer.produce(B, b"x")
    assert not world.on("B").only_failures


def test_a_callback_with_the_first_message_needs_one_client(world, producer):
    producer.produce(A, b"1", on_delivery=Reports())
    producer.produce(A, b"2")
    assert len(world.backend.producers) == 1
    assert not world.on("A").only_failures


def test_a_first_callback_during_a_move_away_and_for_what_stays(world, producer, events):
    reports = Reports()
    producer.preload([A, A2])
    a = world.on("A")
    a.stuck = True
    producer.produce(A2, b"0")
    move(world, producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.HELD))
    producer.produce(A2, b"1", on_delivery=reports)
    producer.produce(A, b"2", on_delivery=reports)
    a.stuck = False
    wait_for(lambda: told(events, Phase.RELEASED))
    assert producer.flush(5) == 0
    assert reports.codes == {b"1": [None], b"2": [None]}


def test_only_errors_as_the_application_wants_it(world, events):
    only = {"delivery.report.only.error": True}
    reports = Reports()
    settings = world.settings(
        ttl=60, client_config=only, on_route_change=events.append, drain_timeout=0.4
    )
    with Producer(settings) as producer:
        producer.produce(A, b"1", on_delivery=reports)
        producer.produce(A, b"2")
        a = world.on("A")
        assert a.only_failures
        assert producer.flush(1) == 0
        assert reports.order == []
        a.stuck = True
        producer.produce(A, b"3", on_delivery=reports)
        move(world, producer, A, "moved", "B")
        wait_for(lambda: told(events, Phase.RELEASED))
        assert sent(world.on("B")) == [b"3"]
        world.on("B").fail(TIMED_OUT)
        assert producer.flush(1) == 0
        assert reports.codes == {b"3": [TIMED_OUT]}


def test_the_applications_default_callback_hears_of_every_message(world, events):
    reports = Reports()
    settings = world.settings(
        ttl=60, client_config={"on_delivery": reports}, on_route_change=events.append
    )
    with Producer(settings) as producer:
        producer.produce(A, b"1")
        a = world.on("A")
        assert producer.flush(1) == 0
        a.stuck = True
        producer.produce(A, b"2")
        producer.produce(A, b"3", on_delivery=lambda *_: reports.order.append("own"))
        move(world, producer, A, "moved", "B")
        wait_for(lambda: told(events, Phase.HELD))
        producer.produce(A, b"4")
        a.stuck = False
        wait_for(lambda: told(events, Phase.RELEASED))
        assert producer.flush(2) == 0
        assert reports.order == [b"1", b"2", "own", b"4"]


def test_a_failure_outside_a_move_is_reported_once(world, producer, caplog):
    reports = Reports()
    producer.produce(A, b"1", on_delivery=reports)
    producer.produce(A, b"2")
    world.on("A").fail(TIMED_OUT)
    assert producer.flush(1) == 0
    assert reports.codes == {b"1": [TIMED_OUT]}
    assert producer.counters()["failed without a callback"] == 1
    assert caplog.text.count("without a delivery callback") == 1


def test_a_failure_after_the_route_changed_follows_it(world, events):
    """The new place cannot be reached yet, and is not told to be: wait for it."""
    reports = Reports()
    settings = world.settings(ttl=60, on_route_change=events.append)
    with Producer(settings) as producer:
        producer.produce(A, b"1", on_delivery=reports)
        a = world.on("A")
        with producer._dispatch.lock:
            # The cache knows, and no mover has come to it yet.
            world.put(A, "moved", "B")
            producer._router.cache.refresh(A)
            wait_for(lambda: producer._router.cache.peek(A).topic == "moved")
            a.fail(TIMED_OUT)
            a.poll(0)
        wait_for(lambda: told(events, Phase.RELEASED))
        assert producer.flush(2) == 0
        assert reports.codes == {b"1": [None]}
        assert sent(world.on("B")) == [b"1"]


# Unreachable places.


def test_an_unreachable_place_is_not_taken(world, producer, events):
    world.backend.unreachable.add("B:1")
    producer.produce(A, b"1")
    move(world, producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.UNREACHABLE))
    for number in range(2, 5):
        producer.produce(A, b"%d" % number)
    assert sent(world.on("A")) == [b"1", b"2", b"3", b"4"]
    status = producer.routes()[A]
    assert (str(status.spot), status.phase) == ("ta at A:1", Phase.UNREACHABLE)
    assert [str(spot) for spot in status.next] == ["moved at B:1"]
    assert "no answer" in status.error
    time.sleep(1.2)  # one more attempt
    world.backend.unreachable.clear()
    wait_for(lambda: told(events, Phase.RELEASED))
    assert len(told(events, Phase.UNREACHABLE)) == 1
    producer.produce(A, b"5")
    assert sent(world.on("B")) == [b"5"]
    assert producer.routes()[A].error is None


def test_while_unreachable_the_application_hears_of_failures(world, producer, events):
    reports = Reports()
    world.backend.unreachable.add("B:1")
    producer.produce(A, b"1", on_delivery=reports)
    move(world, producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.UNREACHABLE))
    wait_for(lambda: not world.on("A").stuck)
    producer.produce(A, b"2", on_delivery=reports)
    world.on("A").fail(TIMED_OUT)
    producer.flush(2)
    assert reports.codes[b"2"] == [TIMED_OUT]


def test_a_third_place_replaces_one_that_is_unreachable(world, producer, events):
    world.backend.unreachable.add("B:1")
    producer.produce(A, b"1")
    move(world, producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.UNREACHABLE))
    move(world, producer, A, "third", "C")
    wait_for(lambda: told(events, Phase.RELEASED))
    producer.produce(A, b"2")
    assert sent(world.on("C")) == [b"2"]
    wait_for(
        lambda: all(
            p.closed for p in world.backend.producers if p.config["bootstrap.servers"] == "B:1"
        )
    )


def test_a_route_that_comes_back_while_unreachable(world, producer, events):
    world.backend.unreachable.add("B:1")
    producer.produce(A, b"1")
    move(world, producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.UNREACHABLE))
    move(world, producer, A, "ta", "A")
    wait_for(lambda: not producer._dispatch.movers)
    assert producer.routes()[A].phase is None
    producer.produce(A, b"2")
    assert sent(world.on("A")) == [b"1", b"2"]


def test_another_cluster_than_the_route_says(world, producer, events):
    producer.produce(A, b"1")
    move(world, producer, A, "moved", "B", cluster_id="not B")
    [event] = wait_for(lambda: told(events, Phase.UNREACHABLE))
    assert "not B" in event.detail
    move(world, producer, A, "moved", "B", cluster_id="B:1")
    wait_for(lambda: told(events, Phase.RELEASED))


# Credentials.


def test_credentials_are_replaced_on_the_live_client(world, producer, events, caplog):
    for channel, topic in ((A, "ta"), (A2, "ta2")):
        world.put(channel, topic, "A", credentials=login("u", "old-pass"))
        producer.produce(channel, b"1")
    for channel, topic in ((A, "ta"), (A2, "ta2")):
        world.put(channel, topic, "A", credentials=login("u", "new-pass"))
    producer._router.cache.refresh(A)
    wait_for(lambda: len(told(events, Phase.CREDENTIALS)) == 2)
    [a] = world.backend.producers
    assert a.calls == [("credentials", "u", "new-pass")]
    producer.produce(A, b"2")
    assert sent(a) == [b"1", b"1", b"2"]
    third = "kafka://x/a/three"
    world.put(third, "t3", "A", credentials=login("u", "new-pass"))
    producer.produce(third, b"3")
    assert world.backend.producers == [a]
    assert "pass" not in caplog.text + str(events) + repr(producer.routes())


def test_credentials_that_the_live_client_refuses_need_a_new_one(world, producer, events):
    world.put(A, "ta", "A", credentials=login("u", "old-pass"))
    producer.produce(A, b"1")
    [a] = world.backend.producers

    def refuse(username, password):
        raise KafkaException(KafkaError(KafkaError._STATE))

    a.set_sasl_credentials = refuse
    move(world, producer, A, "ta", "A", credentials=login("u", "new-pass"))
    wait_for(lambda: told(events, Phase.RELEASED))
    producer.produce(A, b"2")
    assert sent(world.backend.producers[1]) == [b"2"]


def test_credentials_of_one_channel_only_need_a_client_of_its_own(world, producer, events):
    for channel, topic in ((A, "ta"), (A2, "ta2")):
        world.put(channel, topic, "A", credentials=login("u", "old-pass"))
        producer.produce(channel, b"1")
    move(world, producer, A, "ta", "A", credentials=login("u", "new-pass"))
    wait_for(lambda: told(events, Phase.RELEASED))
    assert len(world.backend.producers) == 2
    assert world.backend.producers[0].closed == 0


# Waiting, purging, closing.


def test_flush_and_len_see_what_is_held(world, producer, events):
    a = stuck_move(world, producer, events)
    for number in range(5, 8):
        producer.produce(A, b"%d" % number, b"k")
    assert len(producer) == 8
    assert producer.flush(0.05) == 8
    a.stuck = False
    assert producer.flush(5) == 0
    assert len(sent(a)) + len(sent(world.on("B"))) == 8
    assert len(producer) == 0


def test_flush_waits_for_a_rescue(world, producer, events):
    reports = Reports()
    stuck_move(world, producer, events, reports)
    producer.produce(A, b"5", on_delivery=reports)
    assert producer.flush(10) == 0
    assert reports.codes == {b"%d" % n: [None] for n in range(6)}


def test_poll_waits_for_reports_of_a_mover(world, producer, events):
    reports = Reports()
    stuck_move(world, producer, events, reports, count=1)
    assert producer.poll(5) == 1
    assert reports.order == [b"0"]


def test_purge_fails_what_is_held(world, producer, events):
    reports = Reports()
    a = stuck_move(world, producer, events, reports, count=2)
    producer.produce(A, b"2", on_delivery=reports)
    producer.purge()
    a.stuck = False
    assert producer.flush(5) == 0
    assert reports.codes == {b"%d" % n: [KafkaError._PURGE_QUEUE] for n in range(3)}


@pytest.mark.parametrize("phase", ["opening", "draining", "releasing", "leaving"])
def test_close_in_any_phase_reports_everything_once(world, events, phase):
    reports = Reports()
    settings = world.settings(
        ttl=60, drain_timeout=0.4 if phase != "draining" else 60, on_route_change=events.append
    )
    producer = Producer(settings)
    producer.produce(A, b"0", on_delivery=reports)
    producer.flush(1)
    a = world.on("A")
    if phase == "opening":
        world.backend.unreachable.add("B:1")
    if phase == "releasing":
        producer.produce(B, b"x")
        world.on("B").full = True
    a.stuck = phase != "leaving"
    for number in range(1, 4):
        producer.produce(A, b"%d" % number, on_delivery=reports)
    move(world, producer, A, "moved", "B")
    seen = {"opening": Phase.UNREACHABLE, "leaving": Phase.RELEASED}.get(phase, Phase.HELD)
    wait_for(lambda: told(events, seen))
    for number in range(4, 7):
        producer.produce(A, b"%d" % number, on_delivery=reports)
    if phase == "releasing":
        wait_for(lambda: not len(a))
    began = time.monotonic()
    failed = producer.close(0.2)
    assert time.monotonic() - began < 4
    assert set(reports.codes) == {b"%d" % n for n in range(7)}
    assert all(len(codes) == 1 for codes in reports.codes.values())
    lost = [v for v, codes in reports.codes.items() if codes[0] is not None]
    assert len(lost) == failed
    if phase == "leaving":
        assert failed == 0
    else:
        assert {code for codes in reports.codes.values() for code in codes} == {
            None,
            KafkaError._PURGE_QUEUE,
        }
    assert [client.closed for client in world.backend.producers] == [1] * len(
        world.backend.producers
    )
    assert not producer._dispatch.movers
    with pytest.raises(ClosedError):
        producer.produce(A, b"late")


def test_close_without_limit_finishes_the_move(world, events):
    reports = Reports()
    settings = world.settings(ttl=60, drain_timeout=0.4, on_route_change=events.append)
    producer = Producer(settings)
    stuck_move(world, producer, events, reports)
    producer.produce(A, b"5", on_delivery=reports)
    assert producer.close() == 0
    assert reports.codes == {b"%d" % n: [None] for n in range(6)}


def test_a_late_sender_of_a_closed_hold_raises(world, events):
    settings = world.settings(ttl=60, drain_timeout=60, on_route_change=events.append)
    producer = Producer(settings)
    stuck_move(world, producer, events, count=1)
    producer.produce(A, b"held")
    late = producer._senders[A]
    producer.close(0)
    with pytest.raises(ClosedError):
        late[0](b"late")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_in_a_move_starts_clean(world, producer, events):
    reports = Reports()
    a = stuck_move(world, producer, events, reports, count=2)
    producer.produce(A, b"held", on_delivery=reports)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert len(producer) == 0
            producer.produce(A, b"the child's")
            mine = world.backend.producers[-1]
            assert [m[:2] for m in mine.sent] == [("moved", b"the child's")]
            assert producer.flush(1) == 0
            producer.close()
            assert (mine.closed, a.closed, reports.order) == (1, 0, [])
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    a.stuck = False
    assert producer.flush(5) == 0
    assert sorted(reports.order) == [b"0", b"1", b"held"]


# Without redelivery.


def test_without_redelivery_messages_stay_where_they_were_accepted(world, events):
    reports = Reports()
    settings = world.settings(ttl=60, redeliver=False, on_route_change=events.append)
    with Producer(settings) as producer:
        producer.produce(A, b"1", on_delivery=reports)
        a = world.on("A")
        assert a.on_failure is None
        assert not a.only_failures
        assert producer._senders[A][0] is producer._senders[A][1]
        a.stuck = True
        producer.produce(A, b"2", on_delivery=reports)
        move(world, producer, A, "moved", "B")
        wait_for(lambda: told(events, Phase.RELEASED))
        producer.produce(A, b"3", on_delivery=reports)
        assert sent(world.on("B")) == [b"3"]
        assert producer.flush(0.1) == 2
        a.fail(TIMED_OUT)
        assert producer.flush(2) == 0
        assert reports.codes == {b"1": [TIMED_OUT], b"2": [TIMED_OUT], b"3": [None]}


# Refused channels.


@pytest.mark.parametrize("how", ["keep", "stop"])
def test_a_refused_channel(world, events, how):
    settings = world.settings(ttl=60, on_revoked=how, on_route_change=events.append)
    with Producer(settings) as producer:
        producer.produce(A, b"1")
        world.stub.fault = Fault.FORBIDDEN
        producer._router.cache.refresh(A)
        wait_for(lambda: told(events, Phase.REVOKED))
        if how == "keep":
            producer.produce(A, b"2")
        else:
            errors = []
            for _ in range(2):
                with pytest.raises(CatalogUnauthorized) as caught:
                    producer.produce(A, b"2")
                errors.append(caught.value)
            assert errors[0] is not errors[1]
        assert producer.flush(1) == 0
        assert producer.routes()[A].error
        world.stub.fault = None
        producer._router.cache.refresh(A)
        wait_for(lambda: told(events, Phase.RESTORED))
        producer.produce(A, b"3")
        assert sent(world.on("A")) == [b"1", b"2", b"3"] if how == "keep" else [b"1", b"3"]
        assert len(told(events, Phase.REVOKED)) == 1


def test_the_callback_for_events_runs_without_locks(world):
    seen = []

    def on_route_change(event):
        seen.append(event.phase)
        producer.routes()
        producer.produce(A, b"from the callback")
        other = threading.Thread(target=producer.routes)
        other.start()
        other.join(5)
        assert not other.is_alive()

    with Producer(world.settings(ttl=60, on_route_change=on_route_change)) as producer:
        producer.produce(A, b"1")
        move(world, producer, A, "moved", "B")
        wait_for(lambda: Phase.RELEASED in seen)
        assert producer.flush(5) == 0


def test_no_thread_while_nothing_moves(world, producer):
    producer.produce(A, b"1")
    producer.flush(1)
    assert not producer._dispatch.movers
    assert not producer._dispatch.busy
    assert not [t for t in threading.enumerate() if t.name == "kafkaroute-mover"]
