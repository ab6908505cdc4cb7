"""Delivery reports while a Producer moves, and calls that wait for them: flush, purge, close."""

import os
import threading
import time

import pytest

from kafkaroute import (
    ClosedError,
    KafkaError,
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
    move,
    sent,
    stuck_move,
    told,
    wait_for,
)

world, events, producer = producer_world.world, producer_world.events, producer_world.producer
patient_producer = producer_world.patient_producer


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
        with producer._dispatch.table.locked():
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


# Waiting, purging, closing.


def test_flush_and_len_see_what_is_held(world, patient_producer, events):
    a = stuck_move(world, patient_producer, events)
    for number in range(5, 8):
        patient_producer.produce(A, b"%d" % number, b"k")
    assert len(patient_producer) == 8
    assert patient_producer.flush(0.05) == 8
    a.stuck = False
    assert patient_producer.flush(5) == 0
    assert len(sent(a)) + len(sent(world.on("B"))) == 8
    assert len(patient_producer) == 0


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


def test_purge_fails_what_is_held(world, patient_producer, events):
    reports = Reports()
    a = stuck_move(world, patient_producer, events, reports, count=2)
    patient_producer.produce(A, b"2", on_delivery=reports)
    patient_producer.purge()
    a.stuck = False
    assert patient_producer.flush(5) == 0
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
    assert time.monotonic() - began < 15
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
def test_the_child_of_a_fork_in_a_move_starts_clean(world, patient_producer, events):
    reports = Reports()
    a = stuck_move(world, patient_producer, events, reports, count=2)
    patient_producer.produce(A, b"held", on_delivery=reports)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert len(patient_producer) == 0
            patient_producer.produce(A, b"the child's")
            mine = world.backend.producers[-1]
            assert [m[:2] for m in mine.sent] == [("moved", b"the child's")]
            assert patient_producer.flush(1) == 0
            patient_producer.close()
            assert (mine.closed, a.closed, reports.order) == (1, 0, [])
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    a.stuck = False
    assert patient_producer.flush(5) == 0
    assert sorted(reports.order) == [b"0", b"1", b"held"]
