"""Messages that fail outside a move: the catalog is asked before the application hears of them."""

import threading
import time

import pytest

from kafkaroute import KafkaError, KafkaException, Phase, Producer
from kafkaroute.producer.moving.doubts import pause_after
from kafkaroute.testing.catalog_stub import Fault

from .. import producer_world
from ..producer_world import (
    A2,
    TIMED_OUT,
    A,
    Reports,
    everything_is_over,
    held,
    login,
    move,
    sent,
    told,
    wait_for,
)

REFUSED = KafkaError._AUTHENTICATION
TOO_LARGE = KafkaError.MSG_SIZE_TOO_LARGE

world, events, producer = producer_world.world, producer_world.events, producer_world.producer


def started(world, producer, reports, count=3):
    """`count` messages, the first of them delivered, the others stuck; returns their client."""
    producer.produce(A, b"0", b"k", on_delivery=reports)
    assert producer.flush(2) == 0
    client = world.on("A")
    client.stuck = True
    for number in range(1, count):
        producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
    return client


def values(count, first=0):
    return [b"%d" % number for number in range(first, count)]


@pytest.mark.parametrize("code", [TIMED_OUT, TOO_LARGE])
def test_an_unchanged_route_lets_the_application_hear_of_it_once(world, producer, events, code):
    """A refused message itself has nothing to do with the route: nobody is asked."""
    reports = Reports()
    seen = []
    a = started(world, producer, reports, count=1)
    before = len(world.stub.requests)
    producer.produce(A, b"1", b"k", on_delivery=lambda *report: seen.append(report))
    a.fail(code)
    a.stuck = False
    assert producer.flush(2) == 0
    [(error, message)] = seen
    assert error.code() == message.error().code() == code
    # As the client reported it.
    assert (message.topic(), message.partition(), message.value()) == ("ta", 0, b"1")
    assert len(world.stub.requests) - before == (1 if code == TIMED_OUT else 0)
    everything_is_over(producer)
    producer.produce(A, b"2", on_delivery=reports)
    assert producer.flush(2) == 0
    assert sent(a) == values(3)
    assert ("purge", True, False, True) not in a.calls
    assert events == []
    assert reports.threads == {threading.get_ident()}


def test_what_failed_follows_a_route_that_nobody_was_told_of(world, producer, events):
    """In order, before what the old client has and what comes while the catalog is asked."""
    reports = Reports()
    a = started(world, producer, reports, count=6)
    world.put(A, "moved", "B")
    world.stub.delay = 3
    a.fail(TIMED_OUT, 2)
    producer.poll(0)
    began = time.monotonic()
    producer.produce(A, b"6", b"k", on_delivery=reports)
    assert time.monotonic() - began < 2.5
    assert held(producer) == 3
    assert len(producer) == 6
    assert producer.flush(20) == 0
    assert sent(world.on("B")) == values(7, 1)
    assert reports.codes == {value: [None] for value in values(7)}
    assert [e.count for e in told(events, Phase.RESCUED)] == [5]
    assert reports.threads == {threading.get_ident()}


def test_younger_messages_of_a_healthy_client_do_not_overtake(world, producer, events):
    """What was not sent yet is taken back before the rest is drained."""
    reports = Reports()
    a = started(world, producer, reports, count=5)
    real = a.list_topics
    world.put(A, "moved", "B")
    a.fail(TIMED_OUT, 1)

    def list_topics(topic, timeout):
        a.stuck = False
        return real(topic, timeout)

    a.list_topics = list_topics
    purge = a.purge

    def purging(in_queue, in_flight, blocking):
        assert (in_queue, in_flight) == (True, False)
        purge(in_queue, in_flight, blocking)
        a.stuck = False

    a.purge = purging
    producer.poll(0)
    assert producer.flush(5) == 0
    assert sent(world.on("B")) == values(5, 1)
    assert reports.codes == {value: [None] for value in values(5)}


def test_a_storm_of_failures_brings_few_questions(world, producer):
    reports = Reports()
    a = started(world, producer, reports, count=1)
    before = len(world.stub.requests)
    began = time.monotonic()
    number = 0
    while time.monotonic() - began < 2.5 or number < 1000:
        for _ in range(20):
            number += 1
            producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
        a.fail(TIMED_OUT)
        producer.poll(0)
        time.sleep(0.01)
    a.stuck = False
    assert producer.flush(2) == 0
    assert 2 <= len(world.stub.requests) - before <= time.monotonic() - began + 2
    assert all(len(codes) == 1 for codes in reports.codes.values())
    assert len(reports.codes) == number + 1
    failed = [value for value, codes in reports.codes.items() if codes == [TIMED_OUT]]
    assert len(failed) > 500
    everything_is_over(producer)


