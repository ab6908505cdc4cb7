"""What tests of a Producer's moves over fake native clients share."""

import threading
import time

from kafkaroute import KafkaError, Phase

A, A2, B, C = "kafka://x/a", "kafka://x/a/two", "kafka://x/b", "kafka://x/c"
TIMED_OUT = KafkaError._MSG_TIMED_OUT


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
