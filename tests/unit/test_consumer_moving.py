"""A Consumer's channels that move, over clusters in memory."""

import threading
import time

import pytest

from kafkaroute import KafkaError, KafkaException, Phase, TopicPartition
from kafkaroute.backend import registry
from kafkaroute.testing.catalog_stub import CatalogStub

from .moves_world import SEQUENCE, WINDOW, Clusters, MovesWorld, X, Y, values


@pytest.fixture
def world(monkeypatch):
    backend = Clusters()
    monkeypatch.setitem(registry._instances, "moves", backend)
    with CatalogStub() as stub:
        made = MovesWorld(stub, backend)
        yield made
    assert made.open_natives() == []


def await_no_scouts(world):
    end = time.monotonic() + 5
    while world.open_natives():
        assert time.monotonic() < end, [spy.cluster for spy in world.open_natives()]
        time.sleep(0.02)


@pytest.fixture
def reading(world):
    with world.started() as consumer:
        yield consumer
    await_no_scouts(world)


# Hold, leave, linger, done.


@pytest.mark.parametrize("where", [("B",), ("A", "other"), ("B", "other")])
def test_the_old_place_is_read_to_its_end_before_the_new_one(world, reading, where):
    cluster, topic = (*where, "orders")[:2]
    world.write(cluster, "new", topic=topic)
    world.move(reading, *where)
    world.write("A", "rest")
    found = world.until(reading, Phase.HELD)
    began = time.monotonic()
    world.write("A", "last")
    found += world.until(reading, Phase.LEFT)
    assert time.monotonic() - began >= WINDOW - 0.2
    found += world.until(reading, Phase.DONE)
    assert values(found) == ["rest", "last", "new"]
    assert world.phases() == SEQUENCE
    assert reading.counters()["left"] == 1


def test_the_application_sees_one_place_at_a_time(world, reading):
    world.calls.clear()
    world.move(reading, "B")
    world.until(reading, Phase.HELD)
    old = {p.place for p in reading.assignment()}
    world.during(reading, 0.1)
    assert len(reading.assignment()) == 4
    assert world.calls == []
    world.until(reading, Phase.LEFT)
    assert [call[0] for call in world.calls] == ["revoke", "assign"]
    assert {p.place for p in world.calls[0][2]} == old
    new = {p.place for p in world.calls[1][2]}
    assert new != old
    assert {p.place for p in reading.assignment()} == new
    world.until(reading, Phase.DONE)
    assert [call[0] for call in world.calls] == ["revoke", "assign"]
    assert [spy.cluster for spy in world.open_natives()] == [world.server("B")]


def test_a_topic_move_needs_one_native_consumer(world, reading):
    world.move(reading, "A", topic="other")
    world.until(reading, Phase.HELD)
    [native] = [spy for spy in world.open_natives() if spy._generation is not None]
    assert native._group.topics[native] == {"orders", "other"}
    world.until(reading, Phase.DONE)
    assert native._group.topics[native] == {"other"}
    assert world.calls[-2:][0][1] == {"orders"} or world.calls[-1][1] == {"other"}


def test_status_tells_from_where_to_where(world, reading):
    world.move(reading, "B", topic="other")
    world.until(reading, Phase.HELD)
    status = reading.routes()[X]
    assert (status.spot.topic, [spot.topic for spot in status.next]) == ("orders", ["other"])
    assert reading.is_moving()
    world.until(reading, Phase.LEFT)
    status = reading.routes()[X]
    assert (status.spot.topic, [spot.topic for spot in status.behind]) == ("other", ["orders"])
    assert not reading.is_moving()
    world.until(reading, Phase.DONE)
    reading.poll(0)
    assert reading.routes()[X].phase is None


def test_the_group_has_to_be_done_not_this_member_alone(world, reading):
    """Another member holds half of the old place and does not read it."""
    other = world.consumer()
    try:
        end = time.monotonic() + 10
        while len(other.assignment()) != 2 or len(reading.assignment()) != 2:
            assert time.monotonic() < end
            reading.poll(0.02)
            other.poll(0.02)
        for partition in range(4):
            world.write("A", "rest", partition=partition)
        world.put("B")
        world.tell(reading)
        world.during(reading, 3 * WINDOW)
        assert Phase.HELD in world.phases()
        assert Phase.LEFT not in world.phases()
        end = time.monotonic() + 10
        while world.phases().count(Phase.LEFT) < 2:
            assert time.monotonic() < end, world.phases()
            reading.poll(0.02)
            other.poll(0.02)
    finally:
        other.close()


