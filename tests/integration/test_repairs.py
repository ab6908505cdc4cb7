"""Every field of an answer wrong for a while and mended, before, during and after a move, for a
Producer and a Consumer: both go on at once, and nothing is lost or comes twice."""

from __future__ import annotations

import threading
import time

import pytest

#: Seconds: how long an answer is wrong, the TTL, the window of a move, between two messages.
WRONG_FOR = 5.0
TTL = 0.5
WINDOW = 0.5
PACE = 0.1
#: Seconds from the repair to the first message that was written after it.
REPAIRED = 3.0

NOBODY = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanisms": "PLAIN",
    "sasl.username": "nobody",
    "sasl.password": "wrong",
}
#: What a field's wrong value adds to a right answer.
WRONG = {
    "servers that nobody answers at": {"connection": {"bootstrap.servers": "127.0.0.1:1"}},
    "servers that are none": {"connection": {"bootstrap.servers": "nowhere.invalid:9092"}},
    "no servers": {"connection": {"bootstrap.servers": ""}},
    "topic": {"topic": "there-is-no-such-topic"},
    "a topic's name": {"topic": "no topic / at all"},
    "protocol": {"credentials": NOBODY},
    "certificates": {"credentials": {"security.protocol": "SSL"}},
    "mechanism": {"credentials": NOBODY | {"sasl.mechanisms": "SCRAM-SHA-512"}},
    "an unknown mechanism": {"credentials": NOBODY | {"sasl.mechanisms": "NONE-SUCH"}},
    "an unknown protocol": {"credentials": {"security.protocol": "none-such"}},
    "an authority's file": {"credentials": {"ssl.ca.location": "/there/is/none.pem"}},
    "an authority": {"credentials": NOBODY | {"ssl.ca.pem": "no certificate"}},
    "an unknown setting": {"configuration": {"no.such.setting": 1}},
    "a setting's value": {"configuration": {"session.timeout.ms": "long"}},
    "a setting's range": {"configuration": {"fetch.wait.max.ms": -5, "linger.ms": -5}},
    "group": {"configuration": {"group.id": ""}},
    "cluster": {"cluster_id": "of-another-cluster"},
    "generation": {"generation": "many"},
    "previous": {"previous": {"topic": 5}},
    "age": {"cache_control": "max-age=soon"},
}


class Channel:
    """One channel, and what was sent and read of it."""

    def __init__(self, world, wrong):
        self.world, self.wrong = world, wrong
        self.name = world.channel()
        self.sent = 0
        self.failed = []
        self.read = []
        self.first_after = None  # when the first message of after the repair was read
        self._repaired_at = self._repaired = None

    def answer(self, more=()):
        cluster, topic = self.world.where[self.name]
        right = {"topic": topic, "connection": self.world.clusters[cluster].client_config()}
        self.world.stub.put(self.name, **right | dict(more))

    def move(self):
        self.world.where[self.name] = (1, self.world.clusters[1].new_topic(1))
        self.answer()

    def repaired(self):
        self.answer()
        self._repaired_at, self._repaired = self.sent, time.monotonic()

    def came(self, number):
        self.read.append(number)
        if self._repaired_at is not None and number >= self._repaired_at and not self.first_after:
            self.first_after = time.monotonic() - self._repaired


