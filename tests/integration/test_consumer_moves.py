"""Channels that move while a Consumer reads them, on real clusters: nothing lost, order kept."""

import threading
import time
from collections import Counter, defaultdict

import confluent_kafka
import pytest

from kafkaroute import ChannelNotFound, Consumer, Phase, TopicPartition
from kafkaroute.testing.cluster import unique_name

WINDOW = 1.5
PARTITIONS = 3
KEYS = 7


class Load:
    """Writes keyed, numbered messages through the bare client; told when to go elsewhere, as a
    producer that learns of a move some time after the consumer."""

    def __init__(self, world, channel, rate=200):
        self.world, self.rate = world, rate
        self.sent = Counter()
        self._target = world.where[channel]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def go_to(self, cluster, topic):
        self._target = (cluster, topic)

    def _run(self):
        producers = {}
        number = 0
        current = None
        while not self._stop.is_set():
            cluster, topic = self._target
            if (cluster, topic) != current and current is not None:
                assert producers[current[0]].flush(20) == 0
            current = (cluster, topic)
            if cluster not in producers:
                producers[cluster] = confluent_kafka.Producer(
                    self.world.clusters[cluster].client_config()
                    | {"log_level": 0, "enable.idempotence": True, "linger.ms": 2}
                )
            key = f"k{number % KEYS}"
            producers[cluster].produce(topic, str(self.sent[key]).encode(), key)
            producers[cluster].poll(0)
            self.sent[key] += 1
            number += 1
            time.sleep(1 / self.rate)
        for producer in producers.values():
            assert producer.flush(20) == 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


class Group:
    """Members of one group, each polled on a thread of its own, and all that they read."""

    def __init__(self, world, channels, members=2, handle=None, **more):
        self.world, self.channels, self.more = world, channels, more
        self.group = unique_name("g")
        self.handle = handle
        self.read = defaultdict(list)  # (channel, key) → numbers in the order of reading
        self.events = []
        self.errors = []
        self._lock = threading.Lock()
        self._running = []
        for _ in range(members):
            self.add()

    def config(self):
        return {
            "group.id": self.group,
            "auto.offset.reset": "latest",
            "fetch.wait.max.ms": 50,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
        } | self.more.get("client_config", {})

    def add(self, start="earliest", **own):
        more = {key: value for key, value in self.more.items() if key != "client_config"}
        settings = self.world.settings(
            self.config() | {"auto.offset.reset": start},
            on_route_change=self.events.append,
            **{"ttl": 1.0, "move_window": WINDOW, "move_linger": 3.0, "drain_timeout": 2.0}
            | more
            | own,
        )
        consumer = Consumer(settings)
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(consumer, stop))
        self._running.append((consumer, stop, thread))
        thread.start()
        return consumer

    def _run(self, consumer, stop):
        try:
            consumer.subscribe(self.channels)
            while not stop.is_set():
                message = consumer.poll(0.2)
                if message is None:
                    continue
                assert message.error() is None, message.error()
                with self._lock:
                    key = (message.channel(), message.key().decode())
                    self.read[key].append(int(message.value()))
                if self.handle is not None:
                    self.handle(consumer, message)
        except BaseException as error:
            self.errors.append(error)
        finally:
            consumer.close()

    def remove(self):
        """Let the last member go, properly."""
        _, stop, thread = self._running.pop()
        stop.set()
        thread.join(60)
        assert not thread.is_alive()

    def close(self):
        for _, stop, _ in self._running:
            stop.set()
        for _, _, thread in self._running:
            thread.join(60)
            assert not thread.is_alive()
        self._running.clear()
        assert not self.errors, self.errors

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def phases(self, channel=None):
        return [e.phase for e in self.events if channel in {None, e.channel}]

    def await_phase(self, phase, count, timeout=30):
        until = time.monotonic() + timeout
        while not self.errors and self.phases().count(phase) < count:
            if time.monotonic() > until:
                pytest.fail(f"no {phase} {count} times; {self.phases()}; {self.standing()}")
            time.sleep(0.02)
        assert not self.errors, self.errors

    def standing(self):
        """What each member's native consumers have, for whoever has to find out why."""
        found = []
        for consumer, *_ in self._running:
            for member in consumer._members.all:
                own = member.client.assignment()
                positions = [(p.topic, p.partition, p.offset) for p in member.client.position(own)]
                kept = {key: [why.name for why in whys] for key, whys in member.kept._why.items()}
                found.append((positions, member.paused, kept, member.kept._silent, member.wanted()))
        return found

    def await_all(self, channel, sent, timeout=30):
        def complete():
            with self._lock:
                return self.errors or all(
                    len(set(self.read[channel, key])) >= count for key, count in sent.items()
                )

        until = time.monotonic() + timeout
        while not complete() and time.monotonic() < until:
            time.sleep(0.05)
        assert not self.errors, self.errors
        lost = {
            key: missing
            for key, count in sent.items()
            if (missing := sorted(set(range(count)) - set(self.read[channel, key])))
        }
        assert not lost, (lost, dict(sent), [str(e) for e in self.events], self.standing())

    def reordered(self, channel):
        """First readings that came after a higher number of the same key."""
        found = []
        for (where, key), numbers in self.read.items():
            highest, seen = -1, set()
            for number in numbers if where == channel else ():
                if number not in seen and number < highest:
                    found.append((key, number, highest))
                seen.add(number)
                highest = max(highest, number)
        return found

    def duplicates(self, channel):
        return sum(
            len(numbers) - len(set(numbers))
            for (where, _), numbers in self.read.items()
            if where == channel
        )


