"""A Consumer's moves that meet others, other settings, and beginnings and ends."""

import threading
import time

import pytest

from kafkaroute import Phase, TopicPartition

from .. import moves_world
from ..moves_world import X, Y, values

world, reading = moves_world.world, moves_world.reading


# Back, and on.


def test_back_to_a_place_that_is_still_watched(world):
    with world.started(move_linger=30) as consumer:
        world.write("A", "A2")
        world.read(consumer, 1)
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        world.write("B", "B1")
        world.read(consumer, 1)
        world.move(consumer, "A")
        world.until(consumer, Phase.SEEN, 2)
        world.write("A", "A3")
        world.write("B", "B2")
        found = world.until(consumer, Phase.LEFT, 2)
        assert values([*found, *world.read(consumer, 2 - len(found))]) == ["B2", "A3"]


def test_a_late_message_may_mean_that_the_channel_is_back(world):
    """The catalog knows, this process does not yet: the message waits for the place in between."""
    with world.started(move_linger=30, ttl=300, move_window=0.3) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        world.put("A")
        world.write("A", "back")
        world.write("B", "between")
        found = world.read(consumer, 2)
        assert values(found) == ["between", "back"]
        assert Phase.LATE not in world.phases()


def test_back_while_the_new_place_is_held(world):
    """What lies in the old place by then is read first, what comes later after the new one."""
    with world.started(move_window=1.5, move_linger=30) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.HELD)
        world.write("B", "B1")
        world.move(consumer, "A")
        found = world.until(consumer, Phase.SEEN, 2)
        stop = threading.Event()
        written = []

        def keep_writing():
            while not stop.wait(0.02):
                written.append(f"A{len(written):03}")
                world.write("A", written[-1])

        writer = threading.Thread(target=keep_writing)
        writer.start()
        try:
            found += world.until(consumer, Phase.LEFT, 2, timeout=20)
        finally:
            stop.set()
            writer.join()
        found += world.read(consumer, len(written) + 1 - len(found))
        names = values(found)
        assert "B1" in names
        later = names[names.index("B1") + 1 :]
        assert later, names
        assert [name for name in names if name != "B1"] == written


def test_a_second_move_before_the_first_is_done(world, reading):
    world.write("B", "B")
    world.write("C", "C")
    world.move(reading, "B")
    world.until(reading, Phase.HELD)
    world.move(reading, "C")
    world.until(reading, Phase.SEEN, 2)
    world.write("A", "A")
    found = world.until(reading, Phase.LEFT, 2)
    assert values([*found, *world.read(reading, 3 - len(found))]) == ["A", "B", "C"]
    world.until(reading, Phase.DONE, 2)
    assert [spy.cluster for spy in world.open_natives()] == [world.server("C")]


def test_a_place_that_was_missed_is_read_in_its_turn(world):
    """The channel went on before this process asked again; generations tell."""
    world.put("A", generation=1)
    world.write("A", "A1")
    with world.consumer() as consumer:
        world.read(consumer, 1)
        world.write("B", "B")
        servers = {"bootstrap.servers": world.server("B")}
        previous = [{"connection": servers, "topic": "orders", "generation": 2}]
        world.move(consumer, "A", generation=3, previous=previous)
        world.until(consumer, Phase.SEEN, 2)
        found = world.until(consumer, Phase.LEFT)
        world.write("A", "A2")
        found += world.until(consumer, Phase.LEFT, 2)
        found += world.read(consumer, 2 - len(found))
        assert values(found) == ["B", "A2"]


# The same cluster with other settings.


def test_other_settings_replace_the_native_consumer(world):
    world.put("A")
    world.put("A", topic="bills", channel=Y)
    with world.consumer([X, Y]) as consumer:
        world.write("A", "1", "2")
        world.write("A", "3", topic="bills")
        world.read(consumer, 3)
        consumer.pause([TopicPartition(Y, 0)])
        before = [spy for spy in world.open_natives() if spy._generation is not None]
        world.put("A", configuration={"acks": "all"})
        world.put("A", topic="bills", channel=Y, configuration={"acks": "all"})
        world.tell(consumer)
        found = world.until(consumer, Phase.REOPENED)
        found += world.until(consumer, Phase.REOPENED, channel=Y)
        world.write("A", "4")
        world.write("A", "5", topic="bills")
        found += world.read(consumer, 1 - len(found))
        assert values(found) == ["4"]
        assert world.during(consumer, 0.3) == []
        consumer.resume([TopicPartition(Y, 0)])
        assert values(world.read(consumer, 1)) == ["5"]
        after = [spy for spy in world.open_natives() if spy._generation is not None]
        assert len(before) == len(after) == 1
        assert before != after
        assert Phase.HELD not in world.phases()


def test_new_credentials_keep_the_native_consumer(world):
    old = {"sasl.username": "u", "sasl.password": "old"}
    world.put("A", credentials=old)
    with world.consumer() as consumer:
        world.write("A", "1")
        [message] = world.read(consumer, 1)
        world.move(consumer, "A", credentials={"sasl.username": "u", "sasl.password": "n3w"})
        world.until(consumer, Phase.CREDENTIALS)
        assert world.backend.credentials == [("u", "n3w")]
        world.write("A", "2")
        assert values(world.read(consumer, 1)) == ["2"]
        consumer.commit(message)
        assert "n3w" not in repr(world.events)
        # From here it goes on as from any other place.
        world.move(consumer, "B")
        world.until(consumer, Phase.DONE)
        assert consumer.is_moving() is False


