"""Places: what people read of them, what differs, and whether a cluster's answer makes one usable."""

import copy
import pickle

import pytest

from kafkaroute import KafkaError, Message, Spot, TopicPartition
from kafkaroute.messages import ClusterMetadata, Origin, PartitionMetadata, TopicMetadata
from kafkaroute.places import Place, check_place, login_change, spot_of
from kafkaroute.route import Route

LOGIN = {"sasl.username": "u", "sasl.password": "p"}
BASE = {"bootstrap.servers": "a:1", "acks": "all"}


def route(topic, **more):
    return Route(
        channel="kafka://example.com/x",
        topic=topic,
        connection={"bootstrap.servers": "a:1"},
        credentials={},
        configuration={},
        **more,
    )


def test_a_spot_prefers_what_the_cluster_told():
    place = Place("b", BASE)
    assert spot_of(place, "t") == Spot("a:1", "t")
    named = route("t", cluster_id="promised", generation=3)
    assert spot_of(place, "t", route=named) == Spot("a:1", "t", "promised", 3)
    told = spot_of(place, "t", route=named, cluster_id="told")
    assert told == Spot("a:1", "t", "told", 3)


def test_only_a_changed_login_is_a_login_change():
    old = Place("b", BASE | LOGIN)
    new = Place("b", BASE | LOGIN | {"sasl.password": "q"})
    assert login_change(old, new) == ("u", "q")
    assert login_change(Place("b", BASE), new) == ("u", "q")  # the first login of a client
    assert login_change(old, Place("b", BASE)) is None  # it has none any more
    assert login_change(old, Place("c", new.config)) is None
    assert login_change(old, Place("b", new.config | {"acks": "1"})) is None


def answer(topic=None, cluster_id="A"):
    return ClusterMetadata(cluster_id, 1, {}, {} if topic is None else {"t": topic})


GOOD = TopicMetadata("t", {0: PartitionMetadata(0, 1, [1], [1], None)}, None)
REFUSED = TopicMetadata("t", {}, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))


@pytest.mark.parametrize("to_read", [True, False])
@pytest.mark.parametrize(
    ("told", "wanted", "code"),
    [
        (answer(GOOD), None, None),
        (answer(GOOD), "A", None),
        (answer(GOOD, None), "A", None),  # a cluster without an id to tell
        (answer(GOOD), "B", KafkaError._CONFLICT),
        (answer(REFUSED), "A", KafkaError.TOPIC_AUTHORIZATION_FAILED),
    ],
)
def test_what_a_cluster_says_of_a_topic(told, wanted, code, to_read):
    error = check_place(told, "t", wanted, to_read=to_read)
    assert (error and error.code()) == code


@pytest.mark.parametrize("topic", [None, TopicMetadata("t", {}, None)])
def test_a_topic_that_is_not_there_may_be_written_but_not_read(topic):
    assert check_place(answer(topic), "t", None, to_read=False) is None
    error = check_place(answer(topic), "t", None, to_read=True)
    assert error.code() == KafkaError._UNKNOWN_TOPIC


def test_what_is_pickled_tells_no_secret():
    place = Place("b", BASE | LOGIN | {"oauth_cb": lambda: None, "sasl.password": "s3cr3t"})
    origin = Origin("kafka://example.com/x", place)
    partition = TopicPartition("t", 3, 7)
    partition.channel, partition.place = origin.channel, place
    message = Message("t", 3, 7, b"k", b"v", origin=origin)
    for one in (origin, partition, message, [partition, message]):
        written = pickle.dumps(one)
        assert b"s3cr3t" not in written
        assert b"a:1" not in written
    again = pickle.loads(pickle.dumps(partition))
    assert (again, again.channel, again.place) == (partition, origin.channel, None)
    assert pickle.loads(pickle.dumps(message)).channel() == origin.channel
    assert copy.deepcopy(partition).place is place
    assert copy.copy(origin).place is place