def move(world, channel, cluster, topic=None, **more):
    """Let the catalog answer a new place for `channel`; the topic's name, if it is new."""
    topic = topic or world.clusters[cluster].new_topic(PARTITIONS)
    world.stub.put(channel, topic=topic, connection=world.connection(cluster), **more)
    world.where[channel] = (cluster, topic)
    return cluster, topic


def run_move(world, members, do, **more):
    """A load through a move: `do(load, group, channel)` makes it happen."""
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], members, **more) as group, Load(world, channel) as load:
        world.wait(lambda: sum(map(len, group.read.values())) > 100, 30, "the first messages")
        do(load, group, channel)
        time.sleep(1)
        load.stop()
        group.await_all(channel, load.sent)
    assert group.reordered(channel) == []
    return group, channel


def late_producers(load, target, group, phase=Phase.HELD, count=1, after=0.5):
    """The producers learn of the move after the consumers."""
    group.await_phase(phase, count)
    time.sleep(after)
    load.go_to(*target)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("kind", ["topic", "cluster", "cluster, same topic name"])
def test_a_move_loses_and_reorders_nothing(real_world, kind, members):
    world = real_world

    def do(load, group, channel):
        cluster, topic = world.where[channel]
        if kind == "topic":
            target = move(world, channel, cluster)
        elif kind == "cluster":
            target = move(world, channel, 1)
        else:
            world.clusters[1].create_topic(topic, PARTITIONS)
            target = move(world, channel, 1, topic)
        late_producers(load, target, group, count=members)
        group.await_phase(Phase.LEFT, members)
        group.await_phase(Phase.DONE, members)

    group, channel = run_move(world, members, do)
    assert group.duplicates(channel) == 0
    assert Phase.LATE not in group.phases()
    assert Phase.UNCOMMITTED not in group.phases()


def test_there_and_back(real_world):
    """Back while the first place is still watched, and once more while the second is held."""
    world = real_world

    def do(load, group, channel):
        first = world.where[channel]
        second = move(world, channel, 1)
        late_producers(load, second, group, count=2)
        group.await_phase(Phase.LEFT, 2)
        time.sleep(0.5)
        move(world, channel, *first)
        late_producers(load, first, group, count=4)
        group.await_phase(Phase.LEFT, 4)
        # Now the route turns while the move is held.
        move(world, channel, *second)
        group.await_phase(Phase.HELD, 6)
        load.go_to(*second)
        move(world, channel, *first)
        group.await_phase(Phase.SEEN, 8)
        time.sleep(0.3)
        load.go_to(*first)
        group.await_phase(Phase.LEFT, 8)

    run_move(world, 2, do)


def test_two_channels_move_at_different_times(real_world):
    world = real_world
    one, two = world.channel(partitions=PARTITIONS), world.channel(partitions=PARTITIONS)
    with (
        Group(world, [one, two]) as group,
        Load(world, one, 100) as load_one,
        Load(world, two, 100) as load_two,
    ):
        world.wait(lambda: len({c for c, _ in group.read}) == 2, 30, "messages of both")
        target = move(world, one, 1)
        late_producers(load_one, target, group, count=2)
        other = move(world, two, 0)
        late_producers(load_two, other, group, count=4)
        group.await_phase(Phase.LEFT, 4)
        time.sleep(1)
        load_one.stop()
        load_two.stop()
        group.await_all(one, load_one.sent)
        group.await_all(two, load_two.sent)
    assert group.reordered(one) == []
    assert group.reordered(two) == []


