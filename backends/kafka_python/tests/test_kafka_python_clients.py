"""The kafka-python backend's own promises, on the embedded cluster."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter
from typing import Any, cast

import pytest

from kafkaroute.errors import KafkaException, UnsupportedFeature
from kafkaroute.messages import OFFSET_INVALID, KafkaError, TopicPartition
from kafkaroute.testing.embedded import KAFKA_PYTHON_SETTINGS, EmbeddedCluster
from kafkaroute_kafka_python import KafkaPythonBackend
from kafkaroute_kafka_python.consuming import committer as committer_module
from kafkaroute_kafka_python.consuming.positions import native_partition
from kafkaroute_kafka_python.fast import appender as appender_module
from kafkaroute_kafka_python.fast.appender import LeanAppender
from kafkaroute_kafka_python.producing.appender import PublicAppender

from . import kafka_python_world
from .kafka_python_world import Clients, read

clients = kafka_python_world.clients
pytestmark = pytest.mark.embedded
PRODUCE = 0  # Kafka's number of the request
MESSAGE_TOO_LARGE = 10


def test_fast_appender_is_what_this_kafka_python_gets(clients: Clients) -> None:
    producer = clients.producer()
    producer.sender(clients.cluster.new_topic())(b"v")
    assert producer.flush(10) == 0
    assert isinstance(producer._append, LeanAppender)


@pytest.fixture
def without_private_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> None:
        raise UnsupportedFeature("another version")

    monkeypatch.setattr(appender_module, "require", gone)


@pytest.mark.usefixtures("without_private_parts")
def test_public_calls_do_the_work_where_private_parts_are_gone(clients: Clients) -> None:
    topic = clients.cluster.new_topic()
    producer = clients.producer()
    send, seen = producer.sender(topic), []
    for number in range(100):
        send(str(number), b"k", -1, lambda *told: seen.append(told), 1234, {"h": "x"})
    assert producer.flush(20) == 0
    assert isinstance(producer._append, PublicAppender)
    assert [error for error, _ in seen] == [None] * 100
    assert [message.offset() for _, message in seen] == list(range(100))
    messages = read(clients.consumer(topic), 100)
    assert [message.value() for message in messages] == [str(n).encode() for n in range(100)]
    assert messages[0].headers() == [("h", b"x")]
    with pytest.raises(UnsupportedFeature):
        send(None, None)
    assert len(producer) == 0


@pytest.mark.parametrize("partitions_known", [True, False])
def test_order_is_kept_across_the_wait_for_metadata(
    clients: Clients, partitions_known: bool
) -> None:
    topic = clients.cluster.new_topic()
    producer = clients.producer(linger_ms=0)
    send = producer.sender(topic)
    if partitions_known:
        send(b"first", b"k")
        assert producer.flush(10) == 0
    for number in range(3000):
        send(str(number), b"k")
        if number == 1500:
            time.sleep(0.2)
    assert producer.flush(20) == 0
    values = [message.value() for message in read(clients.consumer(topic), 3000 + partitions_known)]
    assert values[partitions_known:] == [str(number).encode() for number in range(3000)]


def test_many_threads_produce_at_once(clients: Clients) -> None:
    topic = clients.cluster.new_topic(4)
    producer = clients.producer(linger_ms=1)
    send, seen = producer.sender(topic), Counter()

    def work(name: int) -> None:
        for number in range(500):
            send(f"{name}:{number}", str(name), -1, lambda error, _: seen.update([error]))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert producer.flush(20) == 0
    assert seen == {None: 2000}
    last: dict[str, int] = {}
    for message in read(clients.consumer(topic, 4), 2000):
        value = message.value()
        assert value is not None
        name, number = value.decode().split(":")
        assert int(number) == last.get(name, -1) + 1
        last[name] = int(number)


def test_batch_too_large_for_the_broker_is_sent_in_halves(clients: Clients) -> None:
    topic = clients.cluster.new_topic()
    # One request in flight, as everywhere where order matters while requests are refused.
    producer = clients.producer(linger_ms=50, max_in_flight_requests_per_connection=1)
    send, seen = producer.sender(topic), []
    send(b"first", b"k")
    assert producer.flush(10) == 0
    clients.cluster.push_request_errors(PRODUCE, [MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE])
    for number in range(40):
        callback = (lambda *told: seen.append(told)) if number % 2 else None
        send(str(number), b"k", -1, callback)
    assert producer.flush(20) == 0
    assert len(producer) == 0
    assert [error for error, _ in seen] == [None] * 20
    assert [message.offset() for _, message in seen] == list(range(2, 42, 2))
    values = [message.value() for message in read(clients.consumer(topic), 41)[1:]]
    assert values == [str(number).encode() for number in range(40)]


def test_batches_hold_no_more_messages_than_asked(clients: Clients) -> None:
    producer = clients.producer(linger_ms=200, batch_num_messages=10)
    send = producer.sender(clients.cluster.new_topic())
    send(b"first", b"k")
    assert producer.flush(10) == 0
    for number in range(35):
        send(str(number), b"k")
    sizes = [len(batch.entries) for batch in producer._opener.native._accumulator._incomplete.all()]
    assert producer.flush(10) == 0
    assert max(sizes) <= 10


def test_more_partitions_are_used_once_they_are_known(clients: Clients) -> None:
    topic = clients.cluster.new_topic(2)
    producer = clients.producer()
    send = producer.sender(topic)
    send(b"v", b"k")
    assert producer.flush(10) == 0
    state = producer._keeper.topics[topic]
    assert state.count == 2
    cluster = producer._opener.client.cluster
    partitions = cluster._partitions[topic]
    cluster._partitions[topic] = dict.fromkeys(range(6), partitions[0])
    producer._keeper._metadata_changed(cluster)
    assert state.count == 6
    assert len({state.choose(str(number).encode(), 0.0) for number in range(200)}) == 6


def test_refused_connections_leave_no_socket_behind() -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = nobody_listens.getsockname()[1]
        seen: list[KafkaError] = []
        producer = KafkaPythonBackend().open_producer(
            {
                "bootstrap.servers": f"127.0.0.1:{port}",
                "message.timeout.ms": 3000,
                "error_cb": seen.append,
                **KAFKA_PYTHON_SETTINGS,
            }
        )
        reports: list[Any] = []
        began = time.monotonic()
        producer.sender("t")(b"v", b"k", -1, lambda error, _: reports.append(error.code()))
        assert time.monotonic() - began < 2.5, "it waited until the message was too old"
        assert producer.flush(20) == 0
        assert reports == [KafkaError._MSG_TIMED_OUT]
        assert producer.close(1) == 0
    assert KafkaError._ALL_BROKERS_DOWN in {error.code() for error in seen}
    # An unclosed socket is a ResourceWarning, and that a failure here.


def test_address_family_is_honoured(clients: Clients) -> None:
    producer = clients.producer(broker_address_family="v4")
    producer.sender(clients.cluster.new_topic())(b"v")
    assert producer.flush(10) == 0
    stranded = clients.producer(broker_address_family="v6", message_timeout_ms=300)
    stranded.sender("t")(b"v")
    assert stranded.flush(0.2) == 1
    assert stranded.flush(10) == 0


def test_poll_without_time_costs_little_on_an_idle_consumer(clients: Clients) -> None:
    topic = clients.cluster.new_topic()
    consumer = clients.consumer(topic)
    assert consumer.poll(0.5) is None
    took = []
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(100):
            assert consumer.poll(0) is None
        took.append((time.perf_counter() - began) / 100)
    # 240 µs each if every call went to kafka-python, a hundredth of it as it is. The best of
    # twenty, for other processes take their time as well.
    assert min(took) < 120e-6


def test_commit_for_an_unknown_topic_fails_at_once(clients: Clients) -> None:
    topic = clients.cluster.new_topic()
    consumer = clients.consumer(topic)
    wrong = TopicPartition(topic, 99, 5)
    began = time.monotonic()
    with pytest.raises(KafkaException) as caught:
        consumer.commit([wrong], False)
    assert caught.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    answers = consumer.commit([TopicPartition(topic, 0, 1), wrong], False)
    assert answers is not None
    codes = {answer.partition: answer.error and answer.error.code() for answer in answers}
    assert codes == {0: None, 99: KafkaError.UNKNOWN_TOPIC_OR_PART}
    assert time.monotonic() - began < 10


def test_seek_back_forgets_the_position_and_commits_nothing_backwards(clients: Clients) -> None:
    topic = clients.cluster.new_topic()
    send = (producer := clients.producer()).sender(topic)
    for number in range(10):
        send(str(number))
    assert producer.flush(10) == 0
    consumer = clients.consumer(topic, enable_auto_commit=False, group_id=topic)
    partition = TopicPartition(topic, 0)
    read(consumer, 10)
    consumer.commit(None, False)
    consumer.seek(TopicPartition(topic, 0, 0))
    assert consumer.position([partition])[0].offset == OFFSET_INVALID
    read(consumer, 3)
    assert consumer.position([partition])[0].offset == 3
    with pytest.raises(KafkaException) as caught:
        consumer.commit(None, False)
    assert caught.value.args[0].code() == KafkaError._NO_OFFSET
    assert consumer.committed([partition], 10)[0].offset == 10


@pytest.mark.parametrize("by_timer", [True, False])
def test_auto_commit_with_and_without_the_timer(
    clients: Clients, by_timer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_timer:
        monkeypatch.setattr(committer_module, "private", lambda *_: None)
    topic = clients.cluster.new_topic()
    send = (producer := clients.producer()).sender(topic)
    send(b"v")
    assert producer.flush(10) == 0
    consumer = clients.consumer(topic, auto_commit_interval_ms=100, group_id=topic)
    read(consumer, 1)
    deadline = time.monotonic() + 10
    offset = OFFSET_INVALID
    while offset != 1 and time.monotonic() < deadline:
        if by_timer:
            time.sleep(0.1)  # the application is busy
        else:
            consumer.poll(0.1)
        offset = consumer.committed([TopicPartition(topic, 0)], 10)[0].offset
    assert offset == 1


def test_close_waits_for_commits_under_way(clients: Clients) -> None:
    topic = clients.cluster.new_topic()
    seen: list[Any] = []
    consumer = clients.consumer(
        topic, group_id=topic, on_commit=lambda *told: seen.append(told), enable_auto_commit=False
    )
    consumer.commit([TopicPartition(topic, 0, 7)], True)
    consumer.close()
    [(error, [partition])] = seen
    assert (error, partition.offset) == (None, 7)
    onlooker = clients.consumer(topic, group_id=topic)
    assert onlooker.committed([TopicPartition(topic, 0)], 10)[0].offset == 7


def test_error_in_a_callback_of_the_group_leaves_poll(clients: Clients) -> None:
    topic = clients.cluster.new_topic()
    consumer = clients.consumer(topic, session_timeout_ms=6000)
    consumer.unassign()

    def bad(_: list[TopicPartition]) -> None:
        raise LookupError("mine")

    consumer.subscribe([topic], bad, None, None)
    deadline = time.monotonic() + 20
    with pytest.raises(LookupError, match="mine"):
        while time.monotonic() < deadline:
            consumer.poll(0.1)
    assert [partition.topic for partition in consumer.assignment()] == [topic]


def test_credentials_are_in_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    from kafkaroute_kafka_python.library import SaslAuthenticateRequest
    from kafkaroute_kafka_python.logs import protect_logs

    protect_logs("dora", "s3cr3t")
    log = logging.getLogger("kafka.net.connection")
    request = SaslAuthenticateRequest(b"n,,n=someone,r=nonce")
    log.debug("%s Request %d: %s", "conn", 3, request)
    log.info("Authenticated as %s via SASL / Plain", "dora")
    log.error("refused: dora:s3cr3t")
    text = caplog.text
    assert "Request 3: SaslAuthenticateRequest(***)" in text
    assert not [secret for secret in ("someone", "dora", "s3cr3t") if secret in text]


def test_what_is_still_to_be_sent_leaves_no_socket_open(clients: Clients) -> None:
    """The library closes a connection after its last bytes; here they find no way out."""
    producer = clients.producer()
    send = producer.sender(clients.cluster.new_topic())
    send(b"first")
    assert producer.flush(10) == 0
    client: Any = producer._opener.client
    sockets = list(client._net._sockets)
    assert sockets
    for connection in client._manager._conns.values():
        if connection.transport is not None:
            connection.transport._write_buffer.append(b"more")
    producer.close(0)
    assert [one.fileno() for one in sockets] == [-1] * len(sockets)


def test_a_dead_cluster_is_polled_without_a_wait(clients: Clients) -> None:
    """The library takes its back-off whatever time it is given; another cluster's messages would
    wait for it (10 a second were read)."""
    with EmbeddedCluster() as mortal:
        topic = mortal.new_topic()
        servers = mortal.bootstrap_servers
        dead = clients.consumer(topic, bootstrap_servers=servers, heartbeat_interval_ms=300)
        dead.unassign()
        dead.subscribe([topic], None, None, None)
        until = time.monotonic() + 20
        while not dead.assignment():
            assert time.monotonic() < until
            dead.poll(0.1)
    coordinator = cast(Any, dead)._reader._coordinator
    while coordinator.coordinator_id is not None:
        assert time.monotonic() < until
        dead.poll(0.1)
    began, calls = time.monotonic(), 0
    while time.monotonic() < began + 3:
        dead.poll(0)
        calls += 1
        time.sleep(0.002)
    assert calls > 150, "30 if each took the back-off"


def test_committed_is_not_an_answer_to_an_older_question(clients: Clients) -> None:
    """The library shares answers under way, and keeps those that came too late."""
    topic = clients.cluster.new_topic()
    consumer = clients.consumer(topic, group_id="of its own")
    assert consumer.poll(0.5) is None
    where = TopicPartition(topic, 0)
    consumer.commit([TopicPartition(topic, 0, 3)], False)
    coordinator = cast(Any, consumer)._reader._native._coordinator
    stale = coordinator._manager.call_soon(
        coordinator._send_offset_fetch_request, [native_partition(where)]
    )
    key = frozenset([native_partition(where)])
    coordinator._offset_fetch_futures[key] = stale
    while not stale.is_done:
        consumer.poll(0.05)
    consumer.commit([TopicPartition(topic, 0, 5)], False)
    assert [one.offset for one in consumer.committed([where], 10)] == [5]
