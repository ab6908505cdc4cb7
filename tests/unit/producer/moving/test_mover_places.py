"""Moves of a Producer that cannot be made as told: places away, other credentials, refusals."""

import threading
import time

import pytest

from kafkaroute import (
    CatalogUnauthorized,
    KafkaError,
    KafkaException,
    Phase,
    Producer,
)
from kafkaroute.testing.catalog_stub import Fault

from .. import producer_world
from ..producer_world import (
    A2,
    TIMED_OUT,
    A,
    Reports,
    login,
    move,
    sent,
    told,
    wait_for,
)

world, events, producer = producer_world.world, producer_world.events, producer_world.producer


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