def commit_rarely(every):
    """A handler that commits each `every` messages of its consumer."""
    counts = Counter()

    def handle(consumer, message):
        counts[id(consumer)] += 1
        if counts[id(consumer)] % every == 0:
            consumer.commit(message, asynchronous=False)

    return handle


@pytest.mark.parametrize("every", [40, None], ids=["commits each 40 messages", "never commits"])
def test_an_application_that_commits_by_itself(real_world, every):
    world = real_world

    def do(load, group, channel):
        target = move(world, channel, 1)
        late_producers(load, target, group, count=2)
        group.await_phase(Phase.LEFT, 2, 60)

    group, _ = run_move(
        world,
        2,
        do,
        handle=commit_rarely(every) if every else None,
        client_config={"enable.auto.commit": False},
        drain_timeout=1.0,
    )
    if every is None:
        assert Phase.UNCOMMITTED not in group.phases()


def test_members_that_restart_during_the_hold(real_world, tmp_path):
    world = real_world

    def do(load, group, channel):
        target = move(world, channel, 1)
        group.await_phase(Phase.HELD, 2)
        group.remove()
        group.remove()
        group.events.clear()
        time.sleep(0.3)
        load.go_to(*target)
        group.add()
        group.add()
        group.await_phase(Phase.LEFT, 2, 40)

    run_move(world, 2, do, snapshot=str(tmp_path / "routes.json"))


def test_a_member_that_joins_during_the_hold_waits(real_world):
    """It knows the new route only; the others' notes tell it."""
    world = real_world

    def do(load, group, channel):
        target = move(world, channel, 1)
        group.await_phase(Phase.HELD, 1)
        time.sleep(0.5)
        load.go_to(*target)
        group.add("latest")
        time.sleep(0.5)
        assert Phase.LEFT not in group.phases()
        group.await_phase(Phase.LEFT, 1, 40)

    run_move(world, 1, do, move_window=4.0)


def test_members_come_and_go(real_world):
    world = real_world

    def do(load, group, channel):
        target = move(world, channel, 1)
        late_producers(load, target, group, count=2, after=0.2)
        group.add("latest")
        group.remove()
        group.remove()
        group.await_phase(Phase.LEFT, 1, 60)

    run_move(world, 2, do)


def test_close_during_the_hold_leaves_nothing_behind(real_world):
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 1) as group, Load(world, channel) as load:
        group.world.wait(lambda: group.read, 30, "messages")
        target = move(world, channel, 1)
        late_producers(load, target, group)
        load.stop()
    before = {thread.name for thread in threading.enumerate()}
    world.wait(
        lambda: not [t for t in threading.enumerate() if t.name.startswith("kafkaroute-open")],
        10,
        f"the threads' end: {before}",
    )
    world.wait(
        lambda: not [t for t in threading.enumerate() if t.name == "kafkaroute-scout"],
        10,
        "the scouts' end",
    )


def test_both_places_are_read_at_once_when_told_so(real_world):
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 2, on_move="overlap", move_window=60.0) as group:
        with Load(world, channel) as load:
            world.wait(lambda: group.read, 30, "messages")
            target = move(world, channel, 1)
            group.await_phase(Phase.LEFT, 2)
            load.go_to(*target)
            time.sleep(0.5)
            load.stop()
            group.await_all(channel, load.sent)
        group.await_phase(Phase.DONE, 2)
    assert Phase.LATE not in group.phases()


def test_what_comes_late_is_delivered(real_world):
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 1, move_window=0.5) as group, Load(world, channel) as load:
        world.wait(lambda: group.read, 30, "messages")
        old = world.where[channel]
        load.stop()
        move(world, channel, 1)
        group.await_phase(Phase.LEFT, 1)
        producer = confluent_kafka.Producer(world.clusters[0].client_config() | {"log_level": 0})
        for number in range(20):
            producer.produce(old[1], str(1000 + number).encode(), "late")
        assert producer.flush(10) == 0
        group.world.wait(lambda: len(group.read[channel, "late"]) == 20, 20, "late messages")
        group.await_phase(Phase.LATE, 1)
        [late] = [event for event in group.events if event.phase is Phase.LATE]
        assert late.count == 20
        assert late.old.topic == old[1]
        group.await_phase(Phase.DONE, 1)