def test_what_the_application_paused_is_waited_for(world, reading):
    reading.pause([TopicPartition(X, 0)])
    world.write("A", "waits")
    world.move(reading, "B")
    world.until(reading, Phase.HELD)
    assert world.during(reading, 3 * WINDOW) == []
    assert Phase.LEFT not in world.phases()
    reading.resume([TopicPartition(X, 0)])
    assert values(world.until(reading, Phase.LEFT)) == ["waits"]


def test_both_at_once_on_request(world):
    with world.started(on_move="overlap", move_window=60) as consumer:
        world.calls.clear()
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        assert {p.place.config["bootstrap.servers"] for p in consumer.assignment()} == {
            world.server("A"),
            world.server("B"),
        }
        world.write("A", "old")
        world.write("B", "new")
        assert sorted(values(world.read(consumer, 2))) == ["new", "old"]
        world.until(consumer, Phase.DONE)
        assert [call[0] for call in world.calls] == ["assign", "revoke"]
        assert Phase.LATE not in world.phases()
    await_no_scouts(world)


# Places that do not answer.


def test_an_unreachable_place_is_not_gone_to(world, reading):
    world.backend.unreachable.add(world.server("B"))
    world.move(reading, "B")
    world.until(reading, Phase.UNREACHABLE)
    world.write("A", "still")
    assert values(world.read(reading, 1)) == ["still"]
    assert "away" in reading.routes()[X].error
    world.backend.unreachable.clear()
    world.until(reading, Phase.LEFT)
    assert world.phases()[:4] == [Phase.SEEN, Phase.UNREACHABLE, Phase.OPENED, Phase.HELD]


def test_another_cluster_than_promised_is_not_gone_to(world, reading):
    world.move(reading, "B", cluster_id="something else")
    world.until(reading, Phase.UNREACHABLE)
    [event] = [event for event in world.events if event.phase is Phase.UNREACHABLE]
    assert "something else" in event.detail


def test_a_dead_old_place_is_left_and_read_when_it_is_back(world):
    with world.started(move_linger=30) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.HELD)
        world.write("B", "new")
        consumer.commit(asynchronous=False)
        world.backend.unreachable.add(world.server("A"))
        world.write("A", "unread")
        found = world.until(consumer, Phase.LEFT, timeout=20)
        [event] = [event for event in world.events if event.phase is Phase.UNREAD]
        assert (event.partitions[0].channel, event.partitions[0].offset) == (X, 1)
        found += world.read(consumer, 1 - len(found))
        assert values(found) == ["new"]
        world.backend.unreachable.clear()
        assert values(world.read(consumer, 1)) == ["unread"]
        world.until(consumer, Phase.LATE)
    await_no_scouts(world)


def test_closing_the_old_place_holds_nobody_up(world, reading):
    """With a cluster that is away it takes seconds."""
    world.move(reading, "B")
    world.until(reading, Phase.LEFT)
    world.backend.slow.add(world.server("A"))
    try:
        world.until(reading, Phase.DONE)
        world.write("B", "new")
        assert values(world.read(reading, 1, timeout=3)) == ["new"]
        assert world.server("A") in {spy.cluster for spy in world.open_natives()}
    finally:
        world.backend.slow_closing.set()
    reading.close()  # waits for it
    assert not [t for t in threading.enumerate() if t.name == "kafkaroute-close"]


# Groups that commit by themselves, or not at all.


def test_read_but_not_committed(world):
    with world.started(client_config={"enable.auto.commit": False}) as consumer:
        consumer.commit(asynchronous=False)
        world.write("A", "second", "third")
        world.read(consumer, 2)
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        [event] = [event for event in world.events if event.phase is Phase.UNCOMMITTED]
        assert [(p.partition, p.offset) for p in event.partitions] == [(0, 3)]
    await_no_scouts(world)