def test_a_catalog_that_hangs_is_waited_for_within_its_timeout(world, events):
    reports = Reports()
    settings = world.settings(ttl=60, timeout=2, on_route_change=events.append)
    with Producer(settings) as producer:
        a = started(world, producer, reports, count=3)
        world.stub.fault = Fault.HANG
        a.fail(TIMED_OUT, 1)
        producer.poll(0)
        began = time.monotonic()
        number = 3
        while not reports.codes.get(b"1"):
            producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
            number += 1
            producer.poll(0.01)
            assert time.monotonic() - began < 20
        assert time.monotonic() - began > 1.9
        assert number > 10, "produce() waited for the catalog"
        world.stub.fault = None
        wait_for(lambda: held(producer) == 0)
        # It is left alone for a while.
        a.fail(TIMED_OUT, 1)
        assert producer.poll(0) == 1
        a.stuck = False
        assert producer.flush(2) == 0
        assert sent(a) == values(number)
        assert reports.codes == {
            value: [TIMED_OUT if value in {b"1", b"2"} else None] for value in values(number)
        }


def test_a_catalog_that_fails_lets_the_application_hear_at_once(world, producer):
    reports = Reports()
    a = started(world, producer, reports, count=2)
    world.stub.fault = Fault.FORBIDDEN
    began = time.monotonic()
    a.fail(TIMED_OUT)
    assert producer.flush(20) == 0
    assert time.monotonic() - began < 4, "it went on asking until the catalog's timeout"
    assert reports.codes == {b"0": [None], b"1": [TIMED_OUT]}


def test_close_does_not_wait_for_an_answer(world, events):
    reports = Reports()
    producer = Producer(world.settings(ttl=60, timeout=30))
    a = started(world, producer, reports, count=2)
    world.stub.fault = Fault.HANG
    a.fail(TIMED_OUT)
    producer.poll(0)
    producer.produce(A, b"2", on_delivery=reports)
    began = time.monotonic()
    assert producer.close(0.1) == 2
    assert time.monotonic() - began < 15
    world.stub.fault = None
    assert reports.codes == {
        b"0": [None],
        b"1": [TIMED_OUT],
        b"2": [KafkaError._PURGE_QUEUE],
    }


def test_a_first_callback_while_the_catalog_is_asked(world, producer, events):
    """The client is to be replaced by one that reports successes, too."""
    reports = Reports()
    producer.produce(A, b"0")
    a = world.on("A")
    a.stuck = True
    producer.produce(A, b"1")
    world.stub.delay = 0.2
    a.fail(TIMED_OUT)
    producer.poll(0)
    producer.produce(A, b"2", on_delivery=reports)
    a.stuck = False
    assert producer.flush(5) == 0
    assert reports.codes == {b"2": [None]}
    assert producer.counters()["failed without a callback"] == 2
    assert sent(world.backend.producers[1]) == [b"2"]


def test_what_failed_of_a_channel_that_stays_is_reported(world, producer, events):
    """It shares its client with one that moves."""
    reports = Reports()
    a = started(world, producer, reports, count=2)
    producer.produce(A2, b"of the other", on_delivery=reports)
    producer.produce(A2, b"younger", on_delivery=reports)
    world.put(A, "moved", "B")
    a.fail(TIMED_OUT, 2)
    assert producer.poll(0) == 2
    wait_for(lambda: told(events, Phase.RELEASED))
    a.stuck = False
    assert producer.flush(5) == 0
    assert reports.codes == {
        b"0": [None],
        b"1": [None],
        b"of the other": [TIMED_OUT],
        b"younger": [None],
    }
    assert sent(world.on("B")) == [b"1"]


# A refused login.


@pytest.fixture
def secured(world):
    world.put(A, "ta", "A", credentials=login("u", "old-pass"))
    return world


