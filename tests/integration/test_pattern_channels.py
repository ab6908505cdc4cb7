"""A pattern channel on real clusters: topics appear, vanish and move while its Consumers run, and
everything that was written to what they read is counted."""

import threading
import time
from collections import Counter

import confluent_kafka
import pytest
import yaml

from kafkaroute import Consumer, Phase
from kafkaroute.testing.cluster import unique_name

QUICK = {"ttl": 1.0, "move_window": 1.5, "move_linger": 2.0, "drain_timeout": 2.0}
LATEST = {"auto.offset.reset": "latest"}


class Stub:
    """The pattern in the HTTP catalog's stub, whose members are known by their names, too."""

    def __init__(self, world):
        self._world = world
        self.pattern = f"kafka://example.com/{unique_name('p')}/*"
        self.settings = {}

    def under(self, name):
        return self.pattern[:-1] + name

    def stand_for(self, places):
        """`places`: name → (cluster, topic)."""
        routes = {}
        for name, (cluster, topic) in places.items():
            connection = self._world.connection(cluster)
            self._world.stub.put(self.under(name), topic=topic, connection=connection)
            routes[self.under(name)] = {"connection": connection, "topic": topic}
        self._world.stub.put(self.pattern, topic="-", connection={}, routes=routes)


class Rules(Stub):
    """The pattern in a rules file."""

    def __init__(self, world, path):
        super().__init__(world)
        self._path = path
        self.settings = {"service_gateway_uri": path.as_uri(), "basic_auth": None}

    def stand_for(self, places):
        clusters = []
        for number in (0, 1):
            own = {n: topic for n, (cluster, topic) in places.items() if cluster == number}
            prefix = self.pattern.split("/")[3]
            names = "|".join(own) or "none"
            rule = {
                "match": {"host": r"example\.com", "path": f"/{prefix}/({names})"},
                "lookup": {"segment": -1, "table": own},
            }
            clusters.append(
                {
                    "name": f"c{number}",
                    "connection": self._world.connection(number),
                    "rules": [rule] if own else [],
                }
            )
        rules = {"clusters": clusters, "profiles": [{"name": "default", "settings": {}}]}
        new = self._path.with_suffix(".new")
        new.write_text(yaml.safe_dump(rules))
        new.replace(self._path)


@pytest.fixture(params=["http", "file"])
def catalog(request, real_world, tmp_path):
    if request.param == "http":
        return Stub(real_world)
    return Rules(real_world, tmp_path / "rules.yaml")


class Writer:
    """Writes numbered messages to topics, through the bare client, until told to stop."""

    def __init__(self, world):
        self._world = world
        self._producers = {}
        self._targets = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = Counter()

    def begin(self, name, place):
        with self._lock:
            self._targets[name] = place

    def end(self, name):
        """Nothing more to `name`; all of it is written when this returns."""
        with self._lock:
            del self._targets[name]
        self._flush()

    def _flush(self):
        for producer in list(self._producers.values()):
            assert producer.flush(20) == 0

    def _run(self):
        while not self._stop.wait(0.01):
            with self._lock:
                for name, (cluster, topic) in self._targets.items():
                    if cluster not in self._producers:
                        config = self._world.clusters[cluster].client_config()
                        self._producers[cluster] = confluent_kafka.Producer(
                            config | {"log_level": 0, "enable.idempotence": True, "linger.ms": 2}
                        )
                    value = f"{name} {self.sent[name]}".encode()
                    self._producers[cluster].produce(topic, value)
                    self._producers[cluster].poll(0)
                    self.sent[name] += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._flush()

    def all(self, name):
        return Counter(f"{name} {number}".encode() for number in range(self.sent[name]))


class Reader:
    """A Consumer on a thread."""

    def __init__(self, world, catalog, group, background):
        self._values = []  # a list: safe to copy while the other thread appends to it
        self.channels = {}
        self.partitions = set()
        self.events = []
        config = {"group.id": group, "fetch.wait.max.ms": 50, **LATEST}
        settings = world.settings(
            config, **(QUICK | catalog.settings), on_route_change=self.events.append
        )
        self.consumer = Consumer(settings)
        self.consumer.subscribe([catalog.pattern])
        self._polling = background(self._poll)

    def _poll(self):
        message = self.consumer.poll(0.1)
        if message is not None and message.error() is None:
            self._values.append(message.value())
            self.partitions.add((message.channel(), message.partition()))
            name = message.value().split()[0].decode()
            self.channels.setdefault(name, set()).add(message.channel())

    def __enter__(self):
        self._polling.__enter__()
        return self

    def __exit__(self, *reason):
        self._polling.__exit__(*reason)
        self.consumer.close()

    @property
    def read(self):
        return Counter(self._values.copy())

    def phases(self, channel):
        return [event.phase for event in self.events if event.channel == channel]

    def assigned(self):
        return {partition.channel for partition in self.consumer.assignment()}


