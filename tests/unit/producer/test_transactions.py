"""Transactions: which cluster they live on, and what is refused, over fake clients."""

import gc
import time
import weakref

import pytest

from kafkaroute import ClosedError, KafkaError, KafkaException, TopicPartition, UnsupportedFeature
from kafkaroute.groups import GroupMetadata
from kafkaroute.messages import ClusterMetadata
from kafkaroute.producer.transactions import Transactions


class FakeClient:
    def __init__(self, cluster="A"):
        self.cluster = cluster
        self.calls = []
        self.fail_commit = None

    def init_transactions(self, timeout):
        self.calls.append(("init", timeout))

    def begin_transaction(self):
        self.calls.append("begin")

    def commit_transaction(self, timeout):
        if self.fail_commit:
            raise self.fail_commit
        self.calls.append(("commit", timeout))

    def abort_transaction(self, timeout):
        self.calls.append(("abort", timeout))

    def send_offsets_to_transaction(self, offsets, group, timeout):
        self.calls.append(("offsets", [repr(tp) for tp in offsets], group, timeout))

    def list_topics(self, topic, timeout):
        return ClusterMetadata(self.cluster, 1, {}, {})


def nowhere(channel):
    raise AssertionError(f"{channel} was asked for")


@pytest.fixture
def clients():
    return [FakeClient("A"), FakeClient("B")]


@pytest.fixture
def transactions(clients):
    return Transactions(list, nowhere)


def refused(call, *args):
    with pytest.raises(KafkaException) as caught:
        call(*args)
    assert caught.value.args[0].code() == KafkaError._STATE
    return caught.value.args[0].str()


def test_one_transaction(transactions, clients):
    a, _ = clients
    transactions.init(7)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")
    transactions.bind(a, "kafka://x/b")
    transactions.commit(3)
    assert a.calls == [("init", 7), "begin", ("commit", 3)]


def test_initialised_once_and_only_when_used(transactions, clients):
    a, b = clients
    transactions.init(7)
    for client in (a, a, b):
        transactions.begin()
        transactions.bind(client, "kafka://x/a")
        transactions.abort(1)
    assert a.calls.count(("init", 7)) == 1
    assert b.calls == [("init", 7), "begin", ("abort", 1)]


def test_clients_there_at_init_are_initialised_at_once(clients):
    transactions = Transactions(lambda: clients, nowhere)
    transactions.init(7)
    assert [client.calls for client in clients] == [[("init", 7)], [("init", 7)]]


def test_another_cluster_inside_is_refused(transactions, clients):
    a, b = clients
    transactions.init(1)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")
    told = refused(transactions.bind, b, "kafka://x/b")
    assert "kafka://x/b" in told
    assert "cannot span clusters" in told
    assert b.calls == []
    transactions.commit(1)
    transactions.begin()
    transactions.bind(b, "kafka://x/b")
    assert "begin" in b.calls


def test_outside_and_twice(transactions, clients):
    a, _ = clients
    transactions.init(1)
    assert "begin_transaction" in refused(transactions.bind, a, "kafka://x/a")
    assert "no transaction" in refused(transactions.commit, 1)
    assert "no transaction" in refused(transactions.abort, 1)
    assert "no transaction" in refused(transactions.send_offsets, [], None, 1)
    transactions.begin()
    assert "open already" in refused(transactions.begin)


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_an_empty_transaction_touches_no_cluster(transactions, end):
    transactions.init(1)
    transactions.begin()
    getattr(transactions, end)(1)
    transactions.begin()


def test_a_failed_commit_leaves_the_transaction_open(transactions, clients):
    a, _ = clients
    transactions.init(1)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")
    a.fail_commit = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    with pytest.raises(KafkaException, match="TIMED_OUT"):
        transactions.commit(1)
    a.fail_commit = None
    transactions.commit(1)
    assert a.calls[-1] == ("commit", 1)


def test_offsets_of_a_group_on_the_same_cluster(transactions, clients):
    a, _ = clients
    transactions.init(1)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")
    group = GroupMetadata(
        "native", lambda: "A", lambda tp: tp.topic or "from-channel", channel="kafka://h/c"
    )
    transactions.send_offsets(
        [TopicPartition("kafka://x/in", 0, 5), TopicPartition("t", 1, 6)], group, 2
    )
    assert a.calls[-1] == (
        "offsets",
        ["TopicPartition(from-channel[0]@5)", "TopicPartition(t[1]@6)"],
        "native",
        2,
    )


def group_on(cluster, moving=False):
    return GroupMetadata(
        "native", lambda: cluster, lambda tp: tp.topic, lambda: moving, channel="kafka://h/c"
    )


OFFSETS = [TopicPartition("t", 0, 5)]


def test_offsets_of_a_group_on_another_cluster(transactions, clients):
    a, _ = clients
    transactions.init(1)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")
    with pytest.raises(UnsupportedFeature, match="another cluster"):
        transactions.send_offsets(OFFSETS, group_on("B"), 2)
    assert a.calls[-1] == "begin"


