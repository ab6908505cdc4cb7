"""Consumers that were down during a move, or are restarted in the middle of one."""

import time

import pytest

from . import consumer_load, member_processes
from .consumer_load import PARTITIONS, WINDOW, Load

team = member_processes.team


def move(world, channel, cluster=1, *, same_name=False, **more):
    """The catalog answers a new place; returns it."""
    topic = None
    if same_name:
        _, topic = world.where[channel]
        world.clusters[cluster].create_topic(topic, PARTITIONS)
    return consumer_load.move(world, channel, cluster, topic, **more)


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
        load.go_to(*target)
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
        load.go_to(*target)  # producers learn of it later
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
            load.go_to(*target)
            group.start(2)
            time.sleep(0.7)
        time.sleep(1)
    group.await_all(load.sent, 60)
    assert group.reordered() == []


def test_a_member_that_joins_during_the_hold(real_world, team):
    """It has no snapshot, and no `previous`: the others' notes hold it back."""
    world = real_world
    group, channel = team(move_window=8.0)  # in which the other process has to start
    with Load(world, channel) as load:
        group.start()
        group.await_some()
        target = move(world, channel)
        group.await_phase("HELD")
        time.sleep(0.5)
        group.start()
        world.wait(lambda: group.running[1].said("subscribed"), 30)
        time.sleep(1)
        load.go_to(*target)
        time.sleep(8)
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
    load.go_to(*move(world, channel, previous=[dead]))
    target = world.where[channel]
    again = Load(world, channel)
    again.sent.update(load.sent)
    again.go_to(*target)
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
