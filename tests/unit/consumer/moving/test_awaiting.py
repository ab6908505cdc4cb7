"""A member that joined a place which others hold, and what happens to it while it waits."""

import time

import pytest

from kafkaroute import Phase
from kafkaroute.consumer.moving.notes import Note, NoteState

from .. import moves_world
from ..moves_world import Y, values

world = moves_world.world


def say(world, state, seconds):
    note = str(Note(state, "g1", int(time.time() + seconds)))
    for number in range(4):
        world.group_at("A").committed["orders", number] = (0, note)


@pytest.fixture
def waiting(world):
    """A consumer whose channel's place is held by somebody else."""
    world.put("A")
    world.write("A", "new")
    say(world, NoteState.HELD, 60)
    with world.consumer() as consumer:
        assert world.during(consumer, 0.3) == []
        assert len(consumer.assignment()) == 4
        yield consumer


def test_it_waits_no_more_when_it_reads_something_else(world, waiting):
    world.put("B", topic="bills", channel=Y)
    world.write("B", "bill", topic="bills")
    waiting.subscribe([Y])
    assert values(world.during(waiting, 1.0)) == ["bill"]


def test_it_waits_on_when_its_settings_change(world, waiting):
    world.move(waiting, "A", configuration={"client.id": "another"})
    world.until(waiting, Phase.REOPENED)
    assert world.during(waiting, 1.0) == []
    say(world, NoteState.RELEASED, 0)
    assert values(world.read(waiting, 1)) == ["new"]


def test_it_follows_its_channel(world, waiting):
    world.write("B", "newer")
    world.move(waiting, "B")
    world.until(waiting, Phase.HELD)
    assert world.during(waiting, 0.6) == []
    say(world, NoteState.RELEASED, 0)
    assert values(world.until(waiting, Phase.DONE)) == ["new", "newer"]


def test_it_waits_on_after_a_long_rebalance(world, waiting):
    with world.consumer():  # joins, and leaves without a poll: nobody has a share until then
        assert world.during(waiting, 1.0) == []
        assert waiting.assignment() == []
    assert world.during(waiting, 1.0) == []
    assert len(waiting.assignment()) == 4
    say(world, NoteState.RELEASED, 0)
    assert values(world.read(waiting, 1)) == ["new"]
