"""Members: which native consumer a partition belongs to, and taking turns at them."""

import time

import pytest

from kafkaroute import KafkaError, KafkaException, TopicPartition
from kafkaroute.consumer.clients import Member, Members
from kafkaroute.consumer.polling import Batch, FairPoll
from kafkaroute.places import Place
from kafkaroute.route import Route

A1, A2, B1 = "kafka://x/a/one", "kafka://x/a/two", "kafka://x/b/one"


def route(channel, topic, cluster):
    return Route(channel, topic, {"bootstrap.servers": cluster})


def member(fake, cluster, **topics):
    place = Place("fake", {"bootstrap.servers": cluster})
    origins = {}
    client = fake.fake_consumer(place.config, origins)
    made = Member(place, client, origins)
    made.serve(route(channel, topic, cluster) for topic, channel in topics.items())
    return made


@pytest.fixture
def two(fake):
    """Topic "one" exists on both clusters."""
    members = Members()
    members.all = (member(fake, "A", one=A1, two=A2), member(fake, "B", one=B1))
    return members


def refused(call, *args):
    with pytest.raises(KafkaException) as caught:
        call(*args)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG
    return caught.value.args[0].str()


# Which member.


def test_a_channel_says_where(two):
    a, b = two.all
    assert two.locate(TopicPartition(A1, 0)) == (a, "one")
    assert two.locate(TopicPartition(B1, 0)) == (b, "one")
    assert two.locate(TopicPartition("one", 0, channel=B1)) == (b, "one")


def test_a_bare_topic_of_one_cluster_is_enough(two):
    a, _ = two.all
    assert two.locate(TopicPartition("two", 0)) == (a, "two")


def test_a_bare_topic_of_two_clusters_is_refused(two):
    told = refused(two.locate, TopicPartition("one", 0))
    assert "'one'" in told
    assert A1 in told
    assert B1 in told


def test_unknown_names_are_refused(two):
    assert "kafka://x/c" in refused(two.locate, TopicPartition("kafka://x/c", 0))
    assert "'three'" in refused(two.locate, TopicPartition("three", 0))


def test_with_one_cluster_any_topic_is_its_own(fake):
    members = Members()
    members.all = (member(fake, "A", one=A1),)
    assert members.locate(TopicPartition("other", 0)) == (members.all[0], "other")


def test_no_member_at_all():
    assert "give TopicPartition a channel" in refused(Members().locate, TopicPartition("t", 0))


def test_foreign_partitions_without_a_channel_attribute(two):
    class Native:
        topic, partition, offset, metadata, leader_epoch = "two", 3, 4, "m", 5

    [(owner, [share])] = two.split([Native()])
    assert owner is two.all[0]
    assert (share.topic, share.partition, share.offset) == ("two", 3, 4)
    assert (share.metadata, share.leader_epoch) == ("m", 5)


def test_split_keeps_everything_and_strips_channels(two):
    parts = [TopicPartition(A1, 0, 5, "note", 7), TopicPartition(B1, 0, 6), TopicPartition(A2, 1)]
    shares = {id(owner): share for owner, share in two.split(parts)}
    a, b = two.all
    assert [(p.topic, p.partition, p.offset, p.channel) for p in shares[id(a)]] == [
        ("one", 0, 5, None),
        ("two", 1, -1001, None),
    ]
    assert [(p.topic, p.offset) for p in shares[id(b)]] == [("one", 6)]
    assert (shares[id(a)][0].metadata, shares[id(a)][0].leader_epoch) == ("note", 7)


def test_gather_answers_in_the_order_asked(two):
    parts = [TopicPartition(B1, 1), TopicPartition(A2, 0), TopicPartition(A1, 3)]
    answers = two.gather(parts, lambda client, share: client.committed(share, 1))
    assert [(p.channel, p.topic, p.partition, p.offset) for p in answers] == [
        (B1, "one", 1, 11),
        (A2, "two", 0, 10),
        (A1, "one", 3, 13),
    ]


def test_two_channels_of_one_topic_are_told_apart_where_asked(fake, caplog):
    """Both are the same topic: a partition comes back under the channel it was asked by."""
    members = Members()
    place = Place("fake", {"bootstrap.servers": "A"})
    origins = {}
    one = Member(place, fake.fake_consumer(place.config, origins), origins)
    one.serve([route(A1, "t", "A"), route(A2, "t", "A")])
    members.all = (one,)
    assert A1 in caplog.text
    assert A2 in caplog.text
    [answer] = members.gather([TopicPartition(A2, 0)], lambda c, share: c.position(share))
    assert answer.channel == A2


def test_origins_stay_for_messages_on_their_way(fake):
    one = member(fake, "A", one=A1)
    one.serve([route(A2, "two", "A")])
    assert one.origins["one"].channel == A1
    assert one.topics == {A2: "two"}


