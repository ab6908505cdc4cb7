"""Whether notes hold a partition, for a member that joins and for one that knows better."""

import time
from types import SimpleNamespace

from kafkaroute import KafkaError, KafkaException, TopicPartition
from kafkaroute.consumer.moving.awaiting import held_by_others
from kafkaroute.consumer.moving.hold_notes import EarlyNote, Noting
from kafkaroute.consumer.moving.notes import Note, NoteState, former
from kafkaroute.consumer.moving.stages import Stage, State
from kafkaroute.messages import ClusterMetadata, PartitionMetadata, TopicMetadata
from kafkaroute.places import Place
from kafkaroute.testing.scripted_catalog import route_to


def at(number, note, offset=5):
    return TopicPartition("t", number, offset, str(note) if note else None)


def held(old="g1", seconds=60.0):
    return Note(NoteState.HELD, old, int(time.time() + seconds))


def stages():
    return [
        Stage(
            route_to(topic, cluster_id="c"),
            Place("fake", {"bootstrap.servers": "a:1"}),
            state,
            by_move=state is State.HELD,
        )
        for topic, state in (("was", State.READ), ("t", State.HELD))
    ]


class Client:
    """What a group has committed on the partitions of topic "t"."""

    def __init__(self, *committed):
        self.standing = {one.partition: one for one in committed}
        self.commits = []
        self.refuses = None

    def committed(self, partitions, timeout):
        del timeout
        return [self.standing[one.partition] for one in partitions]

    def list_topics(self, topic, timeout):
        del timeout
        numbers = {n: PartitionMetadata(n, 1) for n in self.standing}
        return ClusterMetadata("c", 1, {}, {topic: TopicMetadata(topic, numbers)})

    def get_watermark_offsets(self, partition, timeout, cached):
        del partition, timeout, cached
        return 3, 9

    def commit(self, offsets, asynchronous):
        del asynchronous
        if self.refuses:
            raise self.refuses
        self.commits.append([(one.partition, one.offset, one.metadata) for one in offsets])


def on_hold(came, *committed, own=frozenset()):
    return held_by_others(Client(*committed), "t", came, own)


def test_held_until_released_or_over():
    released = Note(NoteState.RELEASED, "g1", int(time.time()))
    assert on_hold({0, 1}, at(0, held()), at(1, None)) == {0}
    assert on_hold({0}, at(0, held(seconds=-2.0))) == set()
    assert on_hold({0, 1}, at(0, held()), at(1, released)) == set()
    assert on_hold({0, 1}, at(0, held("g2")), at(1, released)) == {0}


def test_a_place_is_held_as_a_whole():
    """Who holds it was killed before it could say so beside every partition, or did not get them."""
    nothing = at(1, None, -1001)
    assert on_hold({1}, at(0, held()), nothing) == {1}
    assert on_hold({0, 1}, at(0, held()), nothing) == {0, 1}
    assert on_hold({1}, at(0, None), nothing) == set()
    assert on_hold({1}, at(0, held()), nothing, own={"g1"}) == set()
    assert on_hold({1, 2}, at(0, held()), nothing, at(2, None)) == {1}


def test_the_first_to_ask_a_place_says_so_beside_all_its_partitions():
    note = held()
    client = Client(at(0, None, 7), at(1, None, -1001), at(2, "its own", 4), at(3, note, 5))
    EarlyNote(note, "t", None, None).write(client, 4)
    assert client.commits == [[(0, 7, str(note)), (1, 3, str(note))]]
    late = Client(at(0, None, -1001))
    EarlyNote(note, "t", "latest", None).write(late, 1)
    assert late.commits == [[(0, 9, str(note))]]


def test_a_group_with_members_takes_no_early_note():
    client = Client(at(0, None, 7))
    client.refuses = KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))
    EarlyNote(held(), "t", None, None).write(client, 1)
    assert client.commits == []


def test_who_got_nothing_of_the_new_place_releases_it_for_those_who_did():
    noting = Noting()
    old, new = stages()
    mine, other = held(former("c", "was")), held("g7")
    client = Client(at(0, mine, 5), at(1, None, 6), at(2, other, 7))
    client.assignment = list
    new.member = SimpleNamespace(client=client)
    noting.hold(old, new, 1.0)
    noting.release(new)
    ((said,),) = client.commits
    assert said[:2] == (0, 5)
    assert said[2].startswith(f"kr1:released:{mine.old}:")
    noting.release(new)
    assert len(client.commits) == 1


def test_who_left_the_old_place_itself_does_not_wait_for_the_notes_of_the_dead():
    """The members that held the place were killed; their partitions come to one that has been
    through the whole move, but owned nothing of the new place until then."""
    noting = Noting()
    old, new = stages()
    new.unplaced = {0}  # nothing to write a note beside
    noting.hold(old, new, 1.0)
    note = held(former("c", "was"))
    assert on_hold({0}, at(0, note), own=noting.own) == set()
    assert on_hold({0}, at(0, note), own=Noting().own) == {0}