def test_members_tell_each_other_what_they_have_not_committed(world):
    """None waits for a session timeout (45 s), as if the other were dead."""
    config = {"enable.auto.commit": False}
    with (
        world.started(client_config=config) as one,
        world.consumer(client_config=config) as two,
    ):
        one.commit(asynchronous=False)
        end = time.monotonic() + 20
        while len(one.assignment()) != 2 or len(two.assignment()) != 2:
            assert time.monotonic() < end
            one.poll(0.02)
            two.poll(0.02)
        for partition in range(4):
            world.group_at("A").committed["orders", partition] = (int(partition == 0), None)
            world.write("A", "read, not committed", partition=partition)
        world.move(one, "B")
        found, end = [], time.monotonic() + 30
        while world.phases().count(Phase.LEFT) < 2:
            assert time.monotonic() < end, world.phases()
            found += [m for m in (one.poll(0.02), two.poll(0.02)) if m is not None]
        assert len(found) == 4
        assert world.phases().count(Phase.UNCOMMITTED) == 2
        assert world.committed("A") == (1, "kr1:read:2;")
    await_no_scouts(world)


def test_a_group_that_never_commits_is_judged_by_its_position(world):
    with world.started(client_config={"enable.auto.commit": False}, drain_timeout=5) as consumer:
        world.move(consumer, "B")
        began = time.monotonic()
        world.until(consumer, Phase.LEFT)
        assert time.monotonic() - began < 4
        assert Phase.UNCOMMITTED not in world.phases()
    assert world.committed("A") == (None, None)
    assert world.committed("B") == (None, None)
    await_no_scouts(world)


def test_history_that_nobody_reads_does_not_hold_the_move(world):
    """A group that started at the end has no offset, and will never have one."""
    world.put("A")
    world.write("A", "history")
    with world.consumer(client_config={"auto.offset.reset": "latest"}) as consumer:
        world.during(consumer, 0.3)
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
    await_no_scouts(world)


# Where reading starts.


@pytest.mark.parametrize(
    ("start_at", "expected"),
    [(None, ["1", "2", "3"]), ("latest", ["3"]), ("earliest", ["1", "2", "3"])],
)
def test_a_group_without_offsets_starts_where_told(world, start_at, expected):
    with world.started() as consumer:
        world.write("B", "1", "2")
        more = {} if start_at is None else {"start_at": start_at}
        world.move(consumer, "B", **more)
        world.until(consumer, Phase.HELD)
        world.during(consumer, 0.2)
        world.write("B", "3")
        assert values(world.until(consumer, Phase.DONE)) == expected
    await_no_scouts(world)


def test_mirrored_history_is_skipped_on_request(world):
    with world.started(on_move_start="timestamp") as consumer:
        world.write("B", "history")
        time.sleep(WINDOW + 0.2)
        world.move(consumer, "B")
        world.until(consumer, Phase.HELD)
        world.write("B", "new")
        assert values(world.until(consumer, Phase.DONE)) == ["new"]
    await_no_scouts(world)


def test_committed_offsets_win(world, reading):
    world.write("B", "1", "2", "3")
    world.group_at("B").committed["orders", 0] = (2, None)
    world.move(reading, "B", start_at="earliest")
    assert values(world.until(reading, Phase.DONE)) == ["3"]


def test_the_application_may_say_where_to_start(world):
    world.put("A")
    world.write("A", "first")
    world.write("B", "1", "2", "3")
    with world.consumer() as consumer:

        def on_assign(consumer, partitions):
            for one in partitions:
                if one.topic == "other" and one.partition == 0:
                    one.offset = 1
            consumer.assign(partitions)

        consumer.subscribe([X], on_assign, lambda consumer, _: consumer.unassign())
        world.read(consumer, 1)
        world.write("B", "a", "b", topic="other")
        world.move(consumer, "B", topic="other")
        found = world.until(consumer, Phase.LEFT)
        world.write("A", "late")
        assert sorted(values([*found, *world.until(consumer, Phase.DONE)])) == ["b", "late"]
    await_no_scouts(world)


# Commits of a channel that is in two places.


