"""Consumers that were down during a move, or are restarted in the middle of one.

Members are processes of their own, so that they can be killed. What they read they print.
"""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict

import confluent_kafka
import pytest

from kafkaroute.testing.cluster import unique_name

WINDOW = 1.5
PARTITIONS = 3
KEYS = 5

_MEMBER = """
import json, os, signal, sys, time
from kafkaroute import Consumer

def say(*words):
    os.write(1, (" ".join(map(str, (time.monotonic(), *words))) + "\\n").encode())

settings, channel = json.loads(sys.argv[1])
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
settings["on_route_change"] = lambda change: say("phase", change.phase.name, change)
consumer = Consumer(settings)
consumer.subscribe([channel])
say("subscribed")
while not stopping:
    message = consumer.poll(0.2)
    if message is not None and message.error() is not None:
        say("event", message.error())
    elif message is not None:
        say("read", message.key().decode(), message.value().decode(), message.topic())
        # Not before: a member that is killed in between must not have it committed.
        consumer.store_offsets(message)
consumer.close()
say("closed")
"""


class Member:
    """A consumer in a process of its own."""

    def __init__(self, settings, channel, folder):
        self._out = folder / f"{unique_name('member')}.txt"
        self._err = self._out.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _MEMBER, json.dumps([settings, channel])],
                stdout=out,
                stderr=err,
            )

    def said(self, what):
        """Lines of one kind: [(time, words)]."""
        lines = [line.split(" ") for line in self._out.read_text().split("\n")[:-1]]
        return [(float(at), words) for at, kind, *words in lines if kind == what]

    def phases(self):
        return [words[0] for _, words in self.said("phase")]

    def errors(self):
        """Warnings, and what ended it."""
        return self._err.read_text()

    def check(self):
        assert self._process.poll() is None, self._err.read_text()

    def kill(self):
        self._process.kill()
        self._process.wait(10)

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0, self._err.read_text()


class Load:
    """Writes keyed, numbered messages through the bare client, wherever it is told to."""

    def __init__(self, world, channel, rate=150):
        self.world, self.rate = world, rate
        self.sent = Counter()
        self._target = world.where[channel]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def go_to(self, target):
        self._target = target

    def _run(self):
        producers, current, number = {}, None, 0
        while not self._stop.wait(1 / self.rate):
            cluster, topic = target = self._target
            if cluster not in producers:
                producers[cluster] = confluent_kafka.Producer(
                    self.world.clusters[cluster].client_config()
                    | {"log_level": 0, "enable.idempotence": True, "linger.ms": 2}
                )
            if current not in {None, target}:
                assert producers[current[0]].flush(20) == 0
            current = target
            key = f"k{number % KEYS}"
            producers[cluster].produce(topic, str(self.sent[key]), key)
            producers[cluster].poll(0)
            self.sent[key] += 1
            number += 1
        for producer in producers.values():
            assert producer.flush(20) == 0

    def __enter__(self):
        self._thread.start()
        return self

    def stop(self):
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def __exit__(self, *_):
        self.stop()


