"""A consumer that waits beside another: assigned and paused, asking, counted as a member."""

from __future__ import annotations

import time

import pytest

from ...backend.contract import BackendConsumer, Capability
from ...errors import KafkaException
from ...messages import OFFSET_INVALID, KafkaError, Message, TopicPartition
from ..cluster import ClusterFeature
from .groups import Calls
from .kit import PATIENCE, Kit
from .requirements import needs, requires

__all__ = ["StandbyTests"]

_MANUAL = {"enable.auto.commit": False}
_COOPERATIVE = {**_MANUAL, "partition.assignment.strategy": "cooperative-sticky"}
#: More than any client fetches at once, and than the 500 that kafka-python hands over in a batch.
_MANY = 1200
_CALLS = ("poll", "consume", "ready")


def _filled(kit: Kit, partitions: int = 2) -> str:
    topic = kit.topic(partitions)
    for partition in range(partitions):
        kit.write(topic, map(str, range(_MANY)), partition=partition)
    return topic


def _take(kit: Kit, consumer: BackendConsumer, call: str, seconds: float = 0.1) -> list[Message]:
    """What the next `call` brings: poll, consume, or ready with a poll after it."""
    if call == "consume":
        messages = consumer.consume(500, seconds)
    else:
        message = kit.next(consumer, seconds) if call == "ready" else consumer.poll(seconds)
        messages = [] if message is None else [message]
    for message in messages:
        assert message.error() is None, message.error()
    return messages


