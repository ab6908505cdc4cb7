"""What one channel's sender puts around messages, and what it makes of the reports."""

import pytest

from kafkaroute import KafkaError, Message
from kafkaroute.backend.contract import NativeSender
from kafkaroute.producer.reports import Reports
from kafkaroute.producer.sender import ChannelSender, native_of


class Desk:
    def __init__(self):
        self.messages, self.wanted, self.later, self.silent = [], [], [], []

    def astray(self, _reports, message, _topic):
        self.messages.append(message)
        return True

    def wants_reports(self, _reports, channel, *message):
        self.wanted.append((channel, *message))

    def report_later(self, callback, error, _message):
        self.later.append((callback, error))

    def unheard(self, channel, error):
        self.silent.append((channel, error.code()))


class World:
    def __init__(self, *, quiet=False, default=None):
        self.desk, self.sent, self.refused = Desk(), [], []
        self.reports = Reports(self.desk, default, quiet=quiet)
        native = NativeSender(self._send, self.refused.append)
        self.sender = ChannelSender(self.reports, "c", native)
        self.error = None

    def _send(self, *message):
        if self.error is not None:
            raise self.error
        self.sent.append(message)

    def report(self, number, code=None):
        error = None if code is None else KafkaError(code)
        message = Message("t", 0, 0, b"k", b"v", error=error, latency=0.0)
        self.sent[number][3](error, message)


FAILED = KafkaError._MSG_TIMED_OUT


def test_a_callback_that_comes_again_has_one_wrapper_and_others_have_their_own():
    world, seen = World(), []

    def one(error, _message):
        seen.append(("one", error and error.code()))

    def two(error, _message):
        seen.append(("two", error and error.code()))

    for callback in (one, one, one, two, one, two, two):
        world.sender.full(b"v", b"k", -1, callback, 0, None)
    for number in range(7):
        world.report(number)
    assert [name for name, _ in seen] == ["one", "one", "one", "two", "one", "two", "two"]
    assert world.sent[1][3] is world.sent[2][3]
    assert world.sent[4][3] is world.sent[1][3]


def test_failures_of_every_kind_of_message_carry_what_it_had():
    world = World()
    headers = [("h", b"1")]

    def callback(*_):
        raise AssertionError

    world.sender.full(b"v", b"k", -1, callback, 0, None)
    world.sender.full(b"v", b"k", -1, callback, 0, None)
    world.sender.full(b"v", b"k", -1, callback, 0, None)
    world.sender.full(b"v", b"k", -1, None, 0, headers)
    world.sender.full(b"v", b"k", 2, callback, 7, headers)
    world.sender.plain(b"v", b"k")
    headers.append(("later", b""))
    for number in range(6):
        world.report(number, FAILED)
    carried = [(m.callback, m.partition, m.timestamp, m.headers) for m in world.desk.messages]
    assert carried == [
        (callback, -1, 0, None),
        (callback, -1, 0, None),
        (callback, -1, 0, None),
        (None, -1, 0, [("h", b"1")]),
        (callback, 2, 7, [("h", b"1")]),
        (None, -1, 0, None),
    ]


def test_a_mover_keeps_the_callbacks_for_the_application():
    world, seen = World(), []
    world.reports.divert(1)
    for _ in range(3):
        world.sender.full(b"v", b"k", -1, seen.append, 0, None)
    world.sender.full(b"v", b"k", 1, seen.append, 0, None)
    world.sender.full(b"v", b"k", -1, None, 0, {"h": b"1"})
    for number in range(5):
        world.report(number)
    assert not seen
    assert len(world.desk.later) == 4


def test_the_applications_default_hears_of_what_has_no_callback():
    seen = []
    world = World(default=lambda error, _message: seen.append(error))
    world.sender.full(b"v", b"k", -1, None, 0, [("h", b"1")])
    world.sender.full(b"v", b"k", -1, None, 0, None)
    world.report(0)
    world.report(1)
    assert seen == [None, None]


def test_a_quiet_client_is_not_given_callbacks():
    world = World(quiet=True)
    world.sender.full(b"v", b"k", -1, print, 0, None)
    world.sender.full(b"v", b"k", -1, None, 0, [("h", b"1")])
    assert world.desk.wanted == [("c", b"v", b"k", -1, print, 0, None)]
    assert len(world.sent) == 1


@pytest.mark.parametrize("headers", [None, [("h", b"1")]])
def test_what_the_native_call_raises_is_shown_to_the_backend(headers):
    world = World()
    world.error = RuntimeError("native")
    with pytest.raises(RuntimeError, match="native"):
        world.sender.full(b"v", b"k", -1, None, 0, headers)
    assert world.refused == [world.error]


def test_a_sender_is_called_as_a_native_one():
    calls = []
    native = native_of(lambda *message: calls.append(message))
    native.send(b"v", b"k", -1, print)
    native.send(b"v", b"k", 2, None, None, 7, [("h", b"1")])
    assert calls == [
        (b"v", b"k", -1, print, 0, None),
        (b"v", b"k", 2, None, 7, [("h", b"1")]),
    ]
