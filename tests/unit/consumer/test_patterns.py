"""A Consumer of a pattern channel, over clusters in memory."""

import pytest

from kafkaroute import KafkaException, Phase

from .moves_world import SEQUENCE, MovesWorld, open_world, values

ALL = "kafka://x/orders/*"
LATEST = {"auto.offset.reset": "latest"}


def under(name):
    return f"kafka://x/orders/{name}"


class PatternsWorld(MovesWorld):
    """Channels under one pattern; each is known by its name, too."""

    def stand_for(self, *names, **places):
        """`names` are topics on A; ``name="B"`` is one on B."""
        routes = {}
        for name, cluster in {**dict.fromkeys(names, "A"), **places}.items():
            connection = {"bootstrap.servers": self.server(cluster)}
            self.stub.put(under(name), topic=name, connection=connection)
            routes[under(name)] = {"connection": connection, "topic": name}
        self.stub.put(ALL, topic="-", connection={}, routes=routes)

    def now(self, consumer, *names, **places):
        self.stand_for(*names, **places)
        self.tell(consumer, ALL)

    def until_told(self, consumer, phase, name):
        return self.until(consumer, phase, channel=under(name))


@pytest.fixture
def world(monkeypatch):
    with open_world(monkeypatch, PatternsWorld) as made:
        yield made


def subscriptions(spy):
    """Counts what the native consumer is told."""
    counted = []
    original = spy.subscribe
    spy.subscribe = lambda topics, *more: (counted.append(list(topics)), original(topics, *more))
    return counted


def test_messages_tell_their_own_channel_on_every_cluster(world):
    world.stand_for("one", two="B")
    world.write("A", "a", topic="one")
    world.write("B", "b", topic="two")
    with world.consumer([ALL]) as consumer:
        found = world.read(consumer, 2)
        assert {(m.channel(), m.topic(), m.value()) for m in found} == {
            (under("one"), "one", b"a"),
            (under("two"), "two", b"b"),
        }
        assert consumer.routes().keys() == {under("one"), under("two")}


@pytest.mark.parametrize("reset", ["earliest", "latest"])
@pytest.mark.parametrize("cluster", ["A", "B"])
def test_a_new_topic_is_read_from_its_beginning(world, reset, cluster):
    world.stand_for("one")
    with world.consumer([ALL], {"auto.offset.reset": reset}) as consumer:
        world.during(consumer, 0.2)
        world.write(cluster, "written", "before", topic="two")
        world.now(consumer, "one", two=cluster)
        found = world.until_told(consumer, Phase.APPEARED, "two")
        found += world.read(consumer, 2 - len(found))
        world.write(cluster, "after", topic="two")
        found += world.read(consumer, 1)
        assert values(found) == ["written", "before", "after"]
        assert {m.channel() for m in found} == {under("two")}
        assert not consumer._moving


def test_what_is_there_at_first_begins_as_the_group_is_configured(world):
    world.stand_for("one")
    world.write("A", "old", topic="one")
    with world.consumer([ALL], LATEST) as consumer:
        assert world.during(consumer, 0.3) == []
        world.write("A", "new", topic="one")
        assert values(world.read(consumer, 1)) == ["new"]


def test_the_beginning_of_a_new_topic_is_committed(world):
    """Another member may get its partitions next, before any message came."""
    world.stand_for("one")
    with world.consumer([ALL], LATEST) as consumer:
        world.during(consumer, 0.2)
        world.now(consumer, "one", "two")
        world.until_told(consumer, Phase.APPEARED, "two")
        world.during(consumer, 0.3)
        assert world.committed("A", "two")[0] == 0
        world.write("A", "missed?", topic="two")
        with world.consumer([ALL], LATEST) as other:
            consumer.close()
            assert values(world.read(other, 1)) == ["missed?"]


def test_start_at_counts_where_the_catalog_gives_it(world):
    world.stand_for("one")
    with world.consumer([ALL]) as consumer:
        world.during(consumer, 0.2)
        world.write("A", "skipped", topic="two")
        connection = {"bootstrap.servers": world.server("A")}
        routes = {
            under("one"): {"connection": connection, "topic": "one"},
            under("two"): {"connection": connection, "topic": "two", "start_at": "latest"},
        }
        world.stub.put(ALL, topic="-", connection={}, routes=routes)
        world.tell(consumer, ALL)
        assert world.until_told(consumer, Phase.APPEARED, "two") == []
        assert world.during(consumer, 0.3) == []
        world.write("A", "read", topic="two")
        assert values(world.read(consumer, 1)) == ["read"]