# Beginnings and ends.


def test_what_the_group_left_behind_is_finished_first(world):
    world.put("A")
    world.write("A", "1")
    with world.consumer() as consumer:
        world.read(consumer, 1)
    world.write("A", "2")
    world.write("B", "3")
    older = {"connection": {"bootstrap.servers": world.server("A")}, "topic": "orders"}
    world.put("B", previous=[older])
    with world.consumer() as consumer:
        assert values(world.read(consumer, 2)) == ["2", "3"]
        world.until(consumer, Phase.DONE)
    with world.consumer(["kafka://x/orders"], client_config={"group.id": "new"}) as consumer:
        assert values(world.read(consumer, 1)) == ["3"]
        assert len([spy for spy in world.open_natives() if spy._generation is not None]) == 1


def test_a_member_that_knows_nothing_waits_for_those_who_hold(world):
    with world.started(move_window=3.0) as reading:
        world.move(reading, "B")
        world.until(reading, Phase.HELD)
        world.during(reading, 0.2)
        note = world.committed("B")[1]
        assert note.startswith("kr1:held:")
        world.write("B", "new")
        # Another process: another cache.
        with world.consumer(ttl=7.0) as joiner:
            end = time.monotonic() + 20
            while not joiner.assignment():
                assert time.monotonic() < end
                joiner.poll(0.02)
                reading.poll(0.02)
            found = []
            while not found:
                assert time.monotonic() < end
                for consumer in (joiner, reading):
                    if (message := consumer.poll(0.02)) is not None:
                        found.append(message.value())
                        assert Phase.LEFT in world.phases(), "before the old place was left"
            assert found == [b"new"]


def test_the_hold_is_said_before_anybody_joins(world, reading):
    """One that joins while the first member is still being given partitions would read them."""
    world.move(reading, "B")
    world.until(reading, Phase.HELD)
    (joined,) = [spy for spy in world.open_natives() if spy.cluster == world.server("B")]
    notes = {place: note for place, (_, note) in joined.found.items()}
    assert notes.keys() == {("orders", number) for number in range(4)}
    assert all(note.startswith("kr1:held:") for note in notes.values())
    world.until(reading, Phase.DONE)


def test_a_member_that_cannot_ask_for_the_notes_waits(world):
    world.put("A")
    world.write("A", "first")
    world.backend.silent.add(world.server("A"))
    with world.consumer() as consumer:
        world.share(consumer)
        assert values(world.during(consumer, 1.0)) == []
        world.backend.silent.clear()
        assert values(world.read(consumer, 1)) == ["first"]


@pytest.mark.parametrize("phase", [Phase.SEEN, Phase.HELD, Phase.LEFT])
def test_close_in_any_phase(world, phase):
    consumer = world.started()
    world.move(consumer, "B")
    world.until(consumer, phase)
    consumer.close()


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.LEFT])
def test_subscribing_anew_keeps_the_move(world, phase):
    world.put("A", topic="bills", channel=Y)
    world.write("B", "new")
    with world.started(move_linger=2) as reading:
        world.move(reading, "B")
        found = values(world.until(reading, phase))
        reading.subscribe([X, Y], world.on_assign, world.on_revoke)
        world.write("A", "bill", topic="bills")
        world.write("A", "rest")
        found += values(world.until(reading, Phase.DONE))
    assert sorted(found) == ["bill", "new", "rest"]
    assert phase is Phase.LEFT or found.index("rest") < found.index("new")


def test_leaving_a_channel_ends_its_move(world, reading):
    world.put("A", topic="bills", channel=Y)
    world.move(reading, "B")
    world.until(reading, Phase.HELD)
    reading.subscribe([Y])
    world.write("A", "bill", topic="bills")
    assert values(world.read(reading, 1)) == ["bill"]
    assert set(reading.routes()) == {Y}
    assert {spy.cluster for spy in world.open_natives() if spy._generation is not None} == {
        world.server("A")
    }


def test_a_callback_that_raises_does_not_break_the_move(world):
    world.put("A")
    world.write("A", "first")
    with world.consumer() as consumer:

        def on_revoke(consumer, partitions):
            if "orders" in {p.topic for p in partitions}:
                raise RuntimeError("the application's own")

        consumer.subscribe([X], None, on_revoke)
        world.read(consumer, 1)
        world.write("B", "new", topic="other")
        world.move(consumer, "B", topic="other")
        with pytest.raises(RuntimeError, match="own"):
            world.until(consumer, Phase.DONE)
        assert values(world.read(consumer, 1)) == ["new"]
        world.until(consumer, Phase.DONE)


def test_events_are_told_outside_the_turn(world):
    """The callback may use the Consumer from a thread of its own."""
    answers = []
    world.put("A")
    world.write("A", "first")

    def on_route_change(change):
        thread = threading.Thread(target=lambda: answers.append(consumer.routes()))
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
        world.events.append(change)

    with world.consumer(on_route_change=on_route_change) as consumer:
        world.read(consumer, 1)
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        assert len(answers) >= 4


def test_a_rebalance_does_not_count_as_quiet(world, reading):
    """Nothing can come from the old place while its group deals out the partitions."""
    consumer = reading
    world.move(consumer, "B")
    world.until(consumer, Phase.LINGERING)
    old = next(member for member in consumer._members.all if member.left)
    assert old.settled
    old.settled = False
    world.during(consumer, 1.5)
    assert Phase.DONE not in world.phases()
    old.settled = True
    world.until(consumer, Phase.DONE)