def lost_and_repeated(wanted, *readers):
    found = sum((reader.read for reader in readers), Counter())
    mine = Counter({value: count for value, count in found.items() if value in wanted})
    return sum((wanted - mine).values()), sum((mine - wanted).values())


def await_all(world, wanted, *readers):
    """Until all of `wanted` is read; a failure names what is not, and what was told."""
    try:
        world.wait(lambda: lost_and_repeated(wanted, *readers)[0] == 0, 60)
    except AssertionError:
        missing = wanted - sum((reader.read for reader in readers), Counter())
        told = [str(event) for reader in readers for event in reader.events]
        pytest.fail(f"{len(missing)} of {len(wanted)} not read: {sorted(missing)[:40]}; {told}")


def begin_everywhere(world, writer, reader, places):
    """Have something read of every partition. With `latest` one of which nothing was read, so that
    nothing is committed, goes on at its end after a rebalance, as with any Kafka client."""
    for name, place in places.items():
        writer.begin(f"first-{name}", place)
    world.wait(lambda: len(reader.partitions) == 2 * len(places), 60, "something of each partition")
    for name in places:
        writer.end(f"first-{name}")


def test_appearing_vanishing_and_moving(real_world, catalog, background):
    world = real_world
    topic = [world.clusters[0].new_topic(2) for _ in range(4)]
    there = world.clusters[1].new_topic(2)
    elsewhere = world.clusters[1].new_topic(2)
    places = {"steady": (0, topic[0]), "gone": (0, topic[1]), "moved": (0, topic[2])}
    catalog.stand_for(places)
    with Writer(world) as writer, Reader(world, catalog, unique_name("g"), background) as reader:
        world.wait(lambda: reader.assigned() == {*map(catalog.under, places)}, 60, "assignment")
        begin_everywhere(world, writer, reader, places)
        for name, place in places.items():
            writer.begin(name, place)
        # New topics, one on another cluster; written to before the catalog names them.
        new = {"new": (0, topic[3]), "far": (1, elsewhere)}
        for name, place in new.items():
            writer.begin(name, place)
        time.sleep(1)
        places |= new
        catalog.stand_for(places)
        for name in new:
            channel = catalog.under(name)
            world.wait(lambda c=channel: Phase.APPEARED in reader.phases(c), 30, "appeared")
        # One vanishes, all of it read.
        writer.end("gone")
        gone = writer.all("gone")
        await_all(world, gone, reader)
        del places["gone"]
        catalog.stand_for(places)
        channel = catalog.under("gone")
        world.wait(lambda: Phase.VANISHED in reader.phases(channel), 30, "vanished")
        world.wait(lambda: channel not in reader.assigned(), 30, "left")
        # One moves; its writers learn of it a second later.
        places["moved"] = (1, there)
        catalog.stand_for(places)
        time.sleep(1)
        writer.begin("moved", (1, there))
        channel = catalog.under("moved")
        world.wait(lambda: Phase.DONE in reader.phases(channel), 60, "the end of the move")
        for name in places:
            writer.end(name)
        names = {*places, "gone"}
        every = sum(map(writer.all, names), Counter())
        await_all(world, every, reader)
    assert lost_and_repeated(every, reader) == (0, 0)
    assert sum(every.values()) > 500
    assert {name: reader.channels[name] for name in names} == {
        name: {catalog.under(name)} for name in names
    }
    phases = reader.phases(catalog.under("moved"))
    assert [p for p in phases if p is not Phase.LATE] == [
        Phase.SEEN,
        Phase.OPENED,
        Phase.HELD,
        Phase.DRAINED,
        Phase.LEFT,
        Phase.LINGERING,
        Phase.DONE,
    ]


def test_members_of_a_group_share_a_new_topic_and_lose_none_of_it(real_world, catalog, background):
    """One of them joins when the new topic is there, and would start at its end."""
    world = real_world
    old, new = (world.clusters[0].new_topic(4) for _ in range(2))
    catalog.stand_for({"old": (0, old)})
    group = unique_name("g")
    with Writer(world) as writer, Reader(world, catalog, group, background) as first:
        world.wait(first.assigned, 60, "assignment")
        with Reader(world, catalog, group, background) as second:
            world.wait(second.assigned, 60, "assignment of the second")
            writer.begin("new", (0, new))
            time.sleep(0.5)
            catalog.stand_for({"old": (0, old), "new": (0, new)})
            for reader in (first, second):
                world.wait(lambda r=reader: r.phases(catalog.under("new")), 30, "appeared")
            world.wait(
                lambda: (
                    sum(
                        p.channel == catalog.under("new")
                        for r in (first, second)
                        for p in r.consumer.assignment()
                    )
                    == 4
                ),
                60,
                "all partitions",
            )
            with Reader(world, catalog, group, background) as third:
                world.wait(third.assigned, 60, "assignment of the third")
                writer.end("new")
                every = writer.all("new")
                readers = first, second, third
                await_all(world, every, *readers)
    assert lost_and_repeated(every, *readers)[0] == 0