@pytest.mark.parametrize("cluster", ["A", "B"])
def test_a_topic_that_vanished_is_left_and_nothing_is_read_twice_when_it_returns(world, cluster):
    world.stand_for("one", two=cluster)
    world.write(cluster, "1", topic="two")
    with world.consumer([ALL]) as consumer:
        assert values(world.read(consumer, 1)) == ["1"]
        world.now(consumer, "one")
        world.until_told(consumer, Phase.VANISHED, "two")
        assert consumer.routes().keys() == {under("one")}
        world.write(cluster, "2", topic="two")
        world.write("A", "other", topic="one")
        assert values(world.during(consumer, 0.3)) == ["other"]
        assert world.committed(cluster, "two")[0] == 1
        if cluster == "B":
            assert {spy.cluster for spy in world.open_natives()} == {world.server("A")}
        world.now(consumer, "one", two=cluster)
        found = world.until_told(consumer, Phase.APPEARED, "two")
        found += world.read(consumer, 1 - len(found))
        assert values(found) == ["2"]


def test_a_member_that_moves_goes_the_way_of_every_channel(world):
    world.stand_for("one", "two")
    world.write("A", "1", topic="two")
    with world.consumer([ALL]) as consumer:
        assert values(world.read(consumer, 1)) == ["1"]
        world.write("B", "3", topic="two")
        world.now(consumer, "one", two="B")
        world.write("A", "2", topic="two")
        found = world.until_told(consumer, Phase.DONE, "two")
        assert values(found) == ["2", "3"]
        assert world.phases(under("two")) == SEQUENCE
        assert world.phases(under("one")) == []


def test_a_topic_appears_while_another_one_moves(world):
    world.stand_for("one", "two")
    world.write("A", "1", topic="two")
    with world.consumer([ALL], LATEST | {"auto.offset.reset": "earliest"}) as consumer:
        world.read(consumer, 1)
        world.now(consumer, "one", two="B")
        found = world.until_told(consumer, Phase.HELD, "two")
        world.write("A", "2", topic="two")
        world.write("B", "3", topic="two")
        world.write("A", "x", topic="three")
        world.now(consumer, "one", "three", two="B")
        found += world.until_told(consumer, Phase.DONE, "two")
        found += world.during(consumer, 0.2)
        mine = [m.value().decode() for m in found if m.channel() == under("two")]
        assert mine == ["2", "3"]
        assert [m.value() for m in found if m.channel() == under("three")] == [b"x"]


def test_a_topic_that_vanishes_in_the_middle_of_its_move_is_left_altogether(world):
    world.stand_for("one", "two")
    world.write("A", "1", topic="two")
    with world.consumer([ALL]) as consumer:
        world.read(consumer, 1)
        world.now(consumer, "one", two="B")
        world.until_told(consumer, Phase.HELD, "two")
        world.now(consumer, "one")
        world.until_told(consumer, Phase.VANISHED, "two")
        world.write("A", "2", topic="two")
        world.write("B", "3", topic="two")
        assert world.during(consumer, 0.3) == []
        assert not consumer._moves.ways


def test_a_new_topic_that_moves_at_once_loses_nothing(world):
    world.stand_for("one")
    with world.consumer([ALL], LATEST) as consumer:
        world.during(consumer, 0.2)
        world.write("A", "1", topic="two")
        world.now(consumer, "one", "two")
        found = world.until_told(consumer, Phase.APPEARED, "two")
        world.write("B", "2", topic="two")
        world.now(consumer, "one", two="B")
        found += world.until_told(consumer, Phase.DONE, "two")
        assert values(found) == ["1", "2"]


def test_a_route_that_changes_does_not_subscribe_anew(world):
    world.stand_for("one", "two")
    with world.consumer([ALL]) as consumer:
        world.during(consumer, 0.2)
        [spy] = world.open_natives()
        told = subscriptions(spy)
        world.now(consumer, "one", two="B")
        world.until_told(consumer, Phase.HELD, "two")
        assert told == []
        world.now(consumer, "one", "three", two="B")
        world.until_told(consumer, Phase.APPEARED, "three")
        assert told == [["one", "three", "two"]]


