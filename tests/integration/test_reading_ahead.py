"""A Consumer of which the backend has fetched more than the application got, on real Kafka: what was
handed out is committed, and nothing else."""

import itertools
import threading
import time
from collections import defaultdict

import pytest

from kafkaroute import ClosedError, KafkaError, KafkaException, TopicPartition
from kafkaroute.testing.cluster import unique_name

from .looking import code_of
from .member_processes import Member

PARTITIONS = 3
QUICKLY = {"auto.commit.interval.ms": 100, "session.timeout.ms": 6000, "heartbeat.interval.ms": 300}
STRATEGIES = ("range", "cooperative-sticky")
#: A cooperative member may hear that it has lost a partition when the next rebalance has begun; the
#: group then refuses what it commits, with any client.
LATE = {KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS}

#: Tells of each message before it asks for the next one.
_SLOW_MEMBER = """
import json, os, sys, time
from kafkaroute import Consumer

settings, channel = json.loads(sys.argv[1])
consumer = Consumer(settings)
consumer.subscribe([channel])
while True:
    message = consumer.poll(0.2)
    if message is not None:
        assert message.error() is None, message.error()
        os.write(1, b"0 read %d %d\\n" % (message.partition(), message.offset()))
        time.sleep(0.001)
"""


def filled(world, count, partitions=PARTITIONS):
    """A channel with so many messages in each partition."""
    channel = world.channel(partitions=partitions)
    for partition in range(partitions):
        world.write(channel, [b"v"] * count, partition=partition)
    return channel


def offsets(read):
    """Partition → offsets in the order of reading, of (partition, offset)."""
    found = defaultdict(list)
    for partition, offset in read:
        found[partition].append(offset)
    return dict(found)


def whole(count, partitions=PARTITIONS):
    return {partition: list(range(count)) for partition in range(partitions)}


def reached(read):
    return {partition: some[-1] + 1 for partition, some in offsets(read).items()}


def spots(messages):
    return [(message.partition(), message.offset()) for message in messages]


class Members:
    """Members of one group, each polled on a thread of its own; all that they read, in order.

    Args:
        manual: they commit in on_revoke, and before they close.
        pace: seconds of work on each message.
    """

    def __init__(self, world, channel, strategy, *, manual, pace):
        self._world, self._channel = world, channel
        self._manual, self.pace = manual, pace
        self._config = QUICKLY | {
            "enable.auto.commit": not manual,
            "partition.assignment.strategy": strategy,
        }
        self.group = unique_name("g")
        self.read, self.errors = [], []
        self.refused = 0
        self._running = []

    def start(self):
        consumer = self._world.consumer(client_config=self._config, group=self.group)
        over = threading.Event()
        thread = threading.Thread(target=self._run, args=(consumer, over))
        self._running.append((over, thread))
        thread.start()

    def stop(self):
        """The one that is there longest leaves."""
        over, thread = self._running.pop(0)
        over.set()
        thread.join(30)
        assert not thread.is_alive()

    def _run(self, consumer, over):
        try:
            consumer.subscribe([self._channel], None, self._on_revoke)
            while not over.is_set():
                message = consumer.poll(0.1)
                if message is None:
                    continue
                assert message.error() is None, message.error()
                # Another member reads on from here only after this one has given it up.
                self.read.append((message.partition(), message.offset()))
                if self.pace:
                    time.sleep(self.pace)
        except BaseException as error:
            self.errors.append(error)
        finally:
            consumer.close()

    def _on_revoke(self, consumer, _partitions):
        if not self._manual:
            return
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            code = error.args[0].code()
            if code in LATE:
                self.refused += 1
            elif code != KafkaError._NO_OFFSET:
                self.errors.append(error)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        while self._running:
            self.stop()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("manual", [False, True], ids=["auto", "manual"])
def test_members_come_and_go(real_world, strategy, manual):
    """Nobody is killed, so nothing is lost, and nothing is read twice unless its commit came late."""
    count = 5000
    channel = filled(real_world, count)
    with Members(real_world, channel, strategy, manual=manual, pace=0.001) as members:
        members.start()
        real_world.wait(lambda: members.read or members.errors)
        for change in ("start", "start", "stop", "start", "stop", "stop"):
            getattr(members, change)()
            time.sleep(0.8)
        assert len(members.read) < PARTITIONS * count, "the members have read too fast"
        members.pace = 0
        real_world.wait(lambda: len(set(members.read[:])) >= PARTITIONS * count or members.errors)
        time.sleep(0.3)
    assert members.errors == []
    found = offsets(members.read)
    assert {partition: sorted(set(some)) for partition, some in found.items()} == whole(count)
    for some in found.values():
        # Whoever reads on begins where the group has committed: it skips nothing.
        assert all(after <= before + 1 for before, after in itertools.pairwise(some))
    if strategy == "range" or (manual and not members.refused):
        assert found == whole(count)
        committed = real_world.committed(channel, members.group)
        assert committed == dict.fromkeys(range(PARTITIONS), count)


