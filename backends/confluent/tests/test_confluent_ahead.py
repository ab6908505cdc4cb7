"""What is fetched ahead: handed out, parked, dropped, sorted out. Without a broker."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import confluent_kafka
import pytest

from kafkaroute.messages import OFFSET_INVALID, KafkaError, TopicPartition
from kafkaroute_confluent import fetching
from kafkaroute_confluent.callbacks import Kept
from kafkaroute_confluent.fetching import Fetching
from kafkaroute_confluent.logs import Redactor
from kafkaroute_confluent.nested import Serving
from kafkaroute_confluent.positions import Positions
from kafkaroute_confluent.waiting import Waiting


def _message(partition: int, offset: int, *, size: int = 1, error: Any = None) -> Any:
    return confluent_kafka.Message(
        topic="t", partition=partition, offset=offset, value=b"x" * size, error=error
    )


def _batch(*runs: tuple[int, Iterable[int]]) -> list[Any]:
    return [_message(partition, offset) for partition, offsets in runs for offset in offsets]


def _read(waiting: Waiting, count: int = 1000) -> list[tuple[int, int]]:
    return [(one.partition(), one.offset()) for one in waiting.take(count)]


def _end(partition: int, offset: int) -> Any:
    return _message(partition, offset, error=confluent_kafka.KafkaError(KafkaError._PARTITION_EOF))


class TestWaiting:
    @pytest.fixture
    def waiting(self) -> Waiting:
        waiting = Waiting()
        waiting.add(_batch((0, range(3)), (1, range(10, 13))))
        return waiting

    def test_it_is_handed_out_in_order(self, waiting: Waiting) -> None:
        assert len(waiting) == 6
        assert _read(waiting, 4) == [(0, 0), (0, 1), (0, 2), (1, 10)]
        waiting.add(_batch((0, [3])))
        assert _read(waiting) == [(1, 11), (1, 12), (0, 3)]
        assert (len(waiting), waiting.standing()) == (0, {})

    def test_where_partitions_stand(self) -> None:
        waiting = Waiting()
        waiting.begin({("t", 0), ("t", 1)})
        waiting.add(_batch((0, range(3)), (1, range(10, 13))))
        assert waiting.standing() == {("t", 0): OFFSET_INVALID, ("t", 1): OFFSET_INVALID}
        _read(waiting, 2)
        assert waiting.standing() == {("t", 0): 2, ("t", 1): OFFSET_INVALID}
        _read(waiting, 3)
        assert waiting.standing() == {("t", 0): 3, ("t", 1): 12}

    def test_what_an_earlier_fetch_brought_counts(self) -> None:
        waiting = Waiting()
        waiting.begin({("t", 0), ("t", 1)})
        waiting.add(_batch((1, [10])))
        _read(waiting)
        waiting.add(_batch((1, [20])))
        assert waiting.standing() == {("t", 0): OFFSET_INVALID, ("t", 1): 20}

    def test_an_end_counts_and_another_event_does_not(self) -> None:
        waiting = Waiting()
        other = _message(0, 99, error=confluent_kafka.KafkaError(KafkaError._AUTO_OFFSET_RESET))
        waiting.add([_message(0, 4), _end(0, 7), other, _message(0, 7)])
        waiting.take(3)
        assert waiting.standing() == {("t", 0): 7}

    def test_paused_partitions_are_parked(self, waiting: Waiting) -> None:
        _read(waiting, 1)
        waiting.pause([("t", 0)])
        assert waiting.standing() == {("t", 0): 1, ("t", 1): 10}
        assert _read(waiting) == [(1, 10), (1, 11), (1, 12)]
        waiting.add(_batch((1, [13])))
        assert waiting.standing() == {("t", 0): 1, ("t", 1): 13}
        waiting.resume([("t", 0)])
        assert _read(waiting) == [(0, 1), (0, 2), (1, 13)]
        assert waiting.parked(_batch((0, [3]))) != []

    def test_dropped_partitions(self, waiting: Waiting) -> None:
        _read(waiting, 1)
        waiting.pause([("t", 1)])
        assert waiting.drop({("t", 0), ("t", 1), ("t", 2)}) == {("t", 0): 1, ("t", 1): 10}
        assert _read(waiting) == []
        waiting.resume([("t", 1)])
        assert (_read(waiting), waiting.standing()) == ([], {})

    def test_what_was_handed_out_before_a_seek_does_not_count(self, waiting: Waiting) -> None:
        _read(waiting, 1)
        waiting.begin({("t", 0)})
        waiting.add(_batch((0, [50])))
        assert waiting.standing()["t", 0] == OFFSET_INVALID

    def test_cleared(self, waiting: Waiting) -> None:
        _read(waiting, 1)
        assert waiting.clear() == {("t", 0): 1, ("t", 1): 10}
        assert (_read(waiting), waiting.standing()) == ([], {})

    def test_threads_get_each_message_once(self) -> None:
        """Some take, one pauses, resumes and adds."""
        waiting, count = Waiting(), 30_000
        taken: list[list[int]] = [[], [], []]
        done = threading.Event()

        def take(found: list[int]) -> None:
            while not (done.is_set() and not len(waiting)):
                if (one := next(waiting.rest, None)) is not None:
                    found.append(one.offset())

        threads = [threading.Thread(target=take, args=(found,)) for found in taken]
        for thread in threads:
            thread.start()
        numbers = iter(range(count))
        while batch := list(itertools.islice(numbers, 100)):
            waiting.add(_batch((0, batch[::2]), (1, batch[1::2])))
            waiting.pause([("t", 0)])
            waiting.standing()
            waiting.resume([("t", 0)])
        done.set()
        for thread in threads:
            thread.join(30)
        assert sorted(itertools.chain(*taken)) == list(range(count))


class Native:
    """As much of a native consumer as Fetching and Positions call."""

    def __init__(self) -> None:
        #: What the next calls bring; then what `supply` makes of the number asked for.
        self.answers: list[list[Any]] = []
        self.supply: Callable[[int], list[Any]] = lambda _most: []
        self.inside: Callable[[], None] = lambda: None
        self.asked: list[int] = []
        self.own: dict[int, int] = {}
        self.sought: list[tuple[int, int]] = []
        self.stored: list[dict[int, int]] = []

    def consume(self, most: int, _timeout: float) -> list[Any]:
        self.asked.append(most)
        self.inside()
        return self.answers.pop(0) if self.answers else self.supply(most)

    def position(self, partitions: list[Any]) -> list[Any]:
        return [
            confluent_kafka.TopicPartition("t", one.partition, self.own[one.partition])
            for one in partitions
        ]

    def store_offsets(self, offsets: list[Any]) -> None:
        self.stored.append({one.partition: one.offset for one in offsets})

    def seek(self, partition: Any) -> None:
        if partition.partition not in self.own:
            code = KafkaError._UNKNOWN_PARTITION
            raise confluent_kafka.KafkaException(confluent_kafka.KafkaError(code))
        self.sought.append((partition.partition, partition.offset))


class TestFetching:
    @pytest.fixture
    def native(self) -> Native:
        return Native()

    @pytest.fixture
    def waiting(self) -> Waiting:
        return Waiting()

    @pytest.fixture
    def positions(self, native: Native, waiting: Waiting) -> Positions:
        return Positions(native, {}, waiting)

    @pytest.fixture
    def ahead(self, native: Native, waiting: Waiting, positions: Positions) -> Fetching:
        return Fetching(native, waiting, positions, Serving({}, Redactor({})))

    def _brought(self, ahead: Fetching, native: Native, answer: list[Any]) -> list[Any]:
        ahead._positions.placed({("t", number) for number in native.own})
        native.answers = [answer]
        return [(one.partition(), one.offset()) for one in ahead.take(100, 0)]

    def test_what_was_taken_before_a_seek_in_a_callback_is_read_again(
        self, ahead: Fetching, native: Native, waiting: Waiting
    ) -> None:
        native.own = {0: 0, 1: 0}
        native.inside = lambda: ahead.sought(TopicPartition("t", 0, 40))
        assert self._brought(ahead, native, _batch((0, [1, 2]), (1, [7]), (0, [40]))) == [(1, 7)]
        assert native.sought == [(0, 40)]
        assert waiting.standing()["t", 0] == OFFSET_INVALID

    def test_what_a_rebalance_took_away_is_dropped(self, ahead: Fetching, native: Native) -> None:
        native.own = {1: 0}
        native.inside = lambda: ahead.taken({("t", 0)})
        assert self._brought(ahead, native, _batch((0, [1, 2]), (1, [7]))) == [(1, 7)]
        assert native.sought == []

    def test_where_it_stood_when_it_was_taken_away_is_not_stored(
        self, ahead: Fetching, native: Native, positions: Positions
    ) -> None:
        """consume() moves librdkafka's position at its end, of what a callback gave up as well."""

        def rebalance() -> None:
            ahead.taken({("t", 0)})
            positions.left({("t", 0)})

        native.own, native.inside = {0: 3}, rebalance
        assert self._brought(ahead, native, _batch((0, [1, 2]))) == []
        positions.placed({("t", 0)})
        positions.store()
        assert native.stored == []
        native.inside = lambda: None
        native.answers = [_batch((0, [1]))]
        ahead.ahead()
        positions.store()
        assert native.stored == []

    @pytest.mark.parametrize("offsets", [[5, 6], [5, 6, 3, 4], [3, 4]])
    def test_what_went_and_came_back_is_read_again(
        self, ahead: Fetching, native: Native, offsets: list[int]
    ) -> None:
        native.own = {0: 0}
        native.inside = lambda: ahead.taken({("t", 0)})
        assert self._brought(ahead, native, _batch((0, offsets))) == []
        assert native.sought == [(0, min(offsets))]

    def test_what_came_back_at_another_place_is_read_from_there(
        self, ahead: Fetching, native: Native
    ) -> None:
        def rebalance() -> None:
            ahead.taken({("t", 0), ("t", 1)})
            ahead.placed([TopicPartition("t", 0, 90), TopicPartition("t", 1)])

        native.own, native.inside = {0: 0, 1: 0}, rebalance
        assert self._brought(ahead, native, _batch((0, [5]), (1, [6]))) == []
        assert sorted(native.sought) == [(0, 90), (1, 6)]

    def test_what_was_sought_and_then_taken_away(self, ahead: Fetching, native: Native) -> None:
        native.inside = lambda: ahead.sought(TopicPartition("t", 0, 40))
        assert self._brought(ahead, native, _batch((0, [1]))) == []

    def test_what_a_callback_paused_is_parked(
        self, ahead: Fetching, native: Native, waiting: Waiting
    ) -> None:
        def pause() -> None:
            waiting.pause([("t", 0)])
            ahead.paused()

        native.own, native.inside = {0: 0, 1: 0}, pause
        assert self._brought(ahead, native, _batch((0, [1]), (1, [7]))) == [(1, 7)]
        waiting.resume([("t", 0)])
        assert _read(waiting) == [(0, 1)]

    def test_what_was_done_before_a_call_does_not_count(
        self, ahead: Fetching, native: Native
    ) -> None:
        native.own = {0: 0}
        ahead.sought(TopicPartition("t", 0, 40))
        ahead.taken({("t", 0)})
        assert self._brought(ahead, native, _batch((0, [40]))) == [(0, 40)]

    def _wanted(
        self, ahead: Fetching, native: Native, waiting: Waiting, work: float, size: int = 1
    ) -> list[int]:
        """How many are asked for, one fetch after the other, by an application that needs so many
        seconds a message."""
        native.supply = lambda most: [_message(0, number, size=size) for number in range(most)]
        for _ in range(8):
            ahead.ahead()
            time.sleep(work * len(_read(waiting)))
        return native.asked

    def test_a_fast_application_is_fetched_many_for(
        self, ahead: Fetching, native: Native, waiting: Waiting
    ) -> None:
        assert self._wanted(ahead, native, waiting, 0)[-1] == 128

    def test_a_slow_application_is_fetched_few_for(
        self, ahead: Fetching, native: Native, waiting: Waiting
    ) -> None:
        assert max(self._wanted(ahead, native, waiting, 0.004)[2:]) <= 3

    def test_large_messages_are_few(
        self, ahead: Fetching, native: Native, waiting: Waiting
    ) -> None:
        assert max(self._wanted(ahead, native, waiting, 0, 1_000_000)[1:]) <= 4

    def test_librdkafka_is_called_though_messages_wait(
        self,
        ahead: Fetching,
        native: Native,
        waiting: Waiting,
        positions: Positions,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        now = 100.0
        positions.placed({("t", 0)})
        monkeypatch.setattr(fetching, "monotonic", lambda: now)
        native.own = {0: 3}
        native.answers = [_batch((0, range(3))), _batch((0, [3]))]
        ahead.ahead()
        assert (ahead.until, native.asked) == (pytest.approx(100.05), [1])
        waiting.take(1)
        now = 101.0
        ahead.ahead()
        assert (ahead.until, native.asked) == (pytest.approx(101.05), [1, 1])
        assert native.stored[-1] == {0: 1}
        assert _read(waiting) == [(0, 1), (0, 2), (0, 3)]
        ahead.ahead()
        assert ahead.until == 0


class TestKept:
    def test_the_first_exception_is_raised_once(self) -> None:
        kept = Kept()
        first = KeyboardInterrupt()
        raising = kept.guarded(lambda *errors: (_ for _ in ()).throw(errors[0]))
        assert raising(first) is None
        assert raising(ValueError()) is None
        with pytest.raises(KeyboardInterrupt) as caught:
            kept.raise_kept()
        assert caught.value is first
        kept.raise_kept()

    def test_callbacks_of_the_configuration_are_guarded(self) -> None:
        def fail(_answer: object) -> None:
            raise ValueError

        kept = Kept()
        config = kept.settings({"error_cb": fail, "stats_cb": fail, "oauth_cb": fail, "a": 1})
        for name in ("error_cb", "stats_cb"):
            config[name](None)  # type: ignore[operator]
            with pytest.raises(ValueError):
                kept.raise_kept()
        assert (config["oauth_cb"], config["a"]) == (fail, 1)
