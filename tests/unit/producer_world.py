"""What tests of a Producer's moves over fake native clients share."""

import threading
import time

import pytest

from kafkaroute import KafkaError, Phase, Producer

A, A2, B, C = "kafka://x/a", "kafka://x/a/two", "kafka://x/b", "kafka://x/c"
TIMED_OUT = KafkaError._MSG_TIMED_OUT


@pytest.fixture
def world(fake):
    """Tests take the fixtures over by their names: ``world = producer_world.world``."""
    fake.put(A, "ta", "A")
    fake.put(A2, "ta2", "A")
    fake.put(B, "tb", "B")
    return fake


@pytest.fixture
def events():
    return []


@pytest.fixture
def producer(world, events):
    settings = world.settings(ttl=60, drain_timeout=0.4, on_route_change=events.append)
    with Producer(settings) as producer:
        yield producer


def move(world, producer, channel, topic, cluster, **more):
    world.put(channel, topic, cluster, **more)
    producer._router.cache.refresh(channel)


def wait_for(condition, seconds=10):
    until = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < until
        time.sleep(0.002)
    return answer


def told(events, phase, channel=None):
    return [e for e in events if e.phase == phase and channel in (None, e.channel)]


def sent(client):
    return [message[1] for message in client.sent]


def held(producer, channel=A):
    return producer.routes()[channel].held


class Reports:
    """One callback for all messages: value → codes."""

    def __init__(self):
        self.codes = {}
        self.order = []
        self.threads = set()

    def __call__(self, error, message):
        self.codes.setdefault(message.value(), []).append(error and error.code())
        self.order.append(message.value())
        self.threads.add(threading.get_ident())


def stuck_move(world, producer, events, reports=None, count=5):
    """`count` messages on a cluster A that no longer acknowledges; A moves to B."""
    a = None
    for number in range(count):
        producer.produce(A, b"%d" % number, b"k", on_delivery=reports)
        a = a or world.on("A")
        a.stuck = True
    move(world, producer, A, "moved", "B")
    wait_for(lambda: told(events, Phase.HELD))
    return a


def login(user, password):
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": user,
        "sasl.password": password,
    }


def everything_is_over(producer):
    wait_for(lambda: not producer._dispatch.movers)
    assert not producer._dispatch.fronts._holds
    assert not producer._dispatch.retired