def test_successor_of_a_killed_process(real_world, tmp_path):
    """What the killed one has not handed out is read, and what it had not committed again."""
    count = 5000
    channel, group = filled(real_world, count), unique_name("g")
    config = QUICKLY | {"auto.offset.reset": "earliest"}
    settings = real_world.settings(config | {"group.id": group})
    member = Member(settings, channel, tmp_path, _SLOW_MEMBER)
    try:
        real_world.wait(lambda: len(member.said("read")) > 800, 30, "the first messages")
        member.check()
    finally:
        member.kill()
    told = [tuple(map(int, words)) for _, words in member.said("read")]
    assert len(told) < PARTITIONS * count
    committed = real_world.committed(channel, group)
    assert committed, "nothing was committed"
    for partition, offset in committed.items():
        assert offset <= reached(told)[partition]
    consumer = real_world.consumer([channel], QUICKLY, group=group)
    left = PARTITIONS * count - sum(committed.values())
    read = spots(real_world.read(consumer, left))
    assert offsets(read) == {
        partition: list(range(committed.get(partition, 0), count))
        for partition in range(PARTITIONS)
        if committed.get(partition, 0) < count
    }
    real_world.quiet(consumer, 0.3)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_each_message_is_committed(real_world, asynchronous):
    channel, group = filled(real_world, 200), unique_name("g")
    consumer = real_world.consumer([channel], {"enable.auto.commit": False}, group=group)
    read = []
    for _ in range(25):
        [message] = real_world.read(consumer, 1)
        read += spots([message])
        consumer.commit(message, asynchronous=asynchronous)
        if not asynchronous:
            assert real_world.committed(channel, group) == reached(read)
    real_world.wait(lambda: real_world.committed(channel, group) == reached(read))
    # What each commit() named is all that was handed out.
    consumer.close()
    assert real_world.committed(channel, group) == reached(read)


def test_commit_without_a_message(real_world):
    channel, group = filled(real_world, 200), unique_name("g")
    consumer = real_world.consumer([channel], {"enable.auto.commit": False}, group=group)
    read = []
    for number in (1, 40, 150):
        read += spots(real_world.read(consumer, number))
        answer = consumer.commit(asynchronous=False)
        told = {p.partition: p.offset for p in answer if p.offset >= 0}
        assert told.items() <= reached(read).items()
        assert real_world.committed(channel, group) == reached(read)
        with pytest.raises(KafkaException) as caught:
            consumer.commit(asynchronous=False)
        assert code_of(caught) == KafkaError._NO_OFFSET
        where = [TopicPartition(channel, partition) for partition in reached(read)]
        assert {p.partition: p.offset for p in consumer.position(where)} == reached(read)


def poll_on_threads(consumer, count, over, pace=0.0):
    """Start so many threads that poll until `over` or the consumer is closed, and work so many
    seconds on each message; what each read, and the threads."""
    read = [[] for _ in range(count)]

    def run(own):
        try:
            while not over.is_set():
                if (message := consumer.poll(0.1)) is not None:
                    assert message.error() is None, message.error()
                    own.append((message.partition(), message.offset()))
                    if pace:
                        time.sleep(pace)
        except ClosedError:
            pass

    threads = [threading.Thread(target=run, args=(own,)) for own in read]
    for thread in threads:
        thread.start()
    return read, threads


def test_two_threads_poll(real_world):
    count = 3000
    channel, group = filled(real_world, count), unique_name("g")
    consumer = real_world.consumer([channel], QUICKLY, group=group)
    over = threading.Event()
    read, threads = poll_on_threads(consumer, 2, over)
    until = time.monotonic() + 30
    while sum(map(len, read)) < PARTITIONS * count and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    over.set()
    for thread in threads:
        thread.join(10)
    found = offsets(sorted([*read[0], *read[1]]))
    assert found == whole(count)
    for own in read:
        assert all(some == sorted(some) for some in offsets(own).values())
    consumer.close()
    assert real_world.committed(channel, group) == dict.fromkeys(range(PARTITIONS), count)


def test_closed_by_another_thread(real_world):
    """What the polling threads got until then is committed, to the message."""
    count = 20_000
    channel, group = filled(real_world, count, 1), unique_name("g")
    read = []
    for _ in range(3):
        consumer = real_world.consumer([channel], QUICKLY, group=group)
        got, threads = poll_on_threads(consumer, 2, threading.Event(), 0.0005)
        real_world.wait(lambda got=got: sum(map(len, got)) > 500)
        consumer.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        read += sorted([*got[0], *got[1]])
        assert real_world.committed(channel, group) == reached(read)
    assert len(read) < count, "there was nothing left to wait"
    assert offsets(read) == {0: list(range(len(read)))}


def test_iteration(real_world):
    channel, group = filled(real_world, 500), unique_name("g")
    read = []
    for wanted in (10, 300, 1190):
        with_rest = real_world.consumer([channel], QUICKLY, group=group)
        for message in with_rest:
            read += spots([message])
            if len(read) in {wanted, PARTITIONS * 500}:
                break
        with_rest.close()
        assert real_world.committed(channel, group) == reached(read)
    rest = real_world.consumer([channel], QUICKLY, group=group)
    read += spots(real_world.read(rest, PARTITIONS * 500 - len(read)))
    assert offsets(read) == whole(500)
    real_world.quiet(rest, 0.3)


def test_pause_and_seek_by_channel(real_world):
    channel = filled(real_world, 300)
    consumer = real_world.consumer([channel], {"enable.auto.commit": False})
    read = spots(real_world.read(consumer, 10))
    held = read[-1][0]
    here = TopicPartition(channel, held)
    consumer.pause([here])
    others = spots(real_world.read(consumer, 200))
    assert held not in offsets(others)
    time.sleep(0.2)
    consumer.resume([here])
    read += others
    read += spots(real_world.read(consumer, PARTITIONS * 300 - len(read)))
    assert offsets(read) == whole(300)
    consumer.seek(TopicPartition(channel, held, 100))
    again = spots(real_world.read(consumer, 20))
    consumer.seek(TopicPartition(channel, held, 250))
    again += spots(real_world.read(consumer, 50))
    assert again == [(held, n) for n in (*range(100, 120), *range(250, 300))]
    real_world.quiet(consumer, 0.3)
