"""Offsets while more is there than was handed out: commits, positions and what is put back know of
nothing that waits."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

import pytest

from ...backend.contract import BackendConsumer
from ...errors import KafkaException
from ...messages import OFFSET_INVALID, KafkaError, Message, TopicPartition
from .ahead import CALLS, filled, parts, reached, runs, take
from .kit import PATIENCE, Kit

__all__ = ["AheadCommitTests"]

_MANUAL = {"enable.auto.commit": False}
_OWN_STORE = {"enable.auto.offset.store": False}
_STRATEGIES = ("range", "cooperative-sticky")


def _expect_committed(kit: Kit, group: str, topic: str, handed: Mapping[int, int]) -> None:
    """`group` has committed what was handed out, and nothing where nothing was."""
    onlooker = kit.consumer(group=group)
    answers = onlooker.committed(parts(topic), PATIENCE)
    onlooker.close()
    expected = {number: handed.get(number, OFFSET_INVALID) for number in range(3)}
    assert {one.partition: one.offset for one in answers} == expected


def _expect_nothing_to_commit(consumer: BackendConsumer) -> None:
    with pytest.raises(KafkaException) as caught:
        consumer.commit(None, False)
    assert caught.value.args[0].code() == KafkaError._NO_OFFSET


def _joined(kit: Kit, consumer: BackendConsumer, topic: str, count: int) -> list[Message]:
    """Subscribe, and read at least `count` messages."""
    read = kit.join(consumer, [topic])
    return read + take(kit, consumer, max(0, count - len(read)))


def _last(messages: list[Message], partition: int) -> int:
    """The offset after the last of these."""
    return 1 + max((m.offset() or 0 for m in messages if m.partition() == partition), default=-1)


class AheadCommitTests:
    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("strategy", _STRATEGIES)
    def test_close_commits_what_was_handed_out(self, kit: Kit, strategy: str, call: str) -> None:
        topic, group = filled(kit), kit.name("g")
        settings = {"partition.assignment.strategy": strategy}
        everything: list[Message] = []
        for count in (0, 7, 120):
            member = kit.consumer(settings, group=group)
            read = kit.join(member, [topic])
            read += take(kit, member, max(0, count - len(read)), call)
            everything += read
            member.close()
            _expect_committed(kit, group, topic, reached(everything))
        last = kit.consumer(settings, group=group)
        everything += kit.join(last, [topic])
        everything += take(kit, last, 300 - len(everything), call)
        assert runs(everything) == {number: list(range(100)) for number in range(3)}
        kit.expect_nothing(last, 0.2)

    @pytest.mark.parametrize("strategy", _STRATEGIES)
    def test_clock_commits_what_was_handed_out(self, kit: Kit, strategy: str) -> None:
        topic, group = filled(kit), kit.name("g")
        settings = {"partition.assignment.strategy": strategy, "auto.commit.interval.ms": 100}
        consumer = kit.consumer(settings, group=group)
        onlooker = kit.consumer(group=group)
        read = _joined(kit, consumer, topic, 1)
        highest = 0
        deadline = time.monotonic() + PATIENCE
        while (len(read) < 40 or not highest) and len(read) < 300 and time.monotonic() < deadline:
            time.sleep(0.02)
            # Asked before more is handed out: never more than what was.
            for one in onlooker.committed(parts(topic), PATIENCE):
                assert one.offset <= reached(read).get(one.partition, OFFSET_INVALID)
                highest = max(highest, one.offset)
            read += take(kit, consumer, 1)
        assert highest > 0
        here = parts(topic)
        consumer.pause(here)
        kit.expect_nothing(consumer, 0.8)
        _expect_committed(kit, group, topic, reached(read))
        consumer.resume(here)
        read += take(kit, consumer, 10)
        consumer.close()
        _expect_committed(kit, group, topic, reached(read))

    @pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
    @pytest.mark.parametrize("call", CALLS)
    def test_commit_takes_what_was_handed_out(
        self, kit: Kit, call: str, asynchronous: bool
    ) -> None:
        topic, group = filled(kit), kit.name("g")
        consumer = kit.consumer(_MANUAL, group=group)
        onlooker = kit.consumer(group=group)
        read = _joined(kit, consumer, topic, 1)
        for count in (7, 1, 90):
            fresh = take(kit, consumer, count, call)
            read += fresh
            answer = consumer.commit(None, asynchronous)
            if asynchronous:
                assert answer is None
            else:
                assert answer is not None
                told = {one.partition: one.offset for one in answer if one.error is None}
                assert told.items() >= reached(fresh).items()
                _expect_nothing_to_commit(consumer)
            deadline = time.monotonic() + PATIENCE
            while asynchronous and time.monotonic() < deadline:
                asked = onlooker.committed(parts(topic), PATIENCE)
                if {one.partition: one.offset for one in asked if one.offset >= 0} == reached(read):
                    break
                time.sleep(0.02)
            _expect_committed(kit, group, topic, reached(read))
        consumer.close()
        _expect_committed(kit, group, topic, reached(read))

    def test_each_message_may_be_committed(self, kit: Kit) -> None:
        topic, group = filled(kit), kit.name("g")
        consumer = kit.consumer(_MANUAL, group=group)
        read = _joined(kit, consumer, topic, 1)
        for _ in range(30):
            [message] = take(kit, consumer, 1)
            read.append(message)
            after = reached([message])
            consumer.commit([TopicPartition(topic, *one) for one in after.items()], False)
            told = consumer.committed(parts(topic, after), PATIENCE)
            assert {one.partition: one.offset for one in told} == after

    def test_given_offsets_and_what_is_stored(self, kit: Kit) -> None:
        topic, group = filled(kit), kit.name("g")
        consumer = kit.consumer(_MANUAL, group=group)
        read = _joined(kit, consumer, topic, 40)
        consumer.commit(parts(topic, [0, 1], 1), False)
        _expect_committed(kit, group, topic, {0: 1, 1: 1})
        # Given offsets are no hand-out: what is stored is still to be committed.
        with suppress(KafkaException):
            consumer.commit(None, False)
        handed = reached(read)
        _expect_committed(
            kit, group, topic, {number: handed.get(number, 1) for number in (0, 1)} | handed
        )
        _expect_nothing_to_commit(consumer)

    @pytest.mark.parametrize("auto", [False, True], ids=["manual", "auto"])
    def test_own_offsets_alone_are_committed(self, kit: Kit, auto: bool) -> None:
        topic, group = filled(kit), kit.name("g")
        settings = {**_OWN_STORE, "enable.auto.commit": auto, "auto.commit.interval.ms": 100}
        consumer = kit.consumer(settings, group=group)
        read = _joined(kit, consumer, topic, 20)
        if not auto:
            _expect_nothing_to_commit(consumer)
        first = read[0].partition() or 0
        for offset in (1, 2):
            consumer.store_offsets([TopicPartition(topic, first, offset)])
            if not auto:
                consumer.commit(None, False)
            for _ in range(30):
                time.sleep(0.01)
                take(kit, consumer, 1)
            if auto and offset == 2:
                consumer.close()
            _expect_committed(kit, group, topic, {first: offset})

    def test_position_is_after_what_was_handed_out(self, kit: Kit) -> None:
        topic = filled(kit, 3, 40)
        consumer = kit.consumer(_MANUAL)
        consumer.assign(parts(topic))
        expected = dict.fromkeys(range(3), OFFSET_INVALID)
        for _ in range(120):
            told = consumer.position(parts(topic))
            assert {one.partition: one.offset for one in told} == expected
            expected |= reached(take(kit, consumer, 1))
        assert expected == {0: 40, 1: 40, 2: 40}

    @pytest.mark.parametrize("strategy", _STRATEGIES)
    @pytest.mark.parametrize("auto", [False, True], ids=["manual", "auto"])
    def test_put_back_in_the_middle(self, kit: Kit, auto: bool, strategy: str) -> None:
        topic, group = filled(kit), kit.name("g")
        settings = {
            "enable.auto.commit": auto,
            "auto.commit.interval.ms": 200,
            "partition.assignment.strategy": strategy,
        }
        consumer = kit.consumer(settings, group=group)
        read = _joined(kit, consumer, topic, 130)
        if not auto:
            consumer.commit(None, False)
        handed = reached(read)
        back = max(handed, key=handed.__getitem__)
        handed[back] -= 5
        consumer.put_back(TopicPartition(topic, back, handed[back]))
        told = {one.partition: one.offset for one in consumer.position(parts(topic, handed))}
        assert told == handed
        consumer.pause(parts(topic))
        kit.expect_nothing(consumer, 0.5)
        with suppress(KafkaException):  # auto-commit may have left nothing to do
            consumer.commit(None, False)
        _expect_committed(kit, group, topic, handed)
        consumer.resume(parts(topic))
        late = take(kit, consumer, 60, "mixed")
        for number, offsets in runs(late).items():
            begin = handed.get(number, 0)
            assert offsets == list(range(begin, begin + len(offsets)))
        handed |= reached(late)
        if not auto:
            consumer.commit(None, False)
        consumer.close()
        _expect_committed(kit, group, topic, handed)

    @pytest.mark.parametrize("how", ["unsubscribe", "close"])
    def test_leaving_tells_what_was_handed_out(self, kit: Kit, how: str) -> None:
        topic, group = filled(kit), kit.name("g")
        consumer = kit.consumer(_MANUAL, group=group)
        told: dict[int, int] = {}

        def on_revoke(partitions: list[TopicPartition]) -> None:
            told.update((one.partition, one.offset) for one in consumer.position(partitions))
            consumer.commit(None, False)

        read = kit.join(consumer, [topic], on_revoke=on_revoke)
        read += take(kit, consumer, 50 - len(read))
        handed = reached(read)
        if how == "unsubscribe":
            consumer.unsubscribe()
            kit.expect_nothing(consumer, 0.3)
        else:
            consumer.close()
        assert told == {number: handed.get(number, OFFSET_INVALID) for number in range(3)}
        _expect_committed(kit, group, topic, handed)

    def test_subscribing_again_goes_on_where_it_was(self, kit: Kit) -> None:
        topic, other, group = filled(kit), filled(kit), kit.name("g")
        consumer = kit.consumer(group=group)
        read = {topic: _joined(kit, consumer, topic, 20), other: []}
        for step in ([other], [topic, other], [topic]):
            if step == [topic]:
                consumer.unsubscribe()
                kit.expect_nothing(consumer, 0.2)
            consumer.subscribe(step, None, None, None)
            for message in take(kit, consumer, 60, "mixed"):
                read[str(message.topic())].append(message)
        consumer.close()
        for name, messages in read.items():
            for offsets in runs(messages).values():
                assert offsets == list(range(len(offsets)))
            _expect_committed(kit, group, name, reached(messages))

    def test_another_thread_takes_what_is_fetched(self, kit: Kit) -> None:
        """fetched() beside everything else that the consumer's own thread calls."""
        topic, group = filled(kit, 3, 2000), kit.name("g")
        consumer = kit.consumer(_MANUAL, group=group)
        consumer.assign(parts(topic))
        taken: list[Message] = []
        held: list[int | None] = [None]
        wrong: list[object] = []
        over = threading.Event()

        def take_what_is_there() -> None:
            while not over.is_set():
                before = held[0]
                if (message := consumer.fetched()) is not None:
                    taken.append(message)
                    if message.partition() == before == held[0]:
                        wrong.append((before, message.offset()))

        thread = threading.Thread(target=take_what_is_there)
        thread.start()
        own: list[Message] = []
        try:
            deadline = time.monotonic() + PATIENCE
            step = 0
            while len(own) + len(taken) < 6000 and time.monotonic() < deadline:
                step += 1
                own += [m for m in (consumer.ready(), consumer.poll(0.01)) if m is not None]
                own += consumer.consume(5, 0.01)
                if step % 10 == 0:
                    number = step // 10 % 3
                    consumer.pause(parts(topic, [number]))
                    held[0] = number
                    before = _last([*own, *taken], number)
                    at = consumer.position(parts(topic, [number]))[0].offset
                    # The other thread may have got one that it has not noted yet.
                    assert max(at, 0) in range(before, _last([*own, *taken], number) + 2)
                    time.sleep(0.002)
                    held[0] = None
                    consumer.resume(parts(topic, [number]))
        finally:
            over.set()
            thread.join()
        assert wrong == []
        assert {n: sorted(some) for n, some in runs([*own, *taken]).items()} == {
            number: list(range(2000)) for number in range(3)
        }
        for each in (own, taken):
            assert all(offsets == sorted(offsets) for offsets in runs(each).values())
        consumer.commit(None, False)
        _expect_committed(kit, group, topic, dict.fromkeys(range(3), 2000))

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_a_random_walk(self, kit: Kit, seed: int) -> None:
        """Any calls in any order: what comes is always what follows the last hand-out."""
        chance = random.Random(seed)
        topic = filled(kit, 3, 400)
        consumer = kit.consumer(_MANUAL)
        consumer.assign(parts(topic))
        following = dict.fromkeys(range(3), 0)
        position = dict.fromkeys(range(3), OFFSET_INVALID)
        paused: set[int] = set()
        story: list[object] = []
        for _ in range(80):
            number = chance.randrange(3)
            here = parts(topic, [number])
            what = chance.choice(
                ("read", "read", "read", "pause", "resume", "seek", "back", "wait")
            )
            story.append((what, number, following[number]))
            if what == "read" and (flows := {each for each in following if each not in paused}):
                left = sum(400 - following[each] for each in flows)
                for message in take(kit, consumer, min(left, chance.randint(1, 30)), "mixed"):
                    come, offset = message.partition() or 0, message.offset()
                    assert come not in paused, story
                    assert offset == following[come], story
                    following[come] = position[come] = following[come] + 1
            elif what == "pause":
                consumer.pause(here)
                paused.add(number)
            elif what == "resume":
                consumer.resume(here)
                paused.discard(number)
            elif what == "seek" and any(at > 0 for at in position.values()):
                following[number] = chance.randrange(400)
                position[number] = OFFSET_INVALID
                consumer.seek(TopicPartition(topic, number, following[number]))
            elif what == "back" and position[number] > 0:
                position[number] = max(0, position[number] - chance.randint(0, 10))
                following[number] = position[number]
                consumer.put_back(TopicPartition(topic, number, following[number]))
                consumer.pause(parts(topic, paused))
            elif what == "wait":
                time.sleep(chance.choice((0.01, 0.07, 0.15)))
            told = {one.partition: one.offset for one in consumer.position(parts(topic))}
            assert told == position, story
