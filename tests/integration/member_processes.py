"""A consumer group whose members are processes of their own, so that they can be killed. What they
read they print."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import defaultdict

import pytest

from kafkaroute.testing.cluster import unique_name

from .consumer_load import PARTITIONS, WINDOW

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
    """A consumer in a process of its own.

    Args:
        program: what it runs instead of the usual.
    """

    def __init__(self, settings, channel, folder, program=_MEMBER):
        self._out = folder / f"{unique_name('member')}.txt"
        self._err = self._out.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, json.dumps([settings, channel])],
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
    """Makes a team for a channel on three partitions of the first cluster; tests take it over by
    its name: ``team = member_processes.team``."""
    with contextlib.ExitStack() as stack:

        def make(**more):
            channel = real_world.channel(partitions=PARTITIONS)
            return Team(real_world, channel, tmp_path, stack, **more), channel

        yield make
