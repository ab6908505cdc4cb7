"""Whether notes hold a partition, for a member that joins and for one that knows better."""

import time

from kafkaroute import TopicPartition
from kafkaroute.moves.consuming.noting import Noting, held_partitions
from kafkaroute.moves.consuming.stages import Stage, State
from kafkaroute.moves.notes import Note, NoteState, former
from kafkaroute.router import Place
from kafkaroute.testing.scripted_catalog import route_to


def at(number, note, offset=5):
    return TopicPartition("t", number, offset, str(note) if note else None)


def held(old="g1", seconds=60.0):
    return Note(NoteState.HELD, old, int(time.time() + seconds))


def test_held_until_released_or_over():
    released = Note(NoteState.RELEASED, "g1", int(time.time()))
    assert held_partitions([at(0, held()), at(1, None), at(2, None, -1001)], set()) == {0}
    assert held_partitions([at(0, held(seconds=-2.0))], set()) == set()
    assert held_partitions([at(0, held()), at(1, released)], set()) == set()
    assert held_partitions([at(0, held("g2")), at(1, released)], set()) == {0}


def test_who_left_the_old_place_itself_does_not_wait_for_the_notes_of_the_dead():
    """The members that held the place were killed; their partitions come to one that has been
    through the whole move, but owned nothing of the new place until then."""
    noting = Noting()
    old, new = (
        Stage(
            route_to(topic, cluster_id="c"),
            Place("fake", {"bootstrap.servers": "a:1"}),
            state,
            by_move=state is State.HELD,
        )
        for topic, state in (("was", State.READ), ("t", State.HELD))
    )
    new.unplaced = {0}  # nothing to write a note beside
    noting.hold(old, new, 1.0)
    note = held(former("c", "was"))
    assert held_partitions([at(0, note)], noting.own) == set()
    assert held_partitions([at(0, note)], Noting().own) == {0}