class StandbyTests:
    @pytest.mark.parametrize("call", _CALLS)
    def test_assigned_with_offsets_and_paused(self, kit: Kit, call: str) -> None:
        topic = _filled(kit)
        consumer = kit.consumer(_MANUAL)

        def half(partitions: list[TopicPartition]) -> None:
            consumer.assign(
                [TopicPartition(each.topic, each.partition, 200) for each in partitions]
            )
            consumer.pause([TopicPartition(topic, 1)])

        consumer.subscribe([topic], half, None, None)
        self._only_the_other_is_delivered(kit, consumer, topic, call)

    @needs(ClusterFeature.COOPERATIVE)
    @requires(Capability.COOPERATIVE_REBALANCE)
    @pytest.mark.parametrize("call", _CALLS)
    def test_incrementally_assigned_with_offsets_and_paused(self, kit: Kit, call: str) -> None:
        topic = _filled(kit)
        consumer = kit.consumer(_COOPERATIVE)

        def half(partitions: list[TopicPartition]) -> None:
            consumer.incremental_assign(
                [TopicPartition(each.topic, each.partition, 200) for each in partitions]
            )
            consumer.pause([TopicPartition(topic, 1)])

        consumer.subscribe([topic], half, None, None)
        self._only_the_other_is_delivered(kit, consumer, topic, call)

    def _only_the_other_is_delivered(
        self, kit: Kit, consumer: BackendConsumer, topic: str, call: str
    ) -> None:
        read: list[Message] = []
        deadline = time.monotonic() + PATIENCE
        while len(read) < _MANY - 200 and time.monotonic() < deadline:
            read += _take(kit, consumer, call)
        quiet = time.monotonic() + 0.4
        while time.monotonic() < quiet:
            read += _take(kit, consumer, call)
        assert [(m.partition(), m.offset()) for m in read] == [(0, n) for n in range(200, _MANY)]
        consumer.resume([TopicPartition(topic, 1)])
        late: list[Message] = []
        deadline = time.monotonic() + PATIENCE
        while len(late) < _MANY - 200 and time.monotonic() < deadline:
            late += _take(kit, consumer, call)
        assert [(m.partition(), m.offset()) for m in late] == [(1, n) for n in range(200, _MANY)]

    @pytest.mark.parametrize("call", _CALLS)
    def test_pause_holds_what_is_fetched_already(self, kit: Kit, call: str) -> None:
        topic = _filled(kit)
        consumer = kit.reader(topic, (0, 1))
        both = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        read = kit.read(consumer, 3)
        for _ in range(2):
            consumer.pause(both)
            quiet = time.monotonic() + 0.25
            while time.monotonic() < quiet:
                assert _take(kit, consumer, call, 0.05) == []
            consumer.resume(both)
            deadline = time.monotonic() + PATIENCE
            before = len(read)
            while len(read) == before and time.monotonic() < deadline:
                read += _take(kit, consumer, call)
        while len(read) < 2 * _MANY and time.monotonic() < deadline + PATIENCE:
            read += _take(kit, consumer, "consume")
        for partition in (0, 1):
            offsets = [message.offset() for message in read if message.partition() == partition]
            assert offsets == list(range(_MANY))

    @needs(ClusterFeature.SEVERAL_MEMBERS)
    @pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
    def test_pause_outlives_a_rebalance(self, kit: Kit, strategy: str) -> None:
        """A partition that goes and comes back is still paused, until resume() says otherwise."""
        topic, group = kit.topic(4), kit.name("g")
        if strategy == "cooperative-sticky" and not kit.cluster.supports(
            ClusterFeature.COOPERATIVE
        ):
            pytest.skip(f"the {kit.cluster.kind} cluster lacks {ClusterFeature.COOPERATIVE}")
        settings = {**_MANUAL, "partition.assignment.strategy": strategy}
        first, second = (kit.consumer(settings, group=group) for _ in range(2))
        calls = Calls()
        kit.join(first, [topic], on_assign=calls.on_assign, on_revoke=calls.on_revoke)
        kit.poll_until(lambda: len(first.assignment()) == 4, first)
        every = [TopicPartition(topic, number) for number in range(4)]
        first.pause(every)
        second.subscribe([topic], None, None, None)
        kit.poll_until(lambda: len(second.assignment()) == 2, first, second)
        second.close()
        kit.poll_until(lambda: len(first.assignment()) == 4, first)
        assert calls.revoked
        for number in range(4):
            kit.write(topic, [b"v"], partition=number)
        kit.expect_nothing(first, 0.5)
        first.resume(every)
        assert {message.partition() for message in kit.read(first, 4)} == {0, 1, 2, 3}

    def test_paused_member_that_is_polled_now_and_then_stays(self, kit: Kit) -> None:
        topic = kit.topic(2)
        limit = max(kit.cluster.min_session_timeout_ms, 3000)
        settings = {"session.timeout.ms": limit, "max.poll.interval.ms": limit + 200}
        consumer = kit.consumer({**_MANUAL, **settings})
        calls = Calls()
        kit.join(
            consumer,
            [topic],
            on_assign=calls.on_assign,
            on_revoke=calls.on_revoke,
            on_lost=calls.on_lost,
        )
        kit.poll_until(lambda: len(consumer.assignment()) == 2, consumer)
        member = consumer.memberid()
        consumer.pause(consumer.assignment())
        kit.write(topic, [b"v"], partition=1)
        until = time.monotonic() + 1.6 * limit / 1000
        while time.monotonic() < until:
            assert kit.next(consumer, 0) is None
            time.sleep(0.4)
        assert (calls.revoked, calls.lost) == ([], [])
        assert consumer.memberid() == member
        consumer.resume(consumer.assignment())
        assert kit.read(consumer, 1)[0].value() == b"v"

    def test_member_commits_for_partitions_that_others_own(self, kit: Kit) -> None:
        mine, other, group = kit.topic(), kit.topic(2), kit.name("g")
        member = kit.consumer(_MANUAL, group=group)
        kit.join(member, [mine])
        answer = member.commit(
            [
                TopicPartition(other, 0, 7, metadata="held by generation 3"),
                TopicPartition(other, 1, 0, metadata="x"),
            ],
            False,
        )
        assert answer is not None
        assert [each.error for each in answer] == [None, None]
        onlooker = kit.consumer(_MANUAL, group=group)
        for asking in (member, onlooker):
            told = asking.committed(
                [TopicPartition(other, 1), TopicPartition(mine, 0), TopicPartition(other, 0)],
                PATIENCE,
            )
            assert [(each.offset, each.metadata) for each in told] == [
                (0, "x"),
                (OFFSET_INVALID, None),
                (7, "held by generation 3"),
            ]
        # Nobody checks: a late commit goes back, and its metadata with it.
        member.commit([TopicPartition(other, 0, 3)], False)
        [last] = onlooker.committed([TopicPartition(other, 0)], PATIENCE)
        assert (last.offset, last.metadata) == (3, None)

    def test_asking_about_a_group_does_not_disturb_it(self, kit: Kit) -> None:
        topic, group = kit.topic(2), kit.name("g")
        owner = kit.consumer(_MANUAL, group=group)
        calls = Calls()
        kit.join(
            owner,
            [topic],
            on_assign=calls.on_assign,
            on_revoke=calls.on_revoke,
            on_lost=calls.on_lost,
        )
        both = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        assert calls.assigned == [[(topic, 0), (topic, 1)]]
        onlooker = kit.consumer(_MANUAL, group=group)
        onlooker.assign(both)
        onlooker.pause(both)
        kit.write(topic, [b"v"] * 3, partition=0)
        kit.read(owner, 3)
        for expected in (OFFSET_INVALID, 3):
            for _ in range(5):
                assert kit.next(onlooker, 0.05) is None
                assert kit.next(owner, 0.05) is None
                told = [each.offset for each in onlooker.committed(both, PATIENCE)]
                assert told == [expected, OFFSET_INVALID]
            owner.commit([TopicPartition(topic, 0, 3)], False)
        onlooker.close()
        kit.poll_until(iter([False] * 20 + [True]).__next__, owner)
        assert (len(calls.assigned), calls.revoked, calls.lost) == (1, [], [])

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_open_transaction_parts_the_signs_of_an_end(self, kit: Kit) -> None:
        """Only the queried high watermark tells a reader of committed messages from the end."""
        topic = kit.topic()
        here = TopicPartition(topic, 0)
        producer = kit.producer({"transactional.id": kit.name("tx"), "linger.ms": 0})
        producer.init_transactions(PATIENCE)
        send = producer.sender(topic)
        producer.begin_transaction()
        for number in range(3):
            send(str(number))
        producer.commit_transaction(PATIENCE)  # its marker takes offset 3
        producer.begin_transaction()
        for number in range(5):
            send(str(number))
        assert producer.flush(PATIENCE) == 0

        consumer = kit.consumer({**_MANUAL, "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, 0, 0)])
        assert [message.offset() for message in kit.read(consumer, 3)] == [0, 1, 2]
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 4
        assert consumer.get_watermark_offsets(here, PATIENCE, False) == (0, 4)
        assert consumer.get_watermark_offsets(here, PATIENCE, True)[1] == 9
        uncommitted = kit.consumer({**_MANUAL, "isolation.level": "read_uncommitted"})
        assert uncommitted.get_watermark_offsets(here, PATIENCE, False) == (0, 9)
        assert consumer.position([here])[0].offset == 4

        producer.abort_transaction(PATIENCE)
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 10
        assert consumer.get_watermark_offsets(here, PATIENCE, False) == (0, 10)
        assert consumer.get_watermark_offsets(here, PATIENCE, True)[1] == 10
        # Who was told of the end has read up to there, though no message was delivered.
        assert consumer.position([here])[0].offset == 10
        answer = consumer.commit(None, False)
        assert answer is not None
        assert [(each.offset, each.error) for each in answer] == [(10, None)]

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_end_is_stored_by_nobody_who_stores_himself(self, kit: Kit) -> None:
        topic, group = kit.topic(), kit.name("g")
        producer = kit.producer({"transactional.id": kit.name("tx"), "linger.ms": 0})
        producer.init_transactions(PATIENCE)
        producer.begin_transaction()
        producer.sender(topic)(b"v")
        producer.commit_transaction(PATIENCE)
        consumer = kit.consumer(
            {**_MANUAL, "enable.partition.eof": True, "enable.auto.offset.store": False},
            group=group,
        )
        messages = kit.join(consumer, [topic])
        kit.read(consumer, 1 - len(messages))
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 2
        with pytest.raises(KafkaException) as caught:
            consumer.commit(None, False)
        assert caught.value.args[0].code() == KafkaError._NO_OFFSET
        consumer.commit([TopicPartition(topic, 0, 2)], False)
        assert kit.committed(group, topic) == 2

    def test_end_is_told_again_after_resume_and_seek(self, kit: Kit) -> None:
        topic = kit.topic()
        here = TopicPartition(topic, 0)
        kit.write(topic, [b"0", b"1"])
        consumer = kit.consumer({**_MANUAL, "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, 0, 0)])
        kit.read(consumer, 2)
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 2
        consumer.pause([here])
        kit.expect_nothing(consumer, 0.3)
        consumer.resume([here])
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 2
        consumer.seek(TopicPartition(topic, 0, 2))
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 2

    def test_empty_partition_is_at_its_end(self, kit: Kit) -> None:
        topic = kit.topic()
        consumer = kit.consumer({**_MANUAL, "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, 0)])
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 0
        assert consumer.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE, False) == (0, 0)
