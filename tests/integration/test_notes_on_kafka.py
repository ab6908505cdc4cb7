"""Notes go through a real group coordinator, with both backends and between them."""

import contextlib

import pytest

from kafkaroute.backend.registry import get_backend
from kafkaroute.messages import TopicPartition
from kafkaroute.moves.notes import Note, NoteState, former, own_metadata, summary, with_note
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
