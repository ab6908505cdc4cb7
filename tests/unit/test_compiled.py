"""What compiled modules must not do otherwise than their source. Run in both builds: `make test` runs
the source, `make test-compiled` what was compiled of it."""

import copy
import gc
import traceback
import weakref
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from kafkaroute import KafkaError, Message
from kafkaroute.backend.contract import NativeSender
from kafkaroute.compiled import build_of, compiled_modules
from kafkaroute.producer.channel_producer import ChannelProducer
from kafkaroute.producer.reports import Reports
from kafkaroute.producer.sender import ChannelSender

from .producer import producer_world
from .producer.producer_world import A

world, producer = producer_world.world, producer_world.plain_producer

ROOT = Path(__file__).parents[2]
PACKAGES = ("kafkaroute", "kafkaroute_confluent", "kafkaroute_kafka_python")


class Index:
    """A number to whoever asks by ``__index__``, as numpy's are."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number

    def __bool__(self):
        return bool(self.number)


class Int(int):
    pass


class Text(str):
    __slots__ = ()


PAYLOADS = [b"v", "v", None, b"", Text("v"), bytearray(b"v"), memoryview(b"v"), [1]]
NUMBERS = [1, -1, 0, Int(1), Int(-1), True, Index(1), 2**31 - 1]


def test_compiled_modules_lie_in_no_source_tree():
    """There they would hide their source, edited or not: `make compiled` works on a copy."""
    folders = [ROOT / "kafkaroute", *(ROOT / "backends").glob("*/src")]
    assert [p for s in EXTENSION_SUFFIXES for f in folders for p in f.rglob(f"*{s}")] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_what_counts_as_compiled_is_what_is_imported(package):
    for name in compiled_modules(package):
        assert import_module(name).__file__.endswith(tuple(EXTENSION_SUFFIXES))
    assert build_of(package) == build_of("kafkaroute")


def test_packages_without_compiled_modules(tmp_path, monkeypatch):
    (tmp_path / "found" / "sub").mkdir(parents=True)
    (tmp_path / "found" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert build_of("found") == "pure Python"
    assert build_of("not_to_be_found_anywhere") == "pure Python"
    for name in ("sub/hot", "shared__mypyc"):
        (tmp_path / "found" / f"{name}{EXTENSION_SUFFIXES[0]}").write_bytes(b"")
    assert compiled_modules("found") == ["found.sub.hot"]
    assert build_of("found") == "compiled"


# Arguments: whatever a native client may take, and the very object.


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: type(payload).__name__)
def test_payloads_are_handed_on_as_they_are(world, producer, payload):
    handle = producer.channel(A)
    handle.produce(payload, payload)
    handle.produce(value=payload, key=payload, headers={"h": b"1"})
    sender = World()
    forms(sender.sender, print, payload)
    for sent in [*(one[1:3] for one in world.on("A").sent), *(one[:2] for one in sender.sent)]:
        assert sent[0] is payload
        assert sent[1] is payload


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: type(number).__name__)
def test_numbers_are_handed_on_as_they_are(world, producer, number):
    handle = producer.channel(A)
    handle.produce(b"v", partition=number, timestamp=1)
    handle.produce(b"v", partition=1, timestamp=number)
    sender = World()
    sender.sender.full(b"v", b"k", number, print, number, [("h", b"1")])
    whole = int(number.__index__())
    assert [sent[3:5] for sent in world.on("A").sent] == [(whole, 1), (1, whole)]
    assert sender.sent[0][2] is number
    assert sender.sent[0][5] is number


@pytest.mark.parametrize("default", [Int(-1), -1.0])
def test_any_partition_is_the_one_that_equals_minus_one(world, producer, default):
    producer.channel(A).produce(b"v", b"k", default)
    assert world.on("A").sent == [("ta", b"v", b"k", -1, 0, None)]


@pytest.mark.parametrize("wrong", [(1, 2, 3, 4, 5, 6, 7, 8), ()])
def test_a_handle_refuses_what_is_no_argument_of_its_own(producer, wrong):
    with pytest.raises(TypeError):
        producer.channel(A).produce(*wrong, nonsense=1)


# A handle as an object.


def test_a_handle_as_an_object(producer):
    handle = producer.channel(A)
    assert repr(handle) == f"<ChannelProducer {A}>"
    assert type(handle) is ChannelProducer
    assert (handle.name, handle.producer) == (A, producer)
    assert copy.copy(handle).name == A
    with pytest.raises(AttributeError):
        handle.other = 1
    with pytest.raises(TypeError):
        weakref.ref(handle)


# What is raised.


class Desk:
    def astray(self, *_):
        return False

    def unheard(self, *_):
        pass


class World:
    """One sender over a native call that keeps what it is given."""

    def __init__(self):
        self.sent, self.raised = sent, raised = [], []
        self.reports = Reports(Desk(), None, quiet=False)

        def send(*message):
            if raised:
                raise raised[0]
            sent.append(message)

        def refuse(error):
            if isinstance(error, KeyError):
                raise RuntimeError("translated") from None

        self.sender = ChannelSender(self.reports, "c", NativeSender(send, refuse))


def failing(_error, _message):
    raise LookupError("the application's")


def forms(sender, callback, payload=b"v"):
    """A message of each kind that reports to `callback`."""
    for _ in range(3):
        sender.full(payload, payload, -1, callback, 0, None)
    sender.full(payload, payload, 1, callback, 7, [("h", b"1")])


@pytest.mark.parametrize("code", [None, KafkaError._MSG_TIMED_OUT])
def test_what_a_callback_raises_is_raised_where_it_is_reported(code):
    world = World()
    forms(world.sender, failing)
    error = None if code is None else KafkaError(code)
    for message in world.sent:
        with pytest.raises(LookupError, match="the application's") as caught:
            message[3](error, Message("t", 0, 0, b"k", b"v", error=error, latency=0.0))
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert frames[-1].name == "failing"
        assert any(frame.filename.endswith(("sender.py", "reports.py")) for frame in frames)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


def test_what_the_native_call_raises_is_raised_as_it_is_or_translated():
    world = World()
    world.raised[:] = [BufferError("full")]
    with pytest.raises(BufferError) as caught:
        world.sender.full(b"v", b"k", -1, None, 0, None)
    assert caught.value is world.raised[0]
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "send"
    world.raised[:] = [KeyError("native")]
    with pytest.raises(RuntimeError, match="translated") as other:
        world.sender.full(b"v", b"k", -1, None, 0, None)
    assert other.value.__suppress_context__


def test_headers_that_change_after_the_call_are_sent_again_as_they_were():
    world, again = World(), []
    world.reports._desk = type(
        "D", (), {"astray": lambda _, _t, m, _topic: again.append(m) or True}
    )()
    for headers in ([("h", b"1")], (("h", b"1"),), {"h": b"1"}):
        world.sender.full(b"v", b"k", -1, None, 0, headers)
        if isinstance(headers, list):
            headers.append(("late", b""))
    error = KafkaError(KafkaError._MSG_TIMED_OUT)
    for message in world.sent:
        message[3](error, Message("t", 0, 0, b"k", b"v", error=error, latency=0.0))
    assert [message.headers for message in again] == [[("h", b"1")], [("h", b"1")], {"h": b"1"}]


# Memory.


def test_lanes_are_freed_without_the_collector():
    """What waits for a report may be much: no circle of references may keep it."""

    class Application:
        def heard(self, *_):
            pass

    application, world = Application(), World()
    forms(world.sender, application.heard)
    world.sender.full(b"v", b"k", -1, None, 0, [("h", b"1")])
    freed = weakref.ref(application)
    gc.disable()
    try:
        del application
        world.sent.clear()
        assert freed() is not None  # the callback that came last is kept for the next message
        del world
        assert freed() is None
    finally:
        gc.enable()


def test_circles_through_a_lane_are_collected():
    class Application:
        pass

    application, world = Application(), World()
    application.world = world
    application.heard = lambda *_, itself=application: itself
    forms(world.sender, application.heard)
    freed = weakref.ref(application)
    del application, world
    gc.collect()
    assert freed() is None
