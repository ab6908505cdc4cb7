"""The certificate's counters: each can fail, and a clean record shows 0 everywhere."""

from array import array
from dataclasses import replace

import pytest

from kafkaroute.verify.certificate import Bounds, Certificate, Mark
from kafkaroute.verify.counting import Pause, ProducerRecord, by_time, count_group
from kafkaroute.verify.load import Load
from kafkaroute.verify.payload import Payload, key_name, key_range
from kafkaroute.verify.picture import draw
from kafkaroute.verify.readings import LATE, Batch, ReadingsFile, identity, position, read_batches

KEYS = 4
RANGES = [f"range {key % 2}" for key in range(KEYS)]
OLD, NEW = 0, 1


def delivered(count, number=0, topics=("old",)):
    return ProducerRecord(number, bytes([2] * count), list(topics))


def batch(at, *messages, member=0):
    """messages: (number, place, offset) or (number, place, offset, LATE), of producer 0."""
    who, where = array("Q"), array("Q")
    for number, place, offset, *late in messages:
        who.append(identity(0, number))
        where.append(position(place, 0, offset) | (late[0] if late else 0))
    return Batch(at, who, where, member)


def count(producers, batches, members=1):
    return count_group(producers, batches, RANGES, [[0, 1]] * members, 0.0)


def in_order(total, at=0.0):
    return [batch(at + number * 0.01, (number, OLD, number)) for number in range(total)]


def verdict(found):
    return (found.lost, found.duplicated, found.reordered, found.late, found.unknown)


def test_a_clean_record_counts_nothing():
    found = count([delivered(20)], in_order(20))
    assert found.read == 20
    assert verdict(found) == (0, 0, 0, 0, 0)
    assert found.pause.seconds == pytest.approx(0.02)  # every second message is of the range
    assert sum(found.per_100_ms.values()) == 20


def test_a_message_that_was_delivered_and_never_read_is_lost():
    batches = in_order(20)
    del batches[7]
    found = count([ProducerRecord(0, bytes([2] * 7 + [3] + [2] * 12), ["old", "new"])], batches)
    assert verdict(found) == (1, 0, 0, 0, 0)
    assert found.lost_by_topic == {"new": 1}
    assert found.first_losses == ["producer 0: 7"]


def test_a_message_that_failed_and_was_never_read_is_not_lost():
    batches = in_order(20)
    del batches[7]
    record = ProducerRecord(0, bytes([2] * 7 + [1] + [2] * 12), ["old"])
    assert verdict(count([record], batches)) == (0, 0, 0, 0, 0)
    assert (record.failed, record.unreported, record.delivered) == (1, 0, 19)


def test_an_unreported_message_is_counted():
    record = ProducerRecord(0, bytes([2, 0, 2]), ["old"])
    assert (record.failed, record.unreported, record.delivered) == (0, 1, 2)


def test_a_message_read_again_and_one_written_twice_are_told_apart():
    batches = [*in_order(8), batch(1.0, (3, OLD, 3)), batch(1.1, (4, NEW, 0), (5, OLD, 99))]
    found = count([delivered(8)], batches)
    assert (found.read_again, found.written_twice) == (1, 2)
    assert (found.reordered, found.lost) == (0, 0)


def test_places_of_several_members_are_one_run():
    """Members number places as they meet them; equal places are equal all the same."""
    found = count_group(
        [delivered(2)],
        [batch(0.0, (0, 0, 5), (1, 1, 7)), batch(0.1, (0, 1, 5), (1, 0, 7), member=1)],
        RANGES,
        [[0, 1], [1, 0]],
        0.0,
    )
    assert (found.read_again, found.written_twice) == (2, 0)


def test_a_first_reading_after_a_higher_number_of_its_key_is_reordered():
    batches = [
        batch(0.0, (0, OLD, 0), (1, OLD, 1)),
        batch(0.1, (5, OLD, 3)),
        batch(0.2, (4, OLD, 2)),
    ]
    # 4 has key 0, which nothing higher was read of.
    assert count([delivered(6)], batches).reordered == 0
    batches = [batch(0.0, (8, NEW, 0)), batch(0.1, (0, OLD, 0), (4, OLD, 1), member=1)]
    found = count([delivered(9)], batches, members=2)
    assert (found.reordered, found.reordered_late) == (2, 0)
    assert found.first_reorderings[0] == "producer 0 key 0: 0 after 8 at 0.100"


def test_a_second_reading_is_a_duplicate_and_not_reordered():
    batches = [batch(0.0, (0, OLD, 0), (4, OLD, 1)), batch(0.1, (0, OLD, 0))]
    found = count([delivered(5)], batches)
    assert (found.reordered, found.read_again) == (0, 1)


def test_late_messages_are_counted_apart():
    batches = [batch(0.0, (4, NEW, 0)), batch(9.0, (0, OLD, 0, LATE), (1, OLD, 1, LATE))]
    found = count([delivered(5)], batches)
    assert (found.late, found.reordered, found.reordered_late) == (2, 0, 1)


