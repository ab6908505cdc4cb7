"""Transactions: visible as a whole or not at all."""

from __future__ import annotations

import pytest

from ...backend.contract import BackendProducer, Capability
from ...errors import KafkaException
from ...messages import OFFSET_INVALID, KafkaError, TopicPartition
from ..cluster import ClusterFeature
from .kit import PATIENCE, Kit, Reports
from .requirements import needs, requires

__all__ = ["TransactionTests"]


def _transactional(kit: Kit, name: str | None = None) -> BackendProducer:
    producer = kit.producer({"transactional.id": name or kit.name("tx"), "linger.ms": 0})
    producer.init_transactions(PATIENCE)
    return producer


class TransactionTests:
    @requires(Capability.TRANSACTIONS)
    def test_committed_messages_are_read(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = _transactional(kit)
        reports = Reports()
        for batch in ("a", "b"):
            producer.begin_transaction()
            send = producer.sender(topic)
            for number in range(3):
                send(f"{batch}{number}", b"k", -1, reports)
            producer.commit_transaction(PATIENCE)
        producer.poll(0)
        assert reports.codes == [None] * 6
        values = [message.value() for message in kit.read_all(topic, 6)]
        assert values == [b"a0", b"a1", b"a2", b"b0", b"b1", b"b2"]

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_aborted_messages_are_not_read(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = _transactional(kit)
        send = producer.sender(topic)
        producer.begin_transaction()
        send(b"aborted")
        producer.flush(PATIENCE)
        producer.abort_transaction(PATIENCE)
        producer.begin_transaction()
        send(b"committed")
        producer.commit_transaction(PATIENCE)
        assert [message.value() for message in kit.read_all(topic, 1)] == [b"committed"]

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_abort_fails_what_is_not_sent(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"before"])
        producer = kit.producer({"transactional.id": kit.name("tx"), "linger.ms": 5000})
        producer.init_transactions(PATIENCE)
        producer.begin_transaction()
        reports = Reports()
        producer.sender(topic)(b"aborted", b"k", -1, reports)
        producer.abort_transaction(PATIENCE)
        producer.poll(0)
        assert len(reports) == 1
        assert set(reports.codes) <= {
            KafkaError._PURGE_QUEUE,
            KafkaError._PURGE_INFLIGHT,
            None,  # it went out before the abort
        }
        assert [message.value() for message in kit.read_all(topic, 1)] == [b"before"]

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS, Capability.PURGE)
    def test_transaction_that_lost_a_message_can_only_be_aborted(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer({"transactional.id": kit.name("tx"), "linger.ms": 2000})
        producer.init_transactions(PATIENCE)
        producer.begin_transaction()
        reports = Reports()
        send = producer.sender(topic)
        send(b"written", b"k", -1, reports)
        assert producer.flush(PATIENCE) == 0
        send(b"purged", b"k", -1, reports)
        producer.purge(True, True, True)
        assert producer.flush(PATIENCE) == 0
        assert reports.codes[0] is None
        assert reports.codes[1] in {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}
        with pytest.raises(KafkaException) as caught:
            producer.commit_transaction(PATIENCE)
        assert caught.value.args[0].code() == KafkaError._INCONSISTENT
        assert caught.value.args[0].txn_requires_abort()
        producer.abort_transaction(PATIENCE)
        try:
            producer.begin_transaction()
            send(b"again", b"k", -1, reports)
            producer.commit_transaction(PATIENCE)
        except KafkaException as error:
            # librdkafka has counted the purged message; it asks for one more abort to start anew.
            assert error.args[0].txn_requires_abort()
            producer.abort_transaction(PATIENCE)
            producer.begin_transaction()
            send(b"again", b"k", -1, reports)
            producer.commit_transaction(PATIENCE)
        assert [message.value() for message in kit.read_all(topic, 1)] == [b"again"]

    @needs(ClusterFeature.ISOLATION, ClusterFeature.RESTART)
    @requires(Capability.TRANSACTIONS)
    def test_transaction_outlives_a_broker_that_hangs(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = _transactional(kit)
        producer.begin_transaction()
        send = producer.sender(topic)
        with kit.cluster.writes_hindered():
            send(b"slow")
            with pytest.raises(KafkaException) as caught:
                producer.commit_transaction(0.5)
            error = caught.value.args[0]
            assert (error.code(), error.retriable()) == (KafkaError._TIMED_OUT, True)
        producer.commit_transaction(PATIENCE)
        producer.begin_transaction()
        send(b"next")
        producer.commit_transaction(PATIENCE)
        assert [message.value() for message in kit.read_all(topic, 2)] == [b"slow", b"next"]

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_open_transaction_is_seen_by_read_uncommitted_only(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = _transactional(kit)
        producer.begin_transaction()
        producer.sender(topic)(b"open")
        assert producer.flush(PATIENCE) == 0
        impatient = kit.consumer({"isolation.level": "read_uncommitted"})
        impatient.assign([TopicPartition(topic, 0, 0)])
        assert kit.read(impatient, 1)[0].value() == b"open"
        by_default = kit.reader(topic)
        kit.expect_nothing(by_default, 0.5)
        here = TopicPartition(topic, 0)
        assert by_default.get_watermark_offsets(here, PATIENCE, False) == (0, 0)
        assert impatient.get_watermark_offsets(here, PATIENCE, False) == (0, 1)
        producer.commit_transaction(PATIENCE)
        assert kit.read(by_default, 1)[0].value() == b"open"

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_partition_end_is_found_behind_a_transaction_marker(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = _transactional(kit)
        producer.begin_transaction()
        producer.sender(topic)(b"v")
        producer.commit_transaction(PATIENCE)
        consumer = kit.consumer({"enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, 0, 0)])
        assert kit.read(consumer, 1)[0].offset() == 0
        assert kit.event(consumer, KafkaError._PARTITION_EOF).offset() == 2

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_offsets_are_committed_with_the_transaction(self, kit: Kit) -> None:
        source, target, group = kit.topic(), kit.topic(), kit.name("g")
        kit.write(source, [b"1", b"2", b"3"])
        consumer = kit.consumer({"enable.auto.commit": False}, group=group)
        messages = kit.join(consumer, [source])
        messages += kit.read(consumer, 3 - len(messages))
        producer = _transactional(kit)
        producer.begin_transaction()
        for message in messages:
            producer.sender(target)(message.value())
        positions = consumer.position(consumer.assignment())
        metadata = consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction(positions, metadata, PATIENCE)
        producer.commit_transaction(PATIENCE)
        assert kit.committed(group, source) == 3
        assert len(kit.read_all(target, 3)) == 3

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_offsets_of_an_aborted_transaction_are_not_committed(self, kit: Kit) -> None:
        source, group = kit.topic(), kit.name("g")
        kit.write(source, [b"1"])
        consumer = kit.consumer({"enable.auto.commit": False}, group=group)
        messages = kit.join(consumer, [source])
        kit.read(consumer, 1 - len(messages))
        producer = _transactional(kit)
        producer.begin_transaction()
        positions = consumer.position(consumer.assignment())
        metadata = consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction(positions, metadata, PATIENCE)
        producer.abort_transaction(PATIENCE)
        assert kit.committed(group, source) == OFFSET_INVALID

    @requires(Capability.TRANSACTIONS)
    def test_calls_out_of_order_are_errors(self, kit: Kit) -> None:
        producer = kit.producer({"transactional.id": kit.name("tx")})
        with pytest.raises(KafkaException) as caught:
            producer.begin_transaction()
        assert caught.value.args[0].code() in {KafkaError._STATE, KafkaError._NOT_CONFIGURED}
        producer.init_transactions(PATIENCE)
        with pytest.raises(KafkaException) as caught:
            producer.commit_transaction(PATIENCE)
        assert caught.value.args[0].code() == KafkaError._STATE
        with pytest.raises(KafkaException) as caught:
            producer.sender(kit.topic())(b"outside a transaction")
        assert caught.value.args[0].code() == KafkaError._STATE

    @requires(Capability.TRANSACTIONS)
    def test_transactions_need_an_id(self, kit: Kit) -> None:
        with pytest.raises(KafkaException) as caught:
            kit.producer().init_transactions(5)
        assert caught.value.args[0].code() == KafkaError._NOT_CONFIGURED

    @needs(ClusterFeature.ISOLATION)
    @requires(Capability.TRANSACTIONS)
    def test_second_producer_of_an_id_fences_the_first(self, kit: Kit) -> None:
        topic, name = kit.topic(), kit.name("tx")
        first = _transactional(kit, name)
        first.begin_transaction()
        first.sender(topic)(b"fenced")
        first.flush(PATIENCE)
        second = _transactional(kit, name)
        with pytest.raises(KafkaException) as caught:
            first.commit_transaction(PATIENCE)
        error = caught.value.args[0]
        assert error.code() in {
            KafkaError._FENCED,
            KafkaError.PRODUCER_FENCED,
            KafkaError.INVALID_PRODUCER_EPOCH,
        }
        assert error.fatal()
        second.begin_transaction()
        second.sender(topic)(b"second")
        second.commit_transaction(PATIENCE)
        assert [message.value() for message in kit.read_all(topic, 1)] == [b"second"]
