"""Channels that move while a Consumer reads them, on real clusters: nothing lost, order kept."""

import threading
import time

import pytest

from kafkaroute import Phase

from .consumer_load import PARTITIONS, Group, Load, commit_rarely, late_producers, move, run_move


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
        world.wait(lambda: len({c for c, _ in list(group.read)}) == 2, 30, "messages of both")
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