def test_settings_of_the_same_cluster_and_topic_change(real_world):
    """The native consumer is replaced: nothing is read twice, as positions are carried over."""
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 1) as group, Load(world, channel) as load:
        world.wait(lambda: group.read, 30, "messages")
        world.stub.put(
            channel,
            topic=world.where[channel][1],
            connection=world.connection(0),
            configuration={"fetch.min.bytes": 2},
        )
        group.await_phase(Phase.REOPENED, 1)
        time.sleep(1)
        load.stop()
        group.await_all(channel, load.sent)
        assert group.reordered(channel) == []
        assert group.duplicates(channel) == 0
    assert Phase.HELD not in group.phases()


def test_another_name_of_the_same_cluster_is_no_other_cluster(real_world):
    """And a topic that changes together with it is moved to in order."""
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 2) as group, Load(world, channel) as load:
        world.wait(lambda: group.read, 30, "messages")
        topic = world.clusters[0].new_topic(PARTITIONS)
        connection = world.connection(0)
        servers = connection["bootstrap.servers"].replace("127.0.0.1", "localhost")
        world.stub.put(channel, topic=topic, connection=connection | {"bootstrap.servers": servers})
        late_producers(load, (0, topic), group, count=2)
        group.await_phase(Phase.LEFT, 2)
        time.sleep(1)
        load.stop()
        group.await_all(channel, load.sent)
        assert group.reordered(channel) == []
    assert group.phases().count(Phase.REOPENED) == 2


def test_a_joiner_of_another_process_heeds_the_notes(real_world):
    """It shares nothing with the member that holds: no snapshot, no cached history."""
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 1, move_window=4.0) as group, Load(world, channel) as load:
        world.wait(lambda: group.read, 30, "messages")
        target = move(world, channel, 1)
        group.await_phase(Phase.HELD, 1)
        time.sleep(0.7)
        load.go_to(*target)
        group.add("latest", ttl=1.1)
        group.await_phase(Phase.LEFT, 1, 40)
        time.sleep(2)
        load.stop()
        group.await_all(channel, load.sent)
        assert group.reordered(channel) == []


def test_a_refused_channel_stops_or_is_kept(real_world):
    world = real_world
    one, two = world.channel(), world.channel()
    events = []
    with world.consumer(
        [one, two], ttl=1.0, on_revoked="stop", on_route_change=events.append
    ) as consumer:
        world.join(consumer, [one, two])
        place = {"topic": world.where[one][1], "connection": world.connection(0)}
        world.stub.remove(one)
        raised = []

        def poll():
            try:
                return consumer.poll(0.2)
            except ChannelNotFound as error:
                raised.append(error)

        def polled(condition, what):
            found = []
            until = time.monotonic() + 20
            while not condition(found):
                assert time.monotonic() < until, what
                if (message := poll()) is not None:
                    found.append(message.channel())
            return found

        polled(lambda _: len(raised) >= 2, "the error, twice")
        world.write(one, [b"kept"])
        world.write(two, [b"read"])
        assert polled(lambda found: found, "the other channel") == [two]
        world.stub.put(one, **place)
        assert polled(lambda found: one in found, "the channel's return") == [one]
    assert [event.phase for event in events] == [Phase.REVOKED, Phase.RESTORED]


def test_after_a_manual_assignment_nothing_moves_by_itself(real_world):
    world = real_world
    channel = world.channel()
    world.write(channel, [b"old"])
    events = []
    with world.consumer(ttl=1.0, on_route_change=events.append) as consumer:
        consumer.assign([TopicPartition(channel, 0, 0)])
        assert world.read(consumer, 1)[0].value() == b"old"
        move(world, channel, 1)
        world.write(channel, [b"new"], partition=0)
        until = time.monotonic() + 20
        while not events:
            assert consumer.poll(0.1) is None
            assert time.monotonic() < until
        assert [event.phase for event in events] == [Phase.ASSIGN_AGAIN]
        consumer.assign([TopicPartition(channel, 0, 0)])
        assert world.read(consumer, 1)[0].value() == b"new"