def test_a_pattern_that_stands_for_nothing_yet(world):
    world.stand_for()
    with world.consumer([ALL], LATEST) as consumer:
        assert consumer.poll(0.1) is None
        world.write("A", "1", topic="one")
        world.now(consumer, "one")
        found = world.until_told(consumer, Phase.APPEARED, "one")
        found += world.read(consumer, 1 - len(found))
        assert values(found) == ["1"]
        world.now(consumer)
        world.until_told(consumer, Phase.VANISHED, "one")
        assert consumer.routes() == {}
        assert consumer.poll(0.1) is None


def test_beside_a_channel_that_is_named(world):
    world.stand_for("one", "two")
    world.write("A", "1", topic="one")
    with world.consumer([under("one"), ALL]) as consumer:
        assert values(world.read(consumer, 1)) == ["1"]
        world.now(consumer, "two")
        world.tell(consumer, ALL)
        world.during(consumer, 0.3)
        # Who names it reads it, whatever becomes of the pattern.
        world.write("A", "2", topic="one")
        assert values(world.read(consumer, 1)) == ["2"]
        assert world.phases(under("one")) == []


def test_a_member_that_cannot_be_read_costs_the_others_nothing(world, caplog):
    good = {"connection": {"bootstrap.servers": world.server("A")}, "topic": "one"}
    bad = {**good, "topic": "two", "configuration": {"plugin.library.paths": "x"}}
    world.stub.put(under("one"), topic="one", connection=good["connection"])
    world.stub.put(
        under("two"),
        topic="two",
        connection=good["connection"],
        configuration=bad["configuration"],
    )
    routes = {under("one"): good, under("two"): bad}
    world.stub.put(ALL, topic="-", connection={}, routes=routes)
    world.write("A", "1", topic="one")
    world.write("A", "2", topic="two")
    with world.consumer([ALL]) as consumer:
        assert values(world.read(consumer, 1)) == ["1"]
        assert f"channel {under('two')}, which a pattern names, is not read" in caplog.text
        assert "plugin.library.paths" in caplog.text
        world.now(consumer, "one", "two")
        found = world.until_told(consumer, Phase.APPEARED, "two")
        found += world.read(consumer, 1 - len(found))
        assert values(found) == ["2"]


def test_an_application_may_subscribe_again(world):
    world.stand_for("one")
    with world.consumer([ALL], LATEST) as consumer:
        world.during(consumer, 0.2)
        world.write("A", "1", topic="two")
        world.stand_for("one", "two")
        consumer._router.cache.invalidate(ALL)
        consumer.subscribe([ALL])
        assert values(world.read(consumer, 1)) == ["1"]
        consumer.subscribe([under("one")])
        world.now(consumer, "one", "two", "three")
        world.during(consumer, 0.2)
        assert consumer.routes().keys() == {under("one")}


def test_a_callback_that_raises_does_not_stop_it(world):
    world.stand_for("one", two="B")
    calls = []

    def on_revoke(_consumer, partitions):
        calls.append({p.topic for p in partitions})
        if len(calls) == 1:
            raise ZeroDivisionError

    with world.consumer([]) as consumer:
        consumer.subscribe([ALL], on_revoke=on_revoke)
        world.write("B", "1", topic="two")
        world.read(consumer, 1)
        world.now(consumer, "one")
        with pytest.raises(ZeroDivisionError):
            world.during(consumer, 3)
        world.until_told(consumer, Phase.VANISHED, "two")
        world.write("A", "2", topic="one")
        assert values(world.read(consumer, 1)) == ["2"]


def test_a_catalog_that_is_down_changes_nothing(world):
    world.stand_for("one")
    with world.consumer([ALL]) as consumer:
        world.during(consumer, 0.2)
        world.stub.remove(ALL)
        world.tell(consumer, ALL)
        world.write("A", "1", topic="one")
        assert values(world.read(consumer, 1)) == ["1"]
        assert consumer.routes().keys() == {under("one")}


def test_an_assignment_by_hand_is_left_alone(world):
    world.stand_for("one")
    with world.consumer([ALL]) as consumer:
        world.during(consumer, 0.2)
        consumer.assign([])
        world.now(consumer, "one", "two")
        world.during(consumer, 0.3)
        assert under("two") not in consumer.routes()


def test_a_commit_of_a_vanished_channel_is_refused_clearly(world):
    world.stand_for("one", two="B")
    world.write("B", "1", topic="two")
    with world.consumer([ALL]) as consumer:
        [message] = world.read(consumer, 1)
        world.now(consumer, "one")
        world.until_told(consumer, Phase.VANISHED, "two")
        with pytest.raises(KafkaException, match="two"):
            consumer.commit(message=message, asynchronous=False)
