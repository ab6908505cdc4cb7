"""Both sides of a ratio make the same calls, and a run that is not what it claims ends the suite."""

from contextlib import contextmanager
from importlib import import_module

import pytest

from benchmarks.suite.produce import QUEUE, produce_once
from benchmarks.suite.runs import BrokenMeasurement
from benchmarks.suite.setting import GROUPS
from benchmarks.suite.shapes import SHAPES


class Client:
    """Takes messages; what it does wrong is for the test to say."""

    def __init__(self, *, lose=0, fail=0, silent=0, before=0):
        self.messages = []
        self._callbacks = []
        self._lose, self._fail, self._silent, self._before = lose, fail, silent, before

    def __len__(self):
        return self._before

    def produce(self, topic, value=None, key=None, on_delivery=None, headers=None):
        self.messages.append((value, key, headers))
        self._callbacks.append(on_delivery)

    def handle(self, value, key):
        self.produce("t", value, key)

    def flush(self, _timeout):
        for number, callback in enumerate(self._callbacks[self._silent :]):
            if callback is not None:
                callback("an error" if number < self._fail else None, None)
        self._callbacks = []
        return self._lose


class Ledger:
    produced = 0


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_both_sides_of_a_shape_send_the_same(shape):
    bare, ours = Client(), Client()
    shape.bare(bare.produce, "t", 40, print)
    shape.ours(ours.handle if shape.through_handle else ours.produce, "t", 40, print)
    assert len(bare.messages) == 40
    assert bare.messages == ours.messages


def once(client, count=100, *, shape=1):
    it = SHAPES[shape]
    ledger = Ledger()
    sample = produce_once(it.bare, client, client.produce, "t", count, ledger, it.reports)
    assert ledger.produced == count
    return sample


def test_a_sound_run_gives_a_sample():
    assert once(Client()).per_call > 0
    assert once(Client(), shape=0).rate > 0


@pytest.mark.parametrize(
    ("client", "count", "text"),
    [
        (Client(before=1), 100, "not empty"),
        (Client(), QUEUE, "could get full"),
        (Client(lose=2), 100, "2 messages were not delivered"),
        (Client(fail=3), 100, "3 messages failed"),
        (Client(silent=1), 100, "99 reports for 100"),
    ],
)
def test_a_run_that_is_not_sound_ends_the_suite(client, count, text):
    with pytest.raises(BrokenMeasurement, match=text):
        once(client, count)


def test_a_message_that_the_broker_does_not_have_ends_the_suite(monkeypatch):
    from benchmarks.suite import readback

    counts = iter([10, 15])
    monkeypatch.setattr(readback.Ledger, "_count", lambda _self: next(counts))
    ledger = readback.Ledger({}, "t")
    text = "6 messages were produced to t, the broker has 5"
    with pytest.raises(BrokenMeasurement, match=text), ledger.balanced():
        ledger.produced += 6


def test_what_a_reader_does_not_get_ends_the_suite():
    from benchmarks.suite.consuming import Filled, consume_batches, poll_loop

    class Reader:
        def poll(self, _timeout):
            return None

        def consume(self, _count, _timeout):
            return []

    for read in (poll_loop, consume_batches):
        with pytest.raises(BrokenMeasurement):
            read(Reader(), 1)

    filled = object.__new__(Filled)
    filled.count = 3

    @contextmanager
    def opened(_group):
        yield None

    with pytest.raises(BrokenMeasurement, match="299 bytes read, of 300"):
        filled.run(opened, lambda _consumer, count: 100 * count - (count == 2), ahead=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # importing kafka-python gives some
@pytest.mark.parametrize("group", GROUPS)
def test_every_group_is_there(group):
    assert callable(import_module(f"benchmarks.suite.{group}").measure)
