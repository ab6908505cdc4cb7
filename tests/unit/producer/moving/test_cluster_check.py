"""`cluster_id` of an answer: nothing is written before the cluster has told that it is the one."""

import threading
import time

import pytest

from kafkaroute import KafkaError, KafkaException, Producer

from ..producer_world import A2, A, B, Reports, held, move, sent, wait_for

RIGHT, WRONG = {"cluster_id": "A:1"}, {"cluster_id": "other"}
CONFLICT = KafkaError._CONFLICT


@pytest.fixture
def away(fake):
    """Cluster A answers no question until it is discarded from this set."""
    fake.backend.unreachable.add("A:1")
    return fake.backend.unreachable


def proving():
    return [one for one in threading.enumerate() if one.name == "kafkaroute-proving"]


@pytest.fixture
def producer(fake):
    with Producer(fake.settings(ttl=60)) as producer:
        yield producer
    assert proving() == []


def settled(producer):
    wait_for(lambda: not producer._dispatch.cluster_check.active)


def test_the_right_cluster_is_written_in_order(fake, producer):
    fake.put(A, "ta", "A", **RIGHT)
    reports = Reports()
    for number in range(50):
        producer.produce(A, b"%d" % number, on_delivery=reports)
        time.sleep(0.0005)
    assert producer.flush(5) == 0
    wanted = [b"%d" % number for number in range(50)]
    assert sent(fake.on("A")) == wanted
    assert reports.codes == {value: [None] for value in wanted}
    assert fake.on("A").calls.count(("list_topics", None)) == 1


def test_afterwards_the_native_client_is_called_directly(fake, producer):
    fake.put(A, "ta", "A", **RIGHT)
    fake.put(A2, "ta2", "A", **RIGHT)
    fake.put(B, "tb", "B")
    for channel in (A, A2, B):
        producer.produce(channel, b"1")
    settled(producer)
    for channel in (A, A2, B):
        producer.produce(channel, b"2")
        assert held(producer, channel) == 0
    assert sorted(sent(fake.on("A"))) == [b"1", b"1", b"2", b"2"]
    assert fake.on("A").calls.count(("list_topics", None)) == 1
    producer.poll(0)
    producer.poll(0)
    assert not producer._dispatch.table.busy


def test_without_a_cluster_id_nobody_is_asked(fake, producer):
    fake.put(A, "ta", "A")
    producer.produce(A, b"1")
    assert sent(fake.on("A")) == [b"1"]
    assert fake.on("A").calls == []


def test_another_cluster_is_not_written(fake, producer, caplog, away):
    fake.put(A, "ta", "A", **WRONG)
    reports = Reports()
    producer.produce(A, b"1", on_delivery=reports)
    away.clear()
    settled(producer)
    with pytest.raises(
        KafkaException, match="lead to cluster A:1, and the catalog says other"
    ) as e:
        producer.produce(A, b"2", on_delivery=reports)
    assert e.value.args[0].code() == CONFLICT
    assert producer.flush(5) == 0
    assert reports.codes == {b"1": [CONFLICT]}
    assert sent(fake.on("A")) == []
    assert "lead to cluster A:1, and the catalog says other" in caplog.text
    with pytest.raises(KafkaException, match="lead to cluster"):
        producer.channel(A).produce(b"3")


def test_a_channel_that_joins_a_client_is_compared_as_well(fake, producer):
    fake.put(A, "ta", "A", **RIGHT)
    fake.put(A2, "ta2", "A", **WRONG)
    producer.produce(A, b"1")
    settled(producer)
    with pytest.raises(KafkaException, match="catalog says other"):
        producer.produce(A2, b"2")
    producer.produce(A, b"3")
    assert sent(fake.on("A")) == [b"1", b"3"]


def test_a_catalog_that_corrects_itself_is_followed(fake, producer, away):
    fake.put(A, "ta", "A", **WRONG)
    producer.produce(A, b"1")
    away.clear()
    settled(producer)
    move(fake, producer, A, "ta", "B", cluster_id="B:1")
    wait_for(lambda: producer.routes()[A].spot.bootstrap_servers == "B:1")
    producer.produce(A, b"2")
    wait_for(lambda: sent(fake.on("B")) == [b"2"])