@pytest.mark.parametrize("told_late", [False, True])
def test_what_a_refused_login_failed_goes_first_with_the_new_one(
    secured, producer, events, told_late
):
    """The catalog may learn of the new password after the brokers."""
    reports = Reports()
    a = started(secured, producer, reports, count=6)
    order = []
    give, purge = a.set_sasl_credentials, a.purge
    a.set_sasl_credentials = lambda *new: (order.append("login"), give(*new), heal())
    a.purge = lambda *what: (order.append("purge"), purge(*what))

    def heal():
        a.stuck = False

    if not told_late:
        secured.put(A, "ta", "A", credentials=login("u", "new-pass"))
    a.fail(REFUSED, 2)
    producer.poll(0)
    for number in (6, 7):
        producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
    if told_late:
        time.sleep(0.4)
        assert held(producer) == 4
        secured.put(A, "ta", "A", credentials=login("u", "new-pass"))
    assert producer.flush(5) == 0
    assert order == ["purge", "login"]
    # Numbers 1 to 5 were accepted by the client before, and sent again after the new login.
    assert sent(a) == values(6) + values(8, 1)
    assert reports.codes == {value: [None] for value in values(8)}
    assert [e.phase for e in events] == [Phase.SEEN, Phase.CREDENTIALS, Phase.RESCUED]
    assert events[-1].count == 5
    assert secured.backend.producers == [a]
    everything_is_over(producer)


def test_failures_that_nobody_has_polled_are_found_before_the_new_login(secured, producer, events):
    reports = Reports()
    a = started(secured, producer, reports, count=4)
    give = a.set_sasl_credentials
    a.set_sasl_credentials = lambda *new: (give(*new), setattr(a, "stuck", False))
    a.fail(REFUSED, 1)
    move(secured, producer, A, "ta", "A", credentials=login("u", "new-pass"))
    wait_for(lambda: told(events, Phase.RESCUED))
    assert producer.flush(5) == 0
    assert sent(a) == values(4) + values(4, 1)
    assert reports.codes == {value: [None] for value in values(4)}
    assert reports.threads == {threading.get_ident()}


def test_without_failures_nothing_is_purged_for_a_new_login(secured, producer, events):
    reports = Reports()
    a = started(secured, producer, reports, count=4)
    move(secured, producer, A, "ta", "A", credentials=login("u", "new-pass"))
    wait_for(lambda: told(events, Phase.CREDENTIALS))
    a.stuck = False
    assert producer.flush(5) == 0
    assert a.calls == [("credentials", "u", "new-pass")]
    assert sent(a) == values(4)


def test_a_login_that_stays_refused_is_reported_after_the_timeout(secured, events):
    reports = Reports()
    with Producer(secured.settings(ttl=60, timeout=1, on_route_change=events.append)) as producer:
        a = started(secured, producer, reports, count=2)
        before = len(secured.stub.requests)
        began = time.monotonic()
        a.fail(REFUSED)
        assert producer.flush(20) == 0
        assert 0.5 < time.monotonic() - began < 15
        assert 2 <= len(secured.stub.requests) - before <= 5
        assert reports.codes == {b"0": [None], b"1": [REFUSED]}
        # And not asked about again soon: the next failure is told at once.
        producer.produce(A, b"2", on_delivery=reports)
        a.fail(REFUSED)
        assert producer.poll(0) == 1
        assert events == []


def test_a_client_that_refuses_the_new_login_is_replaced_in_order(secured, producer, events):
    reports = Reports()
    a = started(secured, producer, reports, count=5)

    def refuse(username, password):
        raise KafkaException(KafkaError(KafkaError._STATE))

    a.set_sasl_credentials = refuse
    secured.put(A, "ta", "A", credentials=login("u", "new-pass"))
    a.fail(REFUSED, 1)
    producer.poll(0)
    producer.produce(A, b"5", b"k", on_delivery=reports)
    assert producer.flush(5) == 0
    assert sent(secured.backend.producers[1]) == values(6, 1)
    assert reports.codes == {value: [None] for value in values(6)}


@pytest.mark.parametrize("transactional", [False, True])
def test_without_redelivery_nobody_is_asked(world, transactional):
    reports = Reports()
    more = {"client_config": {"transactional.id": "x"}} if transactional else {"redeliver": False}
    with Producer(world.settings(ttl=60, **more)) as producer:
        if transactional:
            producer.init_transactions(channels=[A])
            producer.begin_transaction()
        producer.produce(A, b"1", on_delivery=reports)
        before = len(world.stub.requests)
        world.on("A").fail(TIMED_OUT)
        assert producer.poll(0) == 1
        assert reports.codes == {b"1": [TIMED_OUT]}
        assert len(world.stub.requests) == before


def test_a_pause_has_a_bound_whatever_a_question_seems_to_have_taken():
    assert pause_after(0.01, 1.0) == 1.0
    assert pause_after(2.0, 1.0) == 18.0
    assert pause_after(8 * 3600, 1.0) == 60.0  # the machine slept
