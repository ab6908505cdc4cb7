"""Reading while more is there than was asked for: what waits inside a backend counts for nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence

import pytest

from ...backend.contract import BackendConsumer, Capability
from ...messages import OFFSET_INVALID, KafkaError, Message, Origin, TopicPartition
from ..cluster import ClusterFeature
from .kit import PATIENCE, Kit
from .requirements import needs, requires

__all__ = ["CALLS", "AheadTests", "filled", "parts", "reached", "runs", "take"]

_MANUAL = {"enable.auto.commit": False}
#: How an application may ask for messages.
CALLS = ("ready", "poll", "consume", "mixed")
_CHANCE = random.Random(4)


def filled(
    kit: Kit, partitions: int = 3, count: int = 100, values: Sequence[bytes] | None = None
) -> str:
    """A new topic with as many messages in each partition, few batches of many: a backend that
    fetches ahead has most of them at once."""
    topic = kit.topic(partitions)
    producer = kit.producer({"linger.ms": 200, "enable.idempotence": True})
    send = producer.sender(topic)
    for number in range(count):
        for partition in range(partitions):
            send(f"{partition}:{number}" if values is None else values[number], None, partition)
    assert producer.flush(PATIENCE) == 0
    return topic


def parts(topic: str, numbers: Iterable[int] = (0, 1, 2), offset: int = 0) -> list[TopicPartition]:
    return [TopicPartition(topic, number, offset) for number in numbers]


def take(kit: Kit, consumer: BackendConsumer, count: int, call: str = "ready") -> list[Message]:
    """Exactly `count` messages, by `call`."""
    found: list[Message] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < count:
        how = _CHANCE.choice((*CALLS[:3], "at once", "fetched")) if call == "mixed" else call
        if how == "consume":
            wanted = count - len(found)
            wanted = _CHANCE.randint(1, min(wanted, 20)) if call == "mixed" else wanted
            batch = consumer.consume(wanted, 0.1)
            assert len(batch) <= wanted
        else:
            message = {
                "ready": lambda: kit.next(consumer, 0.1),
                "poll": lambda: consumer.poll(0.1),
                "at once": consumer.ready,
                "fetched": consumer.fetched,
            }[how]()
            batch = [] if message is None else [message]
        for message in batch:
            assert message.error() is None, message.error()
        found += batch
        if time.monotonic() > deadline:
            pytest.fail(f"{len(found)} of {count} messages came within {PATIENCE:.0f} s")
    return found


def runs(messages: Iterable[Message]) -> dict[int, list[int]]:
    """Partition → offsets, in the order of reading."""
    found: dict[int, list[int]] = {}
    for message in messages:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        found.setdefault(partition, []).append(offset)
    return found


def reached(messages: Iterable[Message]) -> dict[int, int]:
    """Partition → the offset after the last message."""
    return {partition: offsets[-1] + 1 for partition, offsets in runs(messages).items()}


def _positions(consumer: BackendConsumer, topic: str) -> dict[int, int]:
    """Partition → position, where there is one."""
    answers = consumer.position(parts(topic))
    return {one.partition: one.offset for one in answers if one.offset != OFFSET_INVALID}


def _rest(handed: Mapping[int, int], count: int = 100) -> dict[int, list[int]]:
    """What is still to come of three partitions."""
    rest = {number: list(range(handed.get(number, 0), count)) for number in range(3)}
    return {number: offsets for number, offsets in rest.items() if offsets}


class AheadTests:
    @pytest.mark.parametrize("call", CALLS)
    def test_everything_comes_once_and_in_order(self, kit: Kit, call: str) -> None:
        topic = filled(kit, 3, 400)
        consumer = kit.consumer(_MANUAL)
        consumer.assign(parts(topic))
        read = take(kit, consumer, 1200, call)
        assert runs(read) == _rest({}, 400)
        assert [m.value() for m in read] == [f"{m.partition()}:{m.offset()}".encode() for m in read]
        kit.expect_nothing(consumer, 0.3)

    def test_ready_is_enough_to_read(self, kit: Kit) -> None:
        topic = filled(kit)
        consumer = kit.consumer()
        consumer.subscribe([topic], None, None, None)
        read: list[Message] = []
        deadline = time.monotonic() + PATIENCE
        while len(read) < 300 and time.monotonic() < deadline:
            began = time.monotonic()
            message = consumer.ready()
            if message is None:
                time.sleep(0.001)
                continue
            assert message.error() is None, message.error()
            assert time.monotonic() - began < 5
            read.append(message)
        assert runs(read) == _rest({})

    def test_consume_returns_at_once_what_waits(self, kit: Kit) -> None:
        topic = filled(kit)
        consumer = kit.consumer(_MANUAL)
        consumer.assign(parts(topic))
        read = take(kit, consumer, 30)
        waits = []
        for _ in range(9):
            began = time.monotonic()
            batch = consumer.consume(20, 5.0)
            waits.append(time.monotonic() - began)
            assert len(batch) == 20
            read += batch
        assert sorted(waits)[4] < 1.0, waits
        # More than waits: with the rest, and not before time is up.
        read += take(kit, consumer, 50, "poll")
        batch = consumer.consume(100, 0.3)
        read += batch
        assert (len(batch), runs(read)) == (40, _rest({}))

    @requires(Capability.HEADERS, Capability.NULL_KEY_AND_VALUE, Capability.NULL_HEADER_VALUES)
    def test_messages_are_whole(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer({"linger.ms": 200})
        send = producer.sender(topic)
        contents = [(None, None), (b"", b""), (b"value", b"key"), (b"\0\xff" * 500, b"")]
        stamp = 1_700_000_000_000
        for number in range(200):
            value, key = contents[number % 4]
            headers = [("n", str(number)), ("none", None), ("n", b"")] if number % 3 else None
            send(value, key, 0, None, stamp + number, headers)
        assert producer.flush(PATIENCE) == 0
        read = take(kit, kit.reader(topic), 200, "mixed")
        for number, message in enumerate(read):
            assert (message.value(), message.key()) == contents[number % 4]
            assert (message.topic(), message.partition(), message.offset()) == (topic, 0, number)
            assert message.timestamp() == (1, stamp + number)
            assert message.headers() == (
                [("n", str(number).encode()), ("none", None), ("n", b"")] if number % 3 else None
            )

    @pytest.mark.parametrize("call", ["ready", "poll"])
    def test_the_origin_is_the_one_at_hand_out(self, kit: Kit, call: str) -> None:
        topic = filled(kit, 1)
        origins = {topic: Origin("kafka://example.com/before")}
        consumer = kit.consumer(_MANUAL, origins=origins)
        consumer.assign(parts(topic, [0]))
        before = take(kit, consumer, 10)
        origins[topic] = Origin("kafka://example.com/after")
        after = take(kit, consumer, 10, call)
        del origins[topic]
        none = take(kit, consumer, 10, call)
        channels = [{message.channel() for message in some} for some in (before, after, none)]
        assert channels == [{"kafka://example.com/before"}, {"kafka://example.com/after"}, {None}]

    def test_big_messages(self, kit: Kit) -> None:
        # No partition holds more than the embedded cluster keeps (5 MB).
        values = [bytes([number]) * 900_000 for number in range(4)]
        topic = filled(kit, 10, 4, values)
        consumer = kit.reader(topic, range(10))
        read = take(kit, consumer, 40)
        assert runs(read) == {number: [0, 1, 2, 3] for number in range(10)}
        assert all(message.value() == values[message.offset() or 0] for message in read)

    def test_ends_come_in_order(self, kit: Kit) -> None:
        topic = filled(kit, 3, 50)
        consumer = kit.consumer({**_MANUAL, "enable.partition.eof": True})
        consumer.assign(parts(topic))
        expected = dict.fromkeys(range(3), 0)
        more = 50
        for _ in range(2):
            ended: set[int | None] = set()
            deadline = time.monotonic() + PATIENCE
            while len(ended) < 3 and time.monotonic() < deadline:
                if (message := kit.next(consumer, 0.1)) is None:
                    continue
                partition = message.partition() or 0
                assert message.offset() == expected[partition]
                error = message.error()
                if error is None:
                    assert partition not in ended
                    expected[partition] += 1
                else:
                    assert error.code() == KafkaError._PARTITION_EOF
                    assert message.offset() == more
                    ended.add(partition)
                reached = {number: at for number, at in expected.items() if at}
                assert _positions(consumer, topic) == reached
            assert ended == {0, 1, 2}
            kit.expect_nothing(consumer, 0.3)
            for partition in range(3):
                kit.write(topic, [b"v"] * 5, partition=partition)
            more += 5

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_markers_of_transactions_count_when_they_are_passed(self, kit: Kit) -> None:
        topic, group = kit.topic(), kit.name("g")
        producer = kit.producer({"transactional.id": kit.name("tx"), "linger.ms": 0})
        producer.init_transactions(PATIENCE)
        send = producer.sender(topic)
        for count, commits in ((3, True), (2, False), (3, True)):  # 0-2, 4-5 aborted, 7-9; 10 ends
            producer.begin_transaction()
            for _ in range(count):
                send(b"v")
            assert producer.flush(PATIENCE) == 0
            end = producer.commit_transaction if commits else producer.abort_transaction
            end(PATIENCE)
        consumer = kit.consumer({**_MANUAL, "enable.partition.eof": True}, group=group)
        consumer.assign(parts(topic, [0]))
        for offset in (0, 1, 2, 7, 8):
            [message] = take(kit, consumer, 1)
            assert message.offset() == offset
            assert consumer.position(parts(topic, [0]))[0].offset == offset + 1
            consumer.commit(None, False)
            assert kit.committed(group, topic) == offset + 1
        take(kit, consumer, 1)
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 11
        assert consumer.position(parts(topic, [0]))[0].offset == 11

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_end_behind_a_marker_counts_while_more_waits(self, kit: Kit) -> None:
        topic = kit.topic(2)
        here = parts(topic, [0])
        producer = kit.producer({"transactional.id": kit.name("tx"), "linger.ms": 0})
        producer.init_transactions(PATIENCE)
        for _ in range(20):
            kit.write(topic, [b"x" * 100] * 20, partition=1)
        # So little at once that the end of one partition comes among the messages of the other.
        settings = {"enable.partition.eof": True, "max.partition.fetch.bytes": 5000}
        consumer = kit.consumer({**_MANUAL, **settings})
        for _ in range(2):  # each with a marker after its messages, and an end behind that
            producer.begin_transaction()
            for _ in range(2):
                producer.sender(topic)(b"v", None, 0)
            producer.commit_transaction(PATIENCE)
            if not consumer.assignment():
                consumer.assign(parts(topic, [0, 1]))
            time.sleep(0.5)
        end = -1
        while end < 6:
            event = kit.event(consumer, KafkaError._PARTITION_EOF)
            if event.partition() == 0:
                end = event.offset() or 0
                assert consumer.position(here)[0].offset == end
                consumer.ready()
                assert consumer.position(here)[0].offset >= end
        consumer.commit(None, False)
        assert consumer.committed(here, PATIENCE)[0].offset == 6

    # Pause, resume and seek while much waits.

    @pytest.mark.parametrize("call", CALLS)
    def test_paused_partition_goes_on_where_it_was(self, kit: Kit, call: str) -> None:
        topic = filled(kit)
        consumer = kit.consumer(_MANUAL)
        consumer.assign(parts(topic))
        read = take(kit, consumer, 7)
        for number in range(3):
            # The one that the last message was of, and others that wait behind it.
            held = ((read[-1].partition() or 0) + number) % 3
            consumer.pause(parts(topic, [held]))
            others = take(kit, consumer, 30, call)
            assert held not in runs(others)
            time.sleep(0.1)
            others += take(kit, consumer, 30, call)
            assert held not in runs(others)
            read += others
            assert _positions(consumer, topic) == reached(read)
            consumer.resume(parts(topic, [held]))
        read += take(kit, consumer, 300 - len(read), call)
        assert runs(read) == _rest({})
        kit.expect_nothing(consumer, 0.2)

    @pytest.mark.parametrize("call", CALLS)
    def test_others_end_while_one_is_paused(self, kit: Kit, call: str) -> None:
        topic = filled(kit)
        consumer = kit.consumer(_MANUAL)
        consumer.assign(parts(topic))
        read = take(kit, consumer, 3)
        held = read[-1].partition() or 0
        consumer.pause(parts(topic, [held]))
        before = len(runs(read)[held])
        read += take(kit, consumer, 200 - (3 - before), call)
        assert len(runs(read)[held]) == before
        kit.expect_nothing(consumer, 0.3)
        assert consumer.consume(10, 0.1) == []
        consumer.resume(parts(topic, [held]))
        late = take(kit, consumer, 100 - before, call)
        assert runs(late) == {held: list(range(before, 100))}

    @pytest.mark.parametrize("paused", [False, True], ids=["flowing", "paused"])
    @pytest.mark.parametrize("target", [2, 7, 30, 95], ids=["back", "same", "forward", "far"])
    def test_seek_in_the_middle(self, kit: Kit, target: int, paused: bool) -> None:
        topic = filled(kit)
        consumer = kit.consumer(_MANUAL)
        consumer.assign(parts(topic))
        sought = 0
        consumer.pause(parts(topic, [sought]))
        read = take(kit, consumer, 20)
        consumer.pause(parts(topic, [1, 2]))
        consumer.resume(parts(topic, [sought]))
        read += take(kit, consumer, 7)
        consumer.resume(parts(topic, [1, 2]))
        handed = reached(read)
        if paused:
            consumer.pause(parts(topic, [sought]))
        consumer.seek(TopicPartition(topic, sought, target))
        del handed[sought]
        assert _positions(consumer, topic) == handed
        if paused:
            others = take(kit, consumer, 20, "mixed")
            assert sought not in runs(others)
            handed |= reached(others)
            assert _positions(consumer, topic) == handed
            consumer.resume(parts(topic, [sought]))
        rest = _rest({**handed, sought: target})
        read = take(kit, consumer, sum(map(len, rest.values())))
        assert runs(read) == rest
        kit.expect_nothing(consumer, 0.2)

    # What is assigned changes while much waits.

    def test_new_assignment_in_the_middle(self, kit: Kit) -> None:
        topic, other = filled(kit), filled(kit, 1)
        consumer = kit.consumer(_MANUAL)
        consumer.assign(parts(topic))
        take(kit, consumer, 20)
        consumer.assign([*parts(topic, [1], 40), *parts(other, [0], 90)])
        read = take(kit, consumer, 70)
        assert runs(m for m in read if m.topic() == topic) == {1: list(range(40, 100))}
        assert runs(m for m in read if m.topic() == other) == {0: list(range(90, 100))}
        kit.expect_nothing(consumer, 0.3)

    def test_partitions_come_and_go_in_the_middle(self, kit: Kit) -> None:
        topic = filled(kit)
        consumer = kit.consumer(_MANUAL)
        consumer.incremental_assign(parts(topic, [0, 1]))
        read = take(kit, consumer, 10)
        consumer.incremental_assign(parts(topic, [2], 50))
        read += take(kit, consumer, 10)
        gone = read[0].partition() or 0
        consumer.incremental_unassign(parts(topic, [gone]))
        rest = _rest({2: 50, **reached(read)})
        del rest[gone]
        late = take(kit, consumer, sum(map(len, rest.values())), "mixed")
        assert runs(late) == rest
        kit.expect_nothing(consumer, 0.2)
        consumer.incremental_assign(parts(topic, [gone], 3))
        assert runs(take(kit, consumer, 97)) == {gone: list(range(3, 100))}

    def test_nothing_waits_after_unassign(self, kit: Kit) -> None:
        topic = filled(kit)
        consumer = kit.consumer(_MANUAL)
        for start in (0, 60):
            consumer.assign(parts(topic, offset=start))
            assert {m.offset() for m in take(kit, consumer, 5)} <= set(range(start, 100))
            consumer.unassign()
            kit.expect_nothing(consumer, 0.3)
            assert consumer.consume(10, 0.1) == []
