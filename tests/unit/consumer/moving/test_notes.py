"""Notes beside committed offsets: the text, what is kept, what is left alone."""

import random
import string

import pytest

from kafkaroute import TopicPartition
from kafkaroute.consumer.moving.notes import (
    Note,
    NoteState,
    former,
    own_metadata,
    parse,
    summary,
    with_note,
)

HELD = Note(NoteState.HELD, "g41", 1_764_000_000)
RELEASED = Note(NoteState.RELEASED, "g41", 1_764_000_100)


def at(partition, offset, metadata=None):
    return TopicPartition("t", partition, offset, metadata)


def test_the_text_is_short_plain_and_versioned():
    assert str(HELD) == "kr1:held:g41:1764000000;"
    assert str(RELEASED) == "kr1:released:g41:1764000100;"
    longest = Note(NoteState.RELEASED, former("c" * 60, "t" * 249), 10**12 - 1)
    assert len(str(longest)) < 50
    assert str(longest).isascii()


@pytest.mark.parametrize("tail", ["", ";", "x", "\x07}U", "kr1:held:g1:1;", "größe"])
def test_what_is_written_is_read_whatever_follows(tail):
    note = Note(NoteState.HELD, former("cluster", "topic"), 7)
    assert parse(str(note) + tail) == note
    assert own_metadata(str(note) + tail) is None


@pytest.mark.parametrize(
    "foreign",
    [
        None,
        "",
        "kr1",
        "kr1:held",
        "kr1:held:g41:",
        "kr1:held:g41:x",
        "kr1:held:g41:-5",
        "kr1:held:g41:1764000000",
        "kr1:held:41:1764000000;",
        "kr1:held:dxyz:1764000000;",
        "kr2:held:g41:1764000000;",
        " kr1:held:g41:1764000000;",
        "kr1:paused:g41:1764000000;",
        "kr1:held:g41:1764000000000000000000;",
        "kr1:held:g٤١:1764000000;",
        '{"host": "a", "offset": 3}',
        b"kr1:held:g41:1764000000;",
        42,
    ],
)
def test_what_is_foreign_stays_foreign(foreign):
    assert parse(foreign) is None
    assert own_metadata(foreign) == foreign


def test_nothing_makes_it_raise():
    dice = random.Random(3)
    alphabet = "kr1:heldgd0;" + string.printable + "\0é"
    for _ in range(3000):
        text = "".join(dice.choices(alphabet, k=dice.randrange(40)))
        note = parse(text)
        assert note is None or text.startswith(f"kr1:{note.state}:{note.old}:")


def test_what_names_an_old_place():
    assert former("c", "t", 41) == "g41"
    assert former("c", "t", 0) == "g0"
    digests = {former("c", "t"), former("c", "u"), former("d", "t"), former("ct", "")}
    assert len(digests) == 4
    assert former("c", "t") == former("c", "t")
    assert all(len(digest) == 17 for digest in digests)


def test_a_note_changes_no_offset_and_replaces_no_metadata():
    committed = [at(0, 5), at(1, 7, "mine"), at(2, -1001), at(3, -1001), at(4, 9, "")]
    changed = with_note(HELD, committed, starts={2: 0})
    assert [(one.partition, one.offset, one.metadata) for one in changed] == [
        (0, 5, str(HELD)),
        (2, 0, str(HELD)),
        (4, 9, str(HELD)),
    ]
    released = with_note(RELEASED, changed, starts={})
    assert [(one.offset, one.metadata) for one in released] == [
        (5, str(RELEASED)),
        (0, str(RELEASED)),
        (9, str(RELEASED)),
    ]


def test_what_is_said_already_is_not_said_again():
    later = "kr1:held:g41:1764000001;"
    assert with_note(HELD, [at(0, 5, later)], {}) == []
    assert with_note(HELD, [at(0, 5, str(HELD))], {}) == []
    assert with_note(RELEASED, [at(0, 5, str(RELEASED))], {}) == []


def test_a_hold_may_be_made_longer():
    earlier = "kr1:held:g41:1763999999;"
    [longer] = with_note(HELD, [at(0, 5, earlier)], {})
    assert longer.metadata == str(HELD)


def test_released_is_not_taken_back_but_another_move_holds_again():
    assert with_note(HELD, [at(0, 5, str(RELEASED))], {}) == []
    next_move = Note(NoteState.HELD, "g42", 1_764_000_500)
    [again] = with_note(next_move, [at(0, 5, str(RELEASED))], {})
    assert again.metadata == str(next_move)


def test_what_a_group_says_together():
    later = Note(NoteState.HELD, "g41", 1_764_000_007)
    seen = summary(
        [at(0, 5, str(HELD)), at(1, 5, str(later)), at(2, 5, str(RELEASED)), at(3, 9), at(4, -1001)]
    )
    assert seen.held == {0: HELD, 1: later}
    assert seen.released == {2: RELEASED}
    assert (seen.read, seen.unknown) == ({3}, {4})
    assert seen.held_until() == 1_764_000_007
    assert summary([at(0, 5, "own text")]).held_until() is None
