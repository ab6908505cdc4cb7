"""What tests of a Producer's moves over fake native clients share."""

import threading
import time

import pytest

from kafkaroute import KafkaError, Phase, Producer
from kafkaroute.producer.moving import strays

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


@pytest.fixture
def patient_producer(world, events):
    """Waits for the old cluster long enough for what a test does meanwhile."""
    settings = world.settings(ttl=60, drain_timeout=3.0, on_route_change=events.append)
    with Producer(settings) as producer:
        yield producer


@pytest.fixture
def plain_producer(world):
    """As an application makes it, for what does not move."""
    with Producer(world.settings()) as producer:
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
    assert not producer._dispatch.table.holds._holds
    assert not producer._dispatch.table.retired


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


def change_places(world, producer, events, reports):
    """A's channel goes where B's is and the other way round, with a message on its way in each."""
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