def test_an_offset_of_the_old_place_skips_nothing_in_the_new_one(world, reading):
    world.write("A", *map(str, range(9)))
    [*_, last] = world.read(reading, 9)
    [given] = [p for p in reading.assignment() if p.partition == 0]
    world.move(reading, "B")
    world.until(reading, Phase.LEFT)
    mine = TopicPartition("orders", 0, 10)
    with pytest.raises(KafkaException, match="old or of the new") as caught:
        reading.commit(offsets=[TopicPartition(X, 0, 10)], asynchronous=False)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG
    with pytest.raises(KafkaException, match="old or of the new"):
        reading.commit(offsets=[mine], asynchronous=False)
    for commit in (
        lambda: reading.commit(last, asynchronous=False),
        lambda: reading.commit(offsets=[given], asynchronous=False),
    ):
        given.offset = 10
        world.group_at("A").committed["orders", 0] = (3, None)
        commit()
        assert world.committed("A")[0] == 10
        assert world.committed("B")[0] == 0
    world.write("B", *map(str, range(20)))
    new = world.read(reading, 1)[0]
    assert new.value() == b"0"
    [answer] = reading.commit(offsets=[TopicPartition(X, 0, 1)], asynchronous=False)
    assert (answer.channel, answer.place) == (X, new.origin().place)
    assert world.committed("B")[0] == 1
    reading.seek(TopicPartition(X, 0, 5))
    assert world.read(reading, 1)[0].value() == b"5"
    world.until(reading, Phase.DONE)
    with pytest.raises(KafkaException, match="no longer read") as caught:
        reading.commit(last)
    assert caught.value.args[0].code() == KafkaError._STATE


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
    await_no_scouts(world)


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
    await_no_scouts(world)


def test_back_while_the_new_place_is_held(world):
    """What lies in the old place by then is read first, what comes later after the new one."""
    with world.started(move_window=1.5, move_linger=30) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.HELD)
        world.write("B", "B1")
        world.move(consumer, "A")
        found = world.until(consumer, Phase.SEEN, 2)
        stop = threading.Event()

        def keep_writing():
            number = 0
            while not stop.wait(0.02):
                world.write("A", f"A{number:03}")
                number += 1

        writer = threading.Thread(target=keep_writing)
        writer.start()
        try:
            found += world.until(consumer, Phase.LEFT, 2, timeout=20)
        finally:
            stop.set()
            writer.join()
        found += world.during(consumer, 0.5)
        names = values(found)
        assert "B1" in names
        later = names[names.index("B1") + 1 :]
        assert later, names
        numbers = [name for name in names if name != "B1"]
        assert numbers == sorted(numbers)
        assert len(set(numbers)) == len(numbers)
    await_no_scouts(world)


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
    await_no_scouts(world)


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
    await_no_scouts(world)


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
    await_no_scouts(world)


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
    await_no_scouts(world)


def test_a_member_that_knows_nothing_waits_for_those_who_hold(world, reading):
    world.move(reading, "B")
    world.until(reading, Phase.HELD)
    world.during(reading, 0.2)
    note = world.committed("B")[1]
    assert note.startswith("kr1:held:")
    world.write("B", "new")
    # Another process: another cache.
    joiner = world.consumer(ttl=7.0)
    try:
        end = time.monotonic() + 5
        while not joiner.assignment():
            assert time.monotonic() < end
            joiner.poll(0.02)
            reading.poll(0.02)
        found = []
        while not found:
            assert time.monotonic() < end + 5
            for consumer in (joiner, reading):
                if (message := consumer.poll(0.02)) is not None:
                    found.append(message.value())
                    assert Phase.LEFT in world.phases(), "before the old place was left"
        assert found == [b"new"]
    finally:
        joiner.close()


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
        assert values(world.during(consumer, 1.0)) == []
        assert consumer.assignment()
        world.backend.silent.clear()
        assert values(world.read(consumer, 1)) == ["first"]


@pytest.mark.parametrize("phase", [Phase.SEEN, Phase.HELD, Phase.LEFT])
def test_close_in_any_phase(world, phase):
    consumer = world.started()
    world.move(consumer, "B")
    world.until(consumer, phase)
    consumer.close()
    await_no_scouts(world)


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.LEFT])
def test_subscribing_anew_keeps_the_move(world, reading, phase):
    world.put("A", topic="bills", channel=Y)
    world.write("B", "new")
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
    await_no_scouts(world)


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
    await_no_scouts(world)


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