def test_a_number_that_nobody_produced_is_told():
    assert count([delivered(1)], [batch(0.0, (0, OLD, 0), (1, OLD, 1))]).unknown == 1


def test_the_longest_silence_of_a_range_is_its_pause():
    batches = [
        batch(0.0, (0, OLD, 0), (1, OLD, 1)),
        batch(2.0, (2, OLD, 2)),  # range 0
        batch(5.5, (3, OLD, 3)),  # range 1, silent since 0.0
        batch(6.0, (4, OLD, 4)),
    ]
    found = count([delivered(5)], batches)
    assert found.pause == Pause(5.5, 0.0, "range 1")


def test_producers_are_kept_apart():
    who = array("Q", [identity(0, 4), identity(1, 0), identity(1, 4), identity(0, 0)])
    where = array("Q", [position(OLD, 0, offset) for offset in range(4)])
    found = count([delivered(5), delivered(5, 1)], [Batch(0.0, who, where)])
    assert found.reordered == 1


def test_records_survive_a_writer_that_is_cut_short(tmp_path):
    path = tmp_path / "member.out"
    file = ReadingsFile(str(path))
    file.write(batch(1.5, (7, NEW, 1 << 33)))
    file.write(batch(2.5, (8, NEW, 3)))
    file.close()
    path.write_bytes(path.read_bytes()[:-3])
    [only] = read_batches(path, 3)
    assert (only.at, only.member) == (1.5, 3)
    assert list(only.who) == [identity(0, 7)]
    assert list(only.where) == [position(NEW, 0, 1 << 33)]
    assert list(read_batches(tmp_path / "none", 0)) == []


def test_members_are_merged_by_time():
    one = iter([batch(1.0, (0, OLD, 0)), batch(3.0, (1, OLD, 1))])
    two = iter([batch(2.0, (2, OLD, 2))])
    assert [b.at for b in by_time([one, two])] == [1.0, 2.0, 3.0]


def test_a_value_carries_what_it_says():
    payload = Payload("00112233aabbccdd", 100)
    value = payload.pack(3, 17, 123_456_789_012, 1.5)
    assert len(value) == 100
    assert value.startswith(payload.prefix)
    assert payload.unpack(value) == (3, 17, 123_456_789_012, 1.5)
    assert not value.startswith(Payload("00112233aabbccde", 100).prefix)
    assert key_name(7) == b"key-00007"
    assert {key_range(key, 4) for key in range(100)} == {0, 1, 2, 3}


def certificate(**more):
    return Certificate("a title", "a backend", 1000.0, seconds=2.0, sent=2000, **more)


CLEAN = Bounds(late=0, duplicated=0, producer_pause=2.0, consumer_pause=5.0)


def test_a_clean_certificate_breaches_nothing():
    assert certificate().breaches(CLEAN) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"lost": 1},
        {"unreported": 1},
        {"reported_twice": 1},
        {"failed": 1},
        {"reordered": 1},
        {"reordered_late": 1},
        {"written_twice": 1},
        {"read_again": 1},
        {"unexplained": 1},
        {"late": 1},
        {"producer_pause": (2.1, 0.0, "producer 1")},
        {"consumer_pause": (5.1, 0.0, "range 1")},
    ],
    ids=str,
)
def test_every_bound_can_be_breached(wrong):
    [breach] = certificate(**wrong).breaches(CLEAN)
    named = next(iter(wrong)).replace("written_twice", "duplicated")
    assert breach.split(":")[0] == named.replace("read_again", "duplicated").replace("_", " ")


def test_a_run_without_messages_proves_nothing():
    assert replace(certificate(), sent=0).breaches(CLEAN) == ["nothing was sent"]


def test_a_certificate_comes_back_from_json_and_is_drawn():
    import json

    made = certificate(
        lost=3,
        produced={0: 100, 1: 90, 25: 4},
        consumed=[{1: 95}, {2: 95}],
        marks=[
            Mark(0.5, "world", "moved <here>"),
            Mark(1.0, "producer", "held", "producer 1", "held & so on"),
            Mark(1.2, "consumer", "left", "member 1"),
        ],
        producer_pause=(1.5, 0.2, "producer 1"),
    )
    again = Certificate.from_json(json.loads(json.dumps(made.as_json())))
    assert again == made
    picture = draw(again)
    assert picture == draw(made)
    import xml.etree.ElementTree as ET

    texts = [element.text for element in ET.fromstring(picture).iter() if element.text]
    assert "moved <here>" in texts
    assert {"producer: held", "consumer: left", "held & so on"} <= set(texts)
    assert any("3 lost" in text for text in texts)


@pytest.mark.parametrize(
    "wrong",
    [
        {"producers": 0},
        {"rate": 0},
        {"seconds": 0},
        {"size": 10},
        {"commits": ("x",)},
        {"start": "x"},
    ],
    ids=str,
)
def test_a_load_that_makes_no_sense_is_refused(wrong):
    from kafkaroute import ConfigurationError

    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Load(**wrong)