def test_the_first_produce_does_not_wait_for_a_dead_cluster(fake, producer, away):
    fake.put(A, "ta", "A", **RIGHT)
    began = time.monotonic()
    for number in range(100):
        producer.produce(A, b"%d" % number)
    assert time.monotonic() - began < 10
    assert len(producer) == 100
    assert held(producer) == 100
    assert producer.flush(0.2) == 100
    assert sent(fake.on("A")) == []
    away.clear()
    assert producer.flush(5) == 0
    assert sent(fake.on("A")) == [b"%d" % number for number in range(100)]


def test_what_waits_for_a_dead_cluster_follows_the_channel(fake, producer, away):
    fake.put(A, "ta", "A", **RIGHT)
    producer.produce(A, b"1")
    move(fake, producer, A, "ta", "B", cluster_id="B:1")
    wait_for(lambda: producer.routes()[A].spot.bootstrap_servers == "B:1")
    producer.produce(A, b"2")
    wait_for(lambda: sent(fake.on("B")) == [b"1", b"2"])
    assert producer.flush(5) == 0
    assert away


def test_a_full_queue_is_told(fake, away):
    fake.put(A, "ta", "A", **RIGHT)
    config = {"queue.buffering.max.messages": 3}
    with Producer(fake.settings(client_config=config)) as producer:
        for _ in range(3):
            producer.produce(A, b"v")
        with pytest.raises(BufferError):
            producer.produce(A, b"v")
        away.clear()


def test_messages_get_no_older_than_in_the_clients_own_queue(fake, away):
    fake.put(A, "ta", "A", **RIGHT)
    reports = Reports()
    config = {"message.timeout.ms": 300}
    with Producer(fake.settings(client_config=config)) as producer:
        producer.produce(A, b"old", on_delivery=reports)
        time.sleep(0.25)
        producer.produce(A, b"young", on_delivery=reports)
        wait_for(lambda: producer.poll(0) or reports.codes)
        assert reports.codes.pop(b"old") == [KafkaError._MSG_TIMED_OUT]
        away.clear()
        producer.flush(5)
    assert reports.codes.keys() <= {b"young"}


def test_purge_and_close_fail_what_waits(fake, away):
    fake.put(A, "ta", "A", **RIGHT)
    reports = Reports()
    producer = Producer(fake.settings())
    producer.produce(A, b"1", on_delivery=reports)
    producer.purge()
    producer.poll(0)
    assert reports.codes == {b"1": [KafkaError._PURGE_QUEUE]}
    producer.produce(A, b"2", on_delivery=reports)
    assert producer.close(0) == 2
    assert reports.codes[b"2"] == [KafkaError._PURGE_QUEUE]
    assert proving() == []
    assert away


def test_a_callback_that_comes_when_the_client_reports_failures_only(fake, producer, away):
    fake.put(A, "ta", "A", **RIGHT)
    reports = Reports()
    producer.produce(A, b"1")
    producer.produce(A, b"2", on_delivery=reports)
    away.clear()
    assert producer.flush(5) == 0
    assert reports.codes == {b"2": [None]}
    assert sorted(value for client in fake.backend.producers for value in sent(client)) == [
        b"1",
        b"2",
    ]


@pytest.mark.parametrize("more", [{"redeliver": False}, {}])
def test_many_threads_lose_and_reorder_nothing(fake, more):
    fake.put(A, "ta", "A", **RIGHT)
    with Producer(fake.settings(**more)) as producer:
        start = threading.Barrier(4)

        def write(name):
            start.wait()
            for number in range(300):
                producer.produce(A, b"%d" % number, b"%d" % name)

        threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert producer.flush(10) == 0
        found = [(message[2], message[1]) for message in fake.on("A").sent]
        for name in range(4):
            mine = [value for key, value in found if key == b"%d" % name]
            assert mine == [b"%d" % number for number in range(300)]


def test_a_transaction_waits_for_the_answer(fake, away):
    config = {"transactional.id": "t"}
    fake.put(A, "ta", "A", **RIGHT)
    fake.put(B, "tb", "B", **WRONG)
    with Producer(fake.settings(client_config=config, timeout=0.3)) as producer:
        producer.init_transactions(channels=[A])
        producer.begin_transaction()
        with pytest.raises(KafkaException, match="does not say") as e:
            producer.produce(A, b"1")
        assert e.value.args[0].code() == KafkaError._TIMED_OUT
        with pytest.raises(KafkaException, match="lead to cluster B:1"):
            producer.produce(B, b"1")
        away.clear()
        producer.produce(A, b"2")
        producer.commit_transaction()
        assert sent(fake.on("A")) == [b"2"]
        assert sent(fake.on("B")) == []