class Traffic:
    """A Producer and a Consumer of all channels, each on a thread."""

    def __init__(self, world, channels):
        more = {"ttl": TTL, "move_window": WINDOW, "drain_timeout": 2.0}
        self.channels = {channel.name: channel for channel in channels}
        self.producer = world.producer(**more)
        self.consumer = world.consumer(
            list(self.channels), {"session.timeout.ms": 6000}, move_linger=30.0, **more
        )
        self._errors = []
        self._sending, self._reading = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._safely, args=(step,)) for step in (self._send, self._read)
        ]

    def _safely(self, step):
        try:
            step()
        except BaseException as error:
            self._errors.append(error)

    def _send(self):
        while not self._sending.wait(PACE):
            for channel in self.channels.values():
                told = self._told(channel, channel.sent)
                self.producer.produce(channel.name, b"%d" % channel.sent, on_delivery=told)
                channel.sent += 1
            self.producer.poll(0)
        assert self.producer.flush(20) == 0

    def _told(self, channel, number):
        def told(error, _message):
            if error is not None:
                channel.failed.append((number, error))

        return told

    def _read(self):
        while not self._reading.is_set():
            message = self.consumer.poll(0.1)
            if message is not None:
                assert message.error() is None, message.error()
                self.channels[message.channel()].came(int(message.value()))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.until(lambda one: one.read, "the first messages")
        return self

    def until(self, condition, what, timeout=30):
        end = time.monotonic() + timeout
        while not all(map(condition, self.channels.values())):
            assert not self._errors, self._errors
            if time.monotonic() > end:
                routes = self.consumer.routes()
                left = {
                    one.wrong: (one.sent, one.read[-1:], routes[one.name])
                    for one in self.channels.values()
                    if not condition(one)
                }
                pytest.fail(f"{what}: {left}; {self.standing()}")
            time.sleep(0.02)

    def standing(self):
        """What each native consumer has, for whoever has to find out why."""
        found = []
        for member in self.consumer._members.all:
            positions = member.client.position(member.client.assignment())
            stands = {(one.topic, one.partition): one.offset for one in positions}
            kept = {key: [why.name for why in whys] for key, whys in member.kept._why.items()}
            found.append((member.place, stands, member.paused, kept, member.wanted()))
        return found

    def __exit__(self, kind, *_):
        self._sending.set()
        self._threads[0].join(40)
        try:
            if kind is None:
                self.until(lambda one: len(one.read) >= one.sent, "all messages")
        finally:
            self._reading.set()
            self._threads[1].join(40)
        assert not self._errors, self._errors


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_repaired_answer_repairs_the_clients(real_world, when):
    channels = [Channel(real_world, wrong) for wrong in WRONG]
    with Traffic(real_world, channels) as traffic:
        if when != "before":
            for channel in channels:
                channel.move()
        if when == "during":
            time.sleep(TTL / 2)
        if when == "after":
            time.sleep(4)
        for channel in channels:
            channel.answer(WRONG[channel.wrong])
        time.sleep(WRONG_FOR)
        for channel in channels:
            channel.repaired()
        traffic.until(lambda one: one.first_after, "the first message after the repair")
        if when == "before":
            for channel in channels:
                channel.move()
            time.sleep(3)
    slow = {one.wrong: one.first_after for one in channels if one.first_after > REPAIRED}
    assert not slow
    assert not {one.wrong: one.failed[:3] for one in channels if one.failed}
    for one in channels:
        missing = sorted(set(range(one.sent)) - set(one.read))
        assert one.read == list(range(one.sent)), (one.wrong, missing[:9], len(one.read))


#: The place a channel is first at (A), another one (B), one that is not there (X), a third one (C).
SEQUENCES = ["ABA", "ABC", "ABAB", "AXA", "AXB", "AXBX", "ABXB", "ABXA", "AXAXB"]


@pytest.mark.parametrize("pace", [0.3, 1.5])
def test_sequences_of_answers(real_world, pace):
    channels = [Channel(real_world, sequence) for sequence in SEQUENCES]
    places = {}
    for one in channels:
        a = real_world.where[one.name]
        b, c = (1, real_world.clusters[1].new_topic(1)), (0, real_world.clusters[0].new_topic(1))
        places[one.name] = {"A": a, "B": b, "C": c}
    with Traffic(real_world, channels) as traffic:
        for step in range(1, max(map(len, SEQUENCES))):
            for one in channels:
                letter = one.wrong[step : step + 1]
                if letter == "X":
                    one.answer(WRONG["servers that nobody answers at"])
                elif letter:
                    real_world.where[one.name] = places[one.name][letter]
                    one.answer()
            time.sleep(pace)
        for one in channels:
            one.repaired()
        traffic.until(lambda one: one.first_after, "the first message at the end")
    assert not {one.wrong: one.failed[:3] for one in channels if one.failed}
    for one in channels:
        missing = sorted(set(range(one.sent)) - set(one.read))
        assert not missing, (one.wrong, missing)
