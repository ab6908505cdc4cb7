"""Notes go through a real group coordinator, with both backends and between them."""

import contextlib
import time

import pytest

from kafkaroute.backend.registry import get_backend
from kafkaroute.consumer.moving.hold_notes import EarlyNote
from kafkaroute.consumer.moving.notes import (
    Note,
    NoteState,
    former,
    own_metadata,
    summary,
    with_note,
)
from kafkaroute.messages import TopicPartition
from kafkaroute.testing.cluster import unique_name

pytestmark = pytest.mark.kafka
BACKENDS = ("confluent-kafka", "kafka-python")


@pytest.mark.parametrize("reader", BACKENDS)
@pytest.mark.parametrize("writer", BACKENDS)
def test_one_member_writes_and_another_reads(real_cluster, writer, reader):
    topic, group = real_cluster.new_topic(4), unique_name("g")
    config = real_cluster.client_config() | {"group.id": group}
    partitions = [TopicPartition(topic, number) for number in range(4)]
    with contextlib.ExitStack() as stack:
        one, other = (get_backend(name).open_consumer(config, {}) for name in (writer, reader))
        for client in (one, other):
            stack.callback(client.close)
        own = [TopicPartition(topic, 0, 3, "the application's"), TopicPartition(topic, 1, 4)]
        one.commit(own, False)
        old = former(real_cluster.cluster_id, "was")
        held = Note(NoteState.HELD, old, 1_764_000_000)
        done = one.commit(with_note(held, one.committed(partitions, 10), {2: 0}), False)
        assert done is not None
        assert [each.error for each in done] == [None] * 2

        seen = summary(other.committed(partitions, 10))
        assert set(seen.held) == {1, 2}
        assert {note.old for note in seen.held.values()} == {old}
        assert (seen.read, seen.unknown) == ({0}, {3})
        [mine, *others] = [own_metadata(p.metadata) for p in other.committed(partitions, 10)]
        assert (mine or "").startswith("the application's")
        assert others == [None, None, None]

        released = Note(NoteState.RELEASED, old, 1_764_000_010)
        one.commit(with_note(released, one.committed(partitions, 10), {}), False)
        after = other.committed(partitions, 10)
        assert set(summary(after).released) == {1, 2}
        assert [each.offset for each in after] == [3, 4, 0, -1001]
        # What the application commits next has the last word.
        other.commit([TopicPartition(topic, 1, 9)], False)
        assert summary(one.committed(partitions, 10)).read == {0, 1}


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_note_needs_no_member_and_overrules_none(real_cluster, backend):
    topic, group = real_cluster.new_topic(4), unique_name("g")
    config = real_cluster.client_config() | {"group.id": group, "auto.offset.reset": "earliest"}
    partitions = [TopicPartition(topic, number) for number in range(4)]
    held = Note(NoteState.HELD, former(real_cluster.cluster_id, "was"), 1_764_000_000)
    later = Note(NoteState.HELD, former(real_cluster.cluster_id, "other"), 1_764_000_001)
    with contextlib.ExitStack() as stack:
        asking, member = (get_backend(backend).open_consumer(config, {}) for _ in range(2))
        for client in (asking, member):
            stack.callback(client.close)
        EarlyNote(held, topic, None, None).write(asking, 4)
        said = asking.committed(partitions, 10)
        assert {note.old for note in summary(said).held.values()} == {held.old}
        assert [each.offset for each in said] == [0] * 4

        member.subscribe([topic], None, None, None)
        until = time.monotonic() + 30
        while len(member.assignment()) < 4:
            assert time.monotonic() < until
            member.poll(0.1)
        EarlyNote(later, topic, None, None).write(asking, 4)
        said = asking.committed(partitions, 10)
        assert {note.old for note in summary(said).held.values()} == {held.old}