def test_a_topic_that_changes_hands_is_reported_under_its_new_channel(fake):
    one = member(fake, "A", one=A1)
    one.serve([route(A2, "one", "A")])
    assert one.origins["one"].channel == A2


# Turns.


def read(fair, members, count, seconds=0.02):
    found = []
    until = time.monotonic() + 10
    while len(found) < count and time.monotonic() < until:
        message = fair.ready(members) or fair.wait(members, seconds)
        if message is not None:
            found.append(message.topic())
    return found


def test_busy_members_take_turns(fake):
    members = [
        member(fake, cluster, **{f"t{cluster}": f"kafka://x/{cluster}"}) for cluster in "ABC"
    ]
    for each, topic in zip(members, ("tA", "tB", "tC"), strict=True):
        for _ in range(50):
            each.client.put(topic)
    found = read(FairPoll(), members, 150)
    for start in range(0, 150, 3):
        assert sorted(found[start : start + 3]) == ["tA", "tB", "tC"]


def test_a_quiet_member_is_heard_among_busy_ones(fake):
    busy, quiet = member(fake, "A", a=A1), member(fake, "B", b=B1)
    for _ in range(100_000):
        busy.client.put("a")
    fair = FairPoll()
    read(fair, [busy, quiet], 100)
    waits = []
    for _ in range(20):
        quiet.client.put("b")
        began = time.thread_time()  # both always answer at once: nothing to wait for
        while read(fair, [busy, quiet], 1) != ["b"]:
            pass
        waits.append(time.thread_time() - began)
    assert sorted(waits)[10] < 0.02


def test_an_idle_member_costs_a_busy_one_little(fake):
    busy, quiet = member(fake, "A", a=A1), member(fake, "B", b=B1)
    for _ in range(20_000):
        busy.client.put("a")
    began = time.monotonic()
    read(FairPoll(), [busy, quiet], 20_000)
    took = time.monotonic() - began
    # At most one look every 5 ms, plus the first.
    assert quiet.client.polls <= took / 0.005 + 2


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_round_over_idle_members_is_shorter_than_the_promise(fake, count):
    members = [member(fake, str(n), **{f"t{n}": f"kafka://x/{n}"}) for n in range(count)]
    fair = FairPoll()
    slices = []
    for each in members:
        poll = each.client.poll
        each.client.poll = lambda timeout, poll=poll: (slices.append(timeout), poll(timeout))[1]
    for _ in range(count):
        assert fair.wait(members, fair.slice_of(members)) is None
    assert sum(slices) < 0.05
    assert [each.client.polls for each in members] == [1] * count


def test_a_round_over_very_many_members_still_ends(fake):
    members = [member(fake, str(n), **{f"t{n}": f"kafka://x/{n}"}) for n in range(40)]
    assert FairPoll().slice_of(members) == 0.001


def batch(fair, members, wanted, seconds=0.02):
    chosen = Batch(wanted)
    fair.gather(members, chosen, seconds)
    fair.hand_out(members, chosen)
    return [message.topic() for message in chosen.found]


def test_batches_give_equal_shares(fake):
    busy, other = member(fake, "A", a=A1), member(fake, "B", b=B1)
    for _ in range(100):
        busy.client.put("a")
        other.client.put("b")
    found = batch(FairPoll(), [busy, other], 20)
    assert (found.count("a"), found.count("b")) == (10, 10)


def test_a_batch_fills_up_from_who_has_messages(fake):
    busy, quiet = member(fake, "A", a=A1), member(fake, "B", b=B1)
    for _ in range(100):
        busy.client.put("a")
    fair = FairPoll()
    found = []
    until = time.monotonic() + 5
    while len(found) < 40 and time.monotonic() < until:
        found += batch(fair, [busy, quiet], 40 - len(found))
    assert len(found) == 40


def test_a_batch_of_one_takes_turns(fake):
    busy, other = member(fake, "A", a=A1), member(fake, "B", b=B1)
    for _ in range(20):
        busy.client.put("a")
        other.client.put("b")
    fair = FairPoll()
    found = [topic for _ in range(20) for topic in batch(fair, [busy, other], 1)]
    assert abs(found.count("a") - found.count("b")) <= 1


def test_what_was_read_before_a_callback_raised_is_kept(fake):
    busy, other = member(fake, "A", a=A1), member(fake, "B", b=B1)
    busy.client.put("a")
    other.client.inbox.append(RuntimeError("from a callback"))
    fair = FairPoll()
    chosen = Batch(10)
    with pytest.raises(RuntimeError, match="from a callback"):
        for _ in range(2):
            fair.gather([busy, other], chosen, 0.02)
    assert chosen.found == []
    fair.hand_out([busy, other], chosen)
    assert [message.topic() for message in chosen.found] == ["a"]