class Team:
    """The members of one group, running or not, and all that they read."""

    def __init__(self, world, channel, folder, stack, **more):
        self.world, self.channel, self._folder, self._stack = world, channel, folder, stack
        self.more = more
        self.group = unique_name("g")
        self.running, self.all = [], []

    def settings(self):
        config = {
            "group.id": self.group,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            "auto.commit.interval.ms": 200,
            "enable.auto.offset.store": False,
        }
        base = {"ttl": 1.0, "move_window": WINDOW, "move_linger": 2.0, "drain_timeout": 2.0}
        return self.world.settings(config, **base | self.more)

    def start(self, count=1):
        for _ in range(count):
            member = Member(self.settings(), self.channel, self._folder)
            self._stack.callback(member.kill)
            self.running.append(member)
            self.all.append(member)

    def stop(self):
        self._wait(
            lambda: all(member.said("subscribed") for member in self.running), 30, "subscriptions"
        )
        for member in self.running:
            member.stop()
        self.running.clear()

    def kill(self):
        for member in self.running:
            member.kill()
        self.running.clear()

    def await_phase(self, phase, timeout=30):
        """Every running member has come to it."""
        self._wait(lambda: all(phase in member.phases() for member in self.running), timeout, phase)

    def read(self):
        """Key → numbers, in the order of reading."""
        found = defaultdict(list)
        lines = [line for member in self.all for line in member.said("read")]
        for _, (key, number, _) in sorted(lines):
            found[key].append(int(number))
        return found

    def topics(self):
        return {words[2] for member in self.running for _, words in member.said("read")}

    def await_some(self, count=60):
        self._wait(lambda: sum(map(len, self.read().values())) >= count, 40, "some messages")

    def await_all(self, sent, timeout=40):
        def complete():
            read = self.read()
            return all(len(set(read[key])) >= count for key, count in sent.items())

        def missing():
            """Numbers that did not come, and where and when their neighbours did."""
            found = {}
            lines = sorted(line for member in self.all for line in member.said("read"))
            for key, count in sent.items():
                read = {int(words[1]): (at, words[2]) for at, words in lines if words[0] == key}
                gone = sorted(set(range(count)) - set(read))
                if gone:
                    found[key] = (gone, read.get(gone[0] - 1), read.get(gone[-1] + 1))
            return found

        self._wait(complete, timeout, missing)

    def _wait(self, condition, timeout, what):
        until = time.monotonic() + timeout
        while not condition():
            for member in self.running:
                member.check()
            if time.monotonic() > until:
                what = what() if callable(what) else what
                pytest.fail(f"{what} did not come; {self.story()}")
            time.sleep(0.1)

    def story(self):
        """What happened, for whoever has to find out why."""
        lines = [line for member in self.all for line in member.said("phase")]
        told = [" ".join(map(str, (at, *words[1:]))) for at, words in sorted(lines)]
        return "\n".join([*told, *(member.errors() for member in self.all)])

    def reordered(self):
        """First readings that came after a higher number of the same key."""
        found = []
        for key, numbers in self.read().items():
            highest, seen = -1, set()
            for number in numbers:
                if number not in seen and number < highest:
                    found.append((key, number, highest))
                seen.add(number)
                highest = max(highest, number)
        return found

    def duplicates(self):
        return sum(len(numbers) - len(set(numbers)) for numbers in self.read().values())


@pytest.fixture
def team(real_world, tmp_path):
    """Makes a team for a channel on three partitions of the first cluster."""
    with contextlib.ExitStack() as stack:

        def make(**more):
            channel = real_world.channel(partitions=PARTITIONS)
            return Team(real_world, channel, tmp_path, stack, **more), channel

        yield make


def move(world, channel, cluster=1, *, same_name=False, **more):
    """The catalog answers a new place; returns it."""
    _, old = world.where[channel]
    topic = old
    if same_name:
        world.clusters[cluster].create_topic(topic, PARTITIONS)
    else:
        topic = world.clusters[cluster].new_topic(PARTITIONS)
    world.stub.put(channel, topic=topic, connection=world.connection(cluster), **more)
    world.where[channel] = (cluster, topic)
    return cluster, topic


def place(world, channel):
    """The channel's place, as an answer's `previous` names it."""
    cluster, topic = world.where[channel]
    return {"topic": topic, "connection": world.connection(cluster)}


@pytest.mark.parametrize("known_by", ["previous", "snapshot", "snapshot, same topic name"])
def test_down_during_the_move(real_world, team, tmp_path, known_by):
    """What the group left behind in the old place is read before anything of the new one."""
    world = real_world
    more = {} if known_by == "previous" else {"snapshot": str(tmp_path / "routes.json")}
    group, channel = team(**more)
    with Load(world, channel) as load:
        group.start(2)
        group.await_some()
        group.stop()
        time.sleep(0.5)  # this is what it left behind
        previous = {"previous": [place(world, channel)]} if known_by == "previous" else {}
        target = move(world, channel, same_name="same" in known_by, **previous)
        load.go_to(target)
        time.sleep(0.5)
        group.start(2)
        time.sleep(2)
    group.await_all(load.sent)
    assert group.reordered() == []
    assert group.duplicates() == 0
    group.await_phase("DONE")
    group.stop()
    if known_by != "previous":
        # Finished once and for all: the next start does not look back.
        group.start()
        world.wait(lambda: group.running[0].said("subscribed"), 30)
        time.sleep(1)
        assert group.running[0].phases() == []


