"""Groups that change while much waits, and callbacks that are slow or raise meanwhile."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self

import pytest

from ...backend.contract import Capability
from ...errors import KafkaException
from ...messages import OFFSET_INVALID, KafkaError, Message, TopicPartition
from ..cluster import ClusterFeature
from .ahead import filled, parts, reached, runs, take
from .kit import PATIENCE, Kit
from .requirements import needs, requires

__all__ = ["AheadGroupTests"]

_MANUAL = {"enable.auto.commit": False}
_STRATEGIES = ("range", "cooperative-sticky")
#: An application that works for so many seconds on each message.
_WORK = 0.06
#: Calls of such an application until it hears of a rebalance; more messages than that wait.
_PROMPT = 50
_CHANCE = random.Random(9)


def _needs_cooperation(kit: Kit, strategy: str) -> None:
    if strategy != "range" and not kit.cluster.supports(ClusterFeature.COOPERATIVE):
        pytest.skip(f"the {kit.cluster.kind} cluster lacks {ClusterFeature.COOPERATIVE}")


class _Member:
    """A member that checks each message and each callback against what it has been handed.

    Attributes:
        owned: what it may be given messages of.
        told: how often it was called back.
        before_revoke: called in on_revoke, after the check.
    """

    def __init__(self, kit: Kit, group: str, log: list[Message], **settings: Any) -> None:
        own = {key.replace("_", "."): value for key, value in settings.items()}
        self._kit = kit
        self._log = log
        self._commits = own.get("enable.auto.commit") is False
        self.consumer = kit.consumer(own, group=group)
        self.owned: set[tuple[str, int]] = set()
        self.told = {"assign": 0, "revoke": 0}
        self.delay = 0.0
        self._handed: dict[tuple[str, int], int] = {}
        self._wrong: list[object] = []

    def subscribe(self, *topics: str) -> None:
        self.consumer.subscribe(topics, self._on_assign, self._on_revoke, None)

    def _on_assign(self, partitions: list[TopicPartition]) -> None:
        self.told["assign"] += 1
        time.sleep(self.delay)
        for one in partitions:
            self.owned.add((one.topic, one.partition))
            self._handed.pop((one.topic, one.partition), None)

    def _on_revoke(self, partitions: list[TopicPartition]) -> None:
        self.told["revoke"] += 1
        time.sleep(self.delay)
        for one in self.consumer.position(partitions):
            expected = self._handed.get((one.topic, one.partition), OFFSET_INVALID)
            if one.offset != expected:
                self._wrong.append((one, expected))
        if self._commits:
            with suppress(KafkaException):  # there may be nothing to commit
                self.consumer.commit(None, False)
        self.owned -= {(one.topic, one.partition) for one in partitions}

    def turn(self, seconds: float = 0.01) -> None:
        """One call, and a look at what it brought."""
        how = _CHANCE.randrange(4)
        if how == 0:
            found = self.consumer.consume(1, seconds)
            message = found[0] if found else None
        elif how == 1:
            message = self.consumer.poll(seconds)
        else:
            message = self._kit.next(self.consumer, seconds)
        self._note(message)

    def turn_slowly(self) -> None:
        """As an application that reads by ready() and works on what it got."""
        self._note(self.consumer.ready())
        time.sleep(_WORK)

    def catch_up(self) -> None:
        """As an application that works on something else, and then reads all that is there."""
        time.sleep(0.02)
        self._note(message := self.consumer.ready())
        while message is not None:
            self._note(message := self.consumer.ready())

    def _note(self, message: Message | None) -> None:
        if message is not None:
            assert message.error() is None, message.error()
            key = (message.topic() or "", message.partition() or 0)
            assert key in self.owned, f"{key} is not owned"
            self._handed[key] = (message.offset() or 0) + 1
            self._log.append(message)
        assert self._wrong == []

    def close(self) -> None:
        self.consumer.close()
        assert self._wrong == []


def _turn_until(condition: Callable[[], object], *members: _Member, pace: float = 0.0) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {PATIENCE:.0f} s")
        for member in members:
            member.turn()
        time.sleep(pace)


def _shared(*members: _Member) -> bool:
    return all(len(member.owned) == 2 for member in members)


def _catch_up_until(condition: Callable[[], object], *members: _Member) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {PATIENCE:.0f} s")
        for member in members:
            member.catch_up()


class _Load:
    """Writes to each of four partitions, some hundred messages a second, on a thread of its own."""

    def __init__(self, kit: Kit) -> None:
        self.topic = kit.topic(4)
        self.count = 0
        self._producer = kit.producer({"linger.ms": 0, "enable.idempotence": True})
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        send = self._producer.sender(self.topic)
        while not self._over.wait(0.002):
            for partition in range(4):
                send(b"v", None, partition)
            self.count += 1
            self._producer.poll(0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        assert self._producer.flush(PATIENCE) == 0


def _whole(partitions: int, count: int) -> dict[int, list[int]]:
    return {number: list(range(count)) for number in range(partitions)}


def _of(log: Sequence[Message], topic: str) -> dict[int, list[int]]:
    return runs(message for message in log if message.topic() == topic)


class AheadGroupTests:
    @needs(ClusterFeature.SEVERAL_MEMBERS)
    @pytest.mark.parametrize("auto", [False, True], ids=["manual", "auto"])
    @pytest.mark.parametrize("strategy", _STRATEGIES)
    def test_member_joins_and_leaves_while_much_waits(
        self, kit: Kit, strategy: str, auto: bool
    ) -> None:
        _needs_cooperation(kit, strategy)
        topic, group, log = filled(kit, 4, 600), kit.name("g"), list[Message]()
        settings = {"enable_auto_commit": auto, "partition_assignment_strategy": strategy}
        first, second = (_Member(kit, group, log, **settings) for _ in range(2))
        first.subscribe(topic)
        _turn_until(lambda: len(log) >= 20, first)
        second.subscribe(topic)
        _turn_until(lambda: len(first.owned) == len(second.owned) == 2, first, second, pace=0.005)
        assert len(log) < 2000
        _turn_until(lambda: len(log) >= 2200, first, second)
        second.close()
        _turn_until(lambda: len(log) >= 2400, first)
        kit.expect_nothing(first.consumer, 0.3)
        assert runs(log) == _whole(4, 600)

    @needs(ClusterFeature.SEVERAL_MEMBERS)
    @pytest.mark.parametrize("strategy", _STRATEGIES)
    def test_member_joins_and_leaves_while_more_is_written(self, kit: Kit, strategy: str) -> None:
        """Messages and the word of a rebalance come by one call."""
        _needs_cooperation(kit, strategy)
        group, log = kit.name("g"), list[Message]()
        settings = {"partition_assignment_strategy": strategy}
        with _Load(kit) as load:
            first = _Member(kit, group, log, **settings)
            first.subscribe(load.topic)
            _catch_up_until(lambda: len(first.owned) == 4, first)
            for _ in range(3):
                second = _Member(kit, group, log, **settings)
                second.subscribe(load.topic)
                _catch_up_until(partial(_shared, first, second), first, second)
                second.close()
                _catch_up_until(lambda: len(first.owned) == 4, first)
        _turn_until(lambda: len(log) >= 4 * load.count, first)
        kit.expect_nothing(first.consumer, 0.3)
        assert runs(log) == _whole(4, load.count)

    @needs(ClusterFeature.SEVERAL_MEMBERS)
    @pytest.mark.parametrize("strategy", _STRATEGIES)
    def test_paused_partitions_go_and_come_back_while_much_waits(
        self, kit: Kit, strategy: str
    ) -> None:
        _needs_cooperation(kit, strategy)
        topic, group, log = filled(kit, 4, 300), kit.name("g"), list[Message]()
        settings = {"partition_assignment_strategy": strategy}
        first, second = (_Member(kit, group, log, **settings) for _ in range(2))
        first.subscribe(topic)
        _turn_until(lambda: len(log) >= 20, first)
        every = parts(topic, range(4))
        first.consumer.pause(every)
        handed = len(log)
        second.subscribe(topic)
        _turn_until(lambda: len(second.owned) == 2, first, second, pace=0.005)
        _turn_until(lambda: len(log) >= handed + 100, first, second)
        assert {(m.topic(), m.partition()) for m in log[handed:]} <= second.owned
        second.close()
        handed = len(log)
        _turn_until(lambda: len(first.owned) == 4, first)
        kit.expect_nothing(first.consumer, 0.5)
        assert len(log) == handed
        first.consumer.resume(every)
        _turn_until(lambda: len(log) >= 1200, first)
        kit.expect_nothing(first.consumer, 0.2)
        assert runs(log) == _whole(4, 300)

    @pytest.mark.parametrize("strategy", _STRATEGIES)
    def test_slow_callbacks_lose_nothing(self, kit: Kit, strategy: str) -> None:
        _needs_cooperation(kit, strategy)
        topic, other, log = filled(kit), filled(kit), list[Message]()
        member = _Member(kit, kit.name("g"), log, partition_assignment_strategy=strategy)
        member.delay = 0.3
        member.subscribe(topic)
        _turn_until(lambda: len(log) >= 20, member)
        member.subscribe(topic, other)
        _turn_until(lambda: len(log) >= 600, member)
        kit.expect_nothing(member.consumer, 0.2)
        assert [_of(log, name) for name in (topic, other)] == [_whole(3, 100)] * 2

    @needs(ClusterFeature.COOPERATIVE)
    @requires(Capability.COOPERATIVE_REBALANCE)
    @pytest.mark.parametrize("what", ["pause", "seek"])
    def test_callback_may_act_on_another_partition(self, kit: Kit, what: str) -> None:
        topic, other = filled(kit, 3, 300), filled(kit)
        consumer = kit.consumer({**_MANUAL, "partition.assignment.strategy": "cooperative-sticky"})
        read = kit.join(consumer, [topic])
        read += take(kit, consumer, 20 - len(read))
        acted: list[int] = []
        here = TopicPartition(topic, read[-1].partition() or 0, 295)

        def act(_partitions: list[TopicPartition]) -> None:
            if what == "pause":
                consumer.pause([here])
            else:
                consumer.seek(here)
            acted.append(len(read))

        consumer.subscribe([topic, other], act, None, None)
        began = last = time.monotonic()
        while not acted or time.monotonic() < last + 1.0:
            assert last < began + PATIENCE
            if (message := kit.next(consumer, 0.1)) is not None:
                read.append(message)
                last = time.monotonic()
                time.sleep(0 if acted else 0.003)  # so that much is left when it acts
        before, after = _of(read[: acted[0]], topic), _of(read[acted[0] :], topic)
        assert _of(read, other) == _whole(3, 100)
        for number in {0, 1, 2} - {here.partition}:
            assert _of(read, topic)[number] == list(range(300))
        count = len(before[here.partition])
        assert before[here.partition] == list(range(count))
        if what == "seek":
            assert after[here.partition] == list(range(295, 300))
        else:
            assert here.partition not in after
            consumer.resume([here])
            rest = take(kit, consumer, 300 - count)
            assert runs(rest) == {here.partition: list(range(count, 300))}

    @pytest.mark.parametrize("strategy", _STRATEGIES)
    def test_slow_application_hears_at_once_of_a_rebalance(self, kit: Kit, strategy: str) -> None:
        _needs_cooperation(kit, strategy)
        topic, other, log = filled(kit), filled(kit), list[Message]()
        member = _Member(kit, kit.name("g"), log, partition_assignment_strategy=strategy)
        member.subscribe(topic)
        _turn_until(lambda: len(log) >= 5, member)
        member.subscribe(topic, other)
        before = sum(member.told.values())
        calls = 0
        while sum(member.told.values()) == before:
            member.turn_slowly()
            calls += 1
            assert calls <= _PROMPT
        _turn_until(lambda: len(log) >= 600, member)
        assert [_of(log, name) for name in (topic, other)] == [_whole(3, 100)] * 2

    @needs(ClusterFeature.SEVERAL_MEMBERS)
    @pytest.mark.parametrize("strategy", _STRATEGIES)
    def test_slow_member_gives_up_its_share_at_once(self, kit: Kit, strategy: str) -> None:
        _needs_cooperation(kit, strategy)
        topic, group, log = filled(kit, 4, 200), kit.name("g"), list[Message]()
        settings = {"partition_assignment_strategy": strategy}
        first, second = (_Member(kit, group, log, **settings) for _ in range(2))
        first.subscribe(topic)
        _turn_until(lambda: len(log) >= 5, first)
        second.subscribe(topic)
        calls = 0
        while not first.told["revoke"]:
            first.turn_slowly()
            second.turn(0.001)
            calls += 1
            assert calls <= _PROMPT
        _turn_until(lambda: len(log) >= 800, first, second)
        assert runs(log) == _whole(4, 200)

    def test_slow_application_stays_a_member_while_much_waits(self, kit: Kit) -> None:
        topic, log = filled(kit, 3, 200), list[Message]()
        limit = max(kit.cluster.min_session_timeout_ms, 3000)
        settings = {"session_timeout_ms": limit, "max_poll_interval_ms": limit + 200}
        member = _Member(kit, kit.name("g"), log, **settings)
        member.subscribe(topic)
        _turn_until(lambda: len(log) >= 5, member)
        until = time.monotonic() + 1.6 * limit / 1000
        while time.monotonic() < until:
            member.turn_slowly()  # an event would fail
        assert member.told == {"assign": 1, "revoke": 0}
        _turn_until(lambda: len(log) >= 600, member)
        assert runs(log) == _whole(3, 200)

    def test_messages_of_lost_partitions_come_again(self, kit: Kit) -> None:
        topic = filled(kit)
        limit = max(kit.cluster.min_session_timeout_ms, 2500)
        consumer = kit.consumer(
            {**_MANUAL, "session.timeout.ms": limit, "max.poll.interval.ms": limit + 200}
        )
        read: list[Message] = []
        told: list[tuple[str, int]] = []
        read += kit.join(
            consumer,
            [topic],
            on_assign=lambda _: told.append(("assigned", len(read))),
            on_lost=lambda _: told.append(("lost", len(read))),
        )
        read += take(kit, consumer, 20 - len(read))
        consumer.commit(None, False)
        committed = reached(read)
        time.sleep((limit + 200) / 1000 + 1.5)
        deadline = time.monotonic() + PATIENCE
        while len(told) < 3 or len(read) < told[2][1] + 280:
            assert time.monotonic() < deadline, (told, len(read))
            if (message := kit.next(consumer, 0.1)) is None:
                continue
            error = message.error()
            if error is None:
                read.append(message)
            else:
                assert error.code() == KafkaError._MAX_POLL_EXCEEDED
        assert [what for what, _ in told] == ["assigned", "lost", "assigned"]
        assert told[1][1] == told[2][1], "something came while nothing was assigned"
        again = runs(read[told[2][1] :])
        assert again == {
            number: list(range(committed.get(number, 0), 100))
            for number in range(3)
            if committed.get(number, 0) < 100
        }
        kit.expect_nothing(consumer, 0.2)