def test_offsets_of_a_group_that_went_to_another_cluster(clients):
    """The producer follows soon; the application aborts, and goes on."""
    a, _ = clients
    transactions = Transactions(list, nowhere, patience=0.2)
    transactions.init(1)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")
    transactions.send_offsets(OFFSETS, group_on("A"), 2)
    with pytest.raises(KafkaException, match="moving") as caught:
        transactions.send_offsets(OFFSETS, group_on("B"), 2)
    assert caught.value.args[0].txn_requires_abort()
    time.sleep(0.3)
    with pytest.raises(KafkaException, match="moving"):
        transactions.send_offsets(OFFSETS, group_on("B", moving=True), 2)
    with pytest.raises(UnsupportedFeature, match="another cluster"):
        transactions.send_offsets(OFFSETS, group_on("B"), 2)


def test_a_producer_leaves_after_the_consumer_it_serves(transactions, clients):
    a, _ = clients
    later = time.monotonic() + 60
    assert transactions.may_leave("A", "B", later)
    transactions.init(1)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")
    where, moving = ["A"], [True]
    group = GroupMetadata(
        "n", lambda: where[0], lambda tp: tp.topic, lambda: moving[0], channel="kafka://h/c"
    )
    transactions.send_offsets(OFFSETS, group, 2)
    assert not transactions.may_leave("A", "B", 0)
    assert transactions.may_leave("A", "A", later)
    assert transactions.may_leave("A", None, later)
    moving[0] = False
    assert not transactions.may_leave("A", "B", later)
    assert transactions.may_leave("A", "B", time.monotonic())
    where[0] = "B"
    assert transactions.may_leave("A", "B", later)

    def closed():
        raise ClosedError("closed")

    group.cluster_id = closed
    assert transactions.may_leave("A", "B", later)


def test_a_cluster_that_is_left_need_not_answer_an_abort(clients):
    a, b = clients
    transactions = Transactions(lambda: clients, nowhere, drain_timeout=0.5)
    transactions.init(1)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")
    asked = []

    def fail(timeout):
        asked.append(timeout)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    a.abort_transaction = fail
    with pytest.raises(KafkaException, match="TIMED_OUT"):
        transactions.abort(-1)
    done = []
    transactions.between(lambda: True, lambda: done.append(1))
    transactions.abort(-1)
    assert (asked, done) == ([-1, 0.5], [1])
    transactions.begin()
    transactions.bind(b, "kafka://x/a")


def test_what_is_done_between_transactions(transactions, clients):
    done, permitted = [], [False]
    transactions.between(lambda: True, lambda: done.append(1))
    assert done == [1]
    transactions.init(1)
    transactions.begin()
    transactions.between(lambda: True, lambda: done.append(2))
    transactions.between(lambda: permitted[0], lambda: done.append(3))
    transactions.run_waiting()
    assert done == [1]
    transactions.commit(1)
    assert done == [1, 2]
    permitted[0] = True
    transactions.run_waiting()
    assert done == [1, 2, 3]
    transactions.run_waiting()
    assert done == [1, 2, 3]


def test_offsets_first_when_one_client_is_there(clients):
    a, b = clients
    one = Transactions(lambda: [a], nowhere)
    one.init(1)
    one.begin()
    one.send_offsets([TopicPartition("t", 0, 5)], "native", 2)
    assert a.calls[-2:] == ["begin", ("offsets", ["TopicPartition(t[0]@5)"], "native", 2)]

    both = Transactions(lambda: [a, b], nowhere)
    both.init(1)
    both.begin()
    assert "no cluster is chosen" in refused(both.send_offsets, [], "native", 2)


def test_closing_aborts_what_is_open_within_the_time_given(transactions, clients):
    a, _ = clients
    transactions.init(1)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")
    transactions.abandon(2.5)
    assert a.calls[-1] == ("abort", 2.5)
    transactions.abandon(2.5)
    assert a.calls.count(("abort", 2.5)) == 1


def test_closing_goes_on_when_the_abort_fails(transactions, clients):
    a, _ = clients
    transactions.init(1)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")

    def fail(timeout):
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    a.abort_transaction = fail
    transactions.abandon(0.1)
    assert "begin_transaction" in refused(transactions.bind, a, "kafka://x/a")


def test_closing_with_nothing_open(transactions):
    transactions.init(1)
    transactions.abandon(1)


def test_the_child_of_a_fork_starts_anew(transactions, clients):
    a, b = clients
    transactions.init(1)
    transactions.begin()
    transactions.bind(a, "kafka://x/a")
    transactions.after_fork_in_child()
    transactions.begin()
    transactions.bind(b, "kafka://x/a")
    assert b.calls == [("init", 1), "begin"]
    assert a.calls == [("init", 1), "begin"]


def test_nothing_moves_while_a_client_is_initialised(clients):
    """init_transactions() asks a cluster, and the client must not be closed meanwhile."""
    done, seen = [], []
    transactions = Transactions(lambda: clients[:1], nowhere)

    def init(timeout):
        transactions.between(lambda: True, lambda: done.append(1))
        seen.append(list(done))

    clients[0].init_transactions = init
    transactions.init(7)
    assert seen == [[]]
    assert done == [1]


def test_clients_that_are_gone_are_forgotten():
    client = FakeClient()
    transactions = Transactions(list, nowhere)
    transactions.begin()
    transactions.bind(client, "kafka://x/a")
    transactions.abort(1)
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