@pytest.mark.parametrize("kind", ["topic", "cluster", "cluster, same topic name"])
def test_every_member_is_killed_during_the_hold(real_world, team, tmp_path, kind):
    """The catalog tells the new processes of the new place only; the snapshot knows the old one."""
    world = real_world
    group, channel = team(snapshot=str(tmp_path / "routes.json"))
    with Load(world, channel) as load:
        group.start(2)
        group.await_some()
        world.wait((tmp_path / "routes.json").exists, 20)
        target = move(world, channel, 0 if kind == "topic" else 1, same_name="same" in kind)
        group.await_phase("HELD")
        group.kill()
        group.start(2)
        time.sleep(1)
        load.go_to(target)  # producers learn of it later
        time.sleep(2)
    group.await_all(load.sent)
    assert group.reordered() == []
    group.await_phase("DONE")


def test_killed_again_and_again(real_world, team, tmp_path):
    """At moments that nobody chose; there is a second move on the way, too."""
    world = real_world
    group, channel = team(snapshot=str(tmp_path / "routes.json"))
    with Load(world, channel) as load:
        group.start(2)
        group.await_some()
        world.wait((tmp_path / "routes.json").exists, 20)
        for pause in (0.3, 0.9):
            target = move(world, channel, 1)
            # Somebody has to hear of a place for it to be remembered.
            world.wait(lambda: any("SEEN" in member.phases() for member in group.running), 30)
            time.sleep(pause)
            group.kill()
            group.start(2)
            time.sleep(1.1)
            group.kill()
            load.go_to(target)
            group.start(2)
            time.sleep(0.7)
        time.sleep(1)
    group.await_all(load.sent, 60)
    assert group.reordered() == []


def test_a_member_that_joins_during_the_hold(real_world, team):
    """It has no snapshot, and no `previous`: the others' notes hold it back."""
    world = real_world
    group, channel = team(move_window=4.0)
    with Load(world, channel) as load:
        group.start()
        group.await_some()
        target = move(world, channel)
        group.await_phase("HELD")
        time.sleep(0.5)
        group.start()
        world.wait(lambda: group.running[1].said("subscribed"), 30)
        time.sleep(1)
        load.go_to(target)
        time.sleep(4)
    group.await_all(load.sent)
    assert group.reordered() == []


def test_a_previous_that_does_not_answer(real_world, team):
    """It delays the new place by the window and the drain time-out, and no more."""
    world = real_world
    group, channel = team()
    group.start()
    with Load(world, channel) as load:
        group.await_some()
    group.await_all(load.sent)
    group.stop()
    dead = place(world, channel)
    dead["connection"] = dead["connection"] | {"bootstrap.servers": "127.0.0.1:1"}
    load.go_to(move(world, channel, previous=[dead]))
    target = world.where[channel]
    again = Load(world, channel)
    again.sent.update(load.sent)
    again.go_to(target)
    with again:
        started = time.monotonic()
        group.start()
        group.await_all({key: count + 5 for key, count in load.sent.items()}, 60)
        took = time.monotonic() - started
    group.await_all(again.sent)
    assert took < WINDOW + 2.0 + 15.0, took
    assert group.reordered() == []
    assert "UNREAD" in group.running[0].phases()


def test_a_previous_that_the_group_never_read(real_world, team):
    """A new group begins in the new place, at once."""
    world = real_world
    group, channel = team(move_window=30.0)
    world.write(channel, [b"0"], key="old")
    target = move(world, channel, previous=[place(world, channel)])
    world.write(channel, [b"0"], key="new")
    group.start()
    group.await_some(1)
    assert group.topics() == {target[1]}
