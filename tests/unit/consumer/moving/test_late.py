"""What a Consumer hears of a place that it has left: late messages, events, and its end."""

import threading
import time

import pytest

from kafkaroute import KafkaError, Message, Phase, TopicPartition
from kafkaroute.testing.catalog_stub import Fault

from .. import moves_world
from ..moves_world import WINDOW, X, Y, consume, share_of_both, values

world = moves_world.world


# What is put back.


@pytest.mark.parametrize("how", ["poll", "consume"])
@pytest.mark.parametrize("by_call", [False, True])
def test_late_messages_that_wait_are_not_committed(world, how, by_call):
    """They came back with their channel: the place in between is read first."""
    config = {"enable.auto.commit": not by_call}
    with world.started(client_config=config, move_linger=30, ttl=300, move_window=1.0) as consumer:
        consumer.commit(asynchronous=False)
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        world.put("A")
        world.write("A", *(f"a{number}" for number in range(20)))
        read = world.during if how == "poll" else consume
        assert read(consumer, 0.4) == []
        if by_call:
            consumer.commit(asynchronous=False)
        assert world.committed("A")[0] == 1
    assert world.committed("A")[0] == 1
    with world.consumer(client_config=config) as successor:
        found = world.read(successor, 20)
        assert values(found) == [f"a{number}" for number in range(20)]


# Asking whether a message is late.


def test_a_hanging_catalog_delays_late_messages_only(world):
    world.put("C", topic="bills", channel=Y)
    world.put("A")
    with world.consumer([X, Y], move_linger=30, timeout=4.0, ttl=300, move_window=WINDOW) as one:
        world.move(one, "B")
        world.until(one, Phase.LEFT)
        world.stub.fault = Fault.HANG
        longest, found, written = 0.0, [], 0
        end = time.monotonic() + 4.5  # so that the question ends in vain
        while time.monotonic() < end:
            world.write("A", f"late{written}")
            world.write("C", f"bill{written}", topic="bills")
            written += 1
            began = time.monotonic()
            found += one.consume(100, 0)
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.02)
        assert longest < 2.5
        bills = [name for name in values(found) if name.startswith("bill")]
        assert len(bills) > written * 0.8
        world.stub.fault = None
        end = time.monotonic() + 20
        while len(found) < 2 * written:
            assert time.monotonic() < end, (len(found), written)
            found += one.consume(100, 0.05)
        late = [name for name in values(found) if name.startswith("late")]
        assert late == [f"late{number}" for number in range(written)]


def test_late_messages_come_in_bulk_when_the_catalog_is_slow(world):
    """One answer is enough for all that was there when it was asked for."""
    with world.started(move_linger=30, ttl=300, move_window=WINDOW) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        world.stub.delay = 0.3
        late = [f"late{number}" for number in range(100)]
        world.write("A", *late)
        # With an answer for each it would take 30 s.
        assert values(world.read(consumer, len(late))) == late


def test_a_slow_catalog_may_say_that_the_channel_is_back(world):
    with world.started(move_linger=30, ttl=300, move_window=WINDOW) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        world.put("A")
        world.stub.delay = 0.3
        world.write("A", *(f"back{number}" for number in range(5)))
        world.write("B", "between", partition=1)
        found = world.read(consumer, 6)
        assert values(found) == ["between", *(f"back{number}" for number in range(5))]
        assert Phase.LATE not in world.phases()


def test_what_cannot_be_put_back_is_delivered(world):
    """Its partition went while the batch was read: it may be committed, and nothing else is lost."""
    world.put("A")
    world.put("C", topic="bills", channel=Y)
    with world.consumer([X, Y], move_linger=30, ttl=300) as consumer:
        share_of_both(world, consumer)
        world.move(consumer, "A", topic="other")
        world.until(consumer, Phase.LEFT)
        [native] = [spy for spy in world.backend.consumers if ("orders", 0) in spy._next]
        original = native.consume

        def consume_and_lose(count, timeout):
            messages = original(count, timeout)
            if any(message.value() == b"back" for message in messages):
                native.incremental_unassign([TopicPartition("orders", 0)])
            return messages

        native.consume = consume_and_lose
        world.put("A")
        world.write("A", "back")
        world.write("A", *(f"other{number}" for number in range(5)), topic="other")
        found, end = [], time.monotonic() + 10
        while len(found) < 6:
            assert time.monotonic() < end, values(found)
            found += consumer.consume(100, 0.05)
        found += consume(consumer, 0.2)
        assert sorted(values(found)) == ["back", *(f"other{number}" for number in range(5))]


# Events of places that are not read.


def tell_once(native, event):
    """Put `event` before what `native` finds; the answer is empty when it was told."""
    original, events = native.poll, [event]
    native.poll = lambda timeout: events.pop() if events else original(timeout)
    return events


@pytest.mark.parametrize("how", ["poll", "consume"])
@pytest.mark.parametrize("topic", ["orders", None])
def test_errors_of_a_place_that_was_left_are_not_the_applications(world, caplog, how, topic):
    with world.started(move_linger=30) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        read = world.during if how == "poll" else consume
        [native] = [spy for spy in world.backend.consumers if spy._next and spy.cluster[-1] == "A"]
        for code in (KafkaError._PARTITION_EOF, KafkaError._ALL_BROKERS_DOWN):
            if topic is not None or code != KafkaError._PARTITION_EOF:
                waiting = tell_once(native, Message(topic, 0, 1, error=KafkaError(code)))
                end = time.monotonic() + 10
                while waiting:
                    assert time.monotonic() < end
                    assert read(consumer, 0.02) == []
                assert read(consumer, 0.2) == []
        assert caplog.text.count("not read now") == 1
        assert Phase.DONE not in world.phases()


def test_a_deleted_topic_needs_no_linger(world):
    with world.started(move_linger=30) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        [native] = [spy for spy in world.backend.consumers if spy._next and spy.cluster[-1] == "A"]
        error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        tell_once(native, Message("orders", None, None, error=error))
        assert world.until(consumer, Phase.DONE, timeout=5) == []


def test_errors_of_the_place_that_is_read_are_told(world):
    with world.started(move_linger=30) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        [native] = [spy for spy in world.backend.consumers if spy._next and spy.cluster[-1] == "B"]
        tell_once(native, Message(None, None, None, error=KafkaError(KafkaError._TRANSPORT)))
        [event] = world.read(consumer, 1)
        assert event.error().code() == KafkaError._TRANSPORT


# Closing behind.


def test_close_does_not_wait_long_for_an_old_place_that_is_away(world):
    with world.started(timeout=0.5) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        [native] = [spy for spy in world.backend.consumers if spy._next and spy.cluster[-1] == "A"]
        original, back = native.close, threading.Event()
        native.close = lambda: (back.wait(20), original())
        longest, end = 0.0, time.monotonic() + 10
        while Phase.DONE not in world.phases():
            assert time.monotonic() < end
            began = time.monotonic()
            consumer.poll(0.02)
            longest = max(longest, time.monotonic() - began)
        began = time.monotonic()
        consumer.close()
        assert max(longest, time.monotonic() - began) < 10
        assert not native._closed
        back.set()
