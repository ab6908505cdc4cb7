"""Small parts of the kafka-python backend: errors, reports, offsets, buffer, headers, assignors."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from kafkaroute.errors import KafkaException, UnsupportedFeature
from kafkaroute.messages import OFFSET_INVALID, KafkaError, TopicPartition
from kafkaroute_kafka_python.consuming.consumed import ConsumedMessage
from kafkaroute_kafka_python.consuming.positions import (
    OffsetStore,
    Stored,
    from_application,
    to_application,
)
from kafkaroute_kafka_python.consuming.reader import rest_after
from kafkaroute_kafka_python.consuming.rebalance import make_assignors
from kafkaroute_kafka_python.consuming.waiting import FetchBuffer
from kafkaroute_kafka_python.errors import batch_error, mapped, to_kafka_error
from kafkaroute_kafka_python.internals import require, update_credentials
from kafkaroute_kafka_python.library import (
    BaseCoordinator,
    Future,
    KafkaPartition,
    NetworkSelector,
    kp,
)
from kafkaroute_kafka_python.messages import write_headers
from kafkaroute_kafka_python.network.joins import UnseenJoin, is_join, resume_join
from kafkaroute_kafka_python.producing.reports import Delivery, Outcome, Reports

P0, P1 = KafkaPartition("t", 0), KafkaPartition("t", 1)


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (kp.NotLeaderForPartitionError(), KafkaError.NOT_LEADER_FOR_PARTITION),
        (kp.TopicAuthorizationFailedError({"t"}), KafkaError.TOPIC_AUTHORIZATION_FAILED),
        (kp.KafkaTimeoutError("late"), KafkaError._TIMED_OUT),
        (kp.KafkaConnectionError("gone"), KafkaError._TRANSPORT),
        (kp.KafkaConnectionError("Handshake failed: bad certificate"), KafkaError._SSL),
        (kp.NodeNotReadyError("1"), KafkaError._TRANSPORT),
        (kp.SaslAuthenticationFailedError("no"), KafkaError._AUTHENTICATION),
        (ValueError("Unrecognized partition 9 for topic t"), KafkaError._UNKNOWN_PARTITION),
        (kp.IllegalStateError("closed"), KafkaError._STATE),
        (kp.TransactionAbortedError(), KafkaError._PURGE_QUEUE),
        (kp.NoOffsetForPartitionError({P0}), KafkaError._AUTO_OFFSET_RESET),
        (kp.CorruptRecordError("crc"), KafkaError._BAD_MSG),
        (kp.KafkaConfigurationError("x"), KafkaError._INVALID_ARG),
        (kp.MessageSizeTooLargeError("x"), KafkaError.MSG_SIZE_TOO_LARGE),
        (kp.CommitFailedError(kp.IllegalGenerationError()), KafkaError.ILLEGAL_GENERATION),
        (kp.CommitFailedError("thrown out"), KafkaError.UNKNOWN_MEMBER_ID),
        (kp.KafkaError("anything"), KafkaError._FAIL),
    ],
)
def test_exceptions_become_librdkafkas_codes(exc: BaseException, code: int) -> None:
    assert to_kafka_error(exc).code() == code


def test_flags_of_errors() -> None:
    assert to_kafka_error(kp.NotLeaderForPartitionError()).retriable()
    assert to_kafka_error(kp.ProducerFencedError()).code() == KafkaError._FENCED
    assert to_kafka_error(kp.ProducerFencedError()).fatal()
    assert to_kafka_error(kp.FencedInstanceIdError()).fatal()
    assert batch_error(kp.KafkaTimeoutError("x")).code() == KafkaError._MSG_TIMED_OUT


def test_nothing_of_the_library_gets_out() -> None:
    with pytest.raises(KafkaException) as caught, mapped():
        raise kp.KafkaTimeoutError("late")
    assert caught.value.args[0].code() == KafkaError._TIMED_OUT
    with pytest.raises(UnsupportedFeature), mapped():
        raise UnsupportedFeature("x")


# -- reports ---------------------------------------------------------------------------------------


def outcome(failure: Any = None) -> Outcome:
    return Outcome("t", 3, 100, -1, failure)


def delivery(callback: Any, size: int = 10) -> Delivery:
    return (callback, b"k", b"v", size, 1234, time.monotonic() - 0.5)


def test_queue_is_full_by_messages_and_by_bytes() -> None:
    reports = Reports(2, 100, only_errors=False)
    reports.accept(10)
    reports.accept(10)
    with pytest.raises(BufferError):
        reports.accept(1)
    reports.release(10)
    with pytest.raises(BufferError):
        reports.accept(91)
    reports.accept(90)
    assert (reports.messages, reports.bytes) == (2, 100)


def test_messages_nobody_asks_about_are_freed_at_once() -> None:
    reports = Reports(9, 99, only_errors=False)
    for _ in range(3):
        reports.accept(7)
    reports.settle(outcome(), [7, 7, 7])
    assert (reports.messages, reports.bytes) == (0, 0)
    assert reports.serve(0) == 0


def test_callbacks_run_when_served_and_tell_what_became_of_the_message() -> None:
    seen: list[Any] = []
    reports = Reports(9, 99, only_errors=False)
    for _ in range(2):
        reports.accept(10)
    reports.settle(outcome(), [delivery(lambda *told: seen.append(told)) for _ in range(2)])
    assert seen == []
    assert reports.messages == 2
    assert reports.serve(0) == 2
    assert reports.messages == 0
    (error, first), (_, second) = seen
    assert error is None
    assert (first.topic(), first.partition(), first.offset(), second.offset()) == ("t", 3, 100, 101)
    assert (first.key(), first.value(), first.headers()) == (b"k", b"v", None)
    assert first.timestamp() == (1, 1234)
    assert first.latency() == pytest.approx(0.5, abs=0.2)


def test_a_callback_for_failures_alone_hears_of_nothing_else() -> None:
    failures: list[Any] = []
    others: list[Any] = []

    def on_failure(*told: Any) -> None:
        failures.append(told)

    reports = Reports(9, 99, only_errors=False, failures_only=on_failure)
    for _ in range(3):
        reports.accept(10)
    own = delivery(lambda *told: others.append(told))
    reports.settle(outcome(), [delivery(on_failure), own])
    reports.settle(outcome(lambda _: kp.KafkaTimeoutError()), [delivery(on_failure)])
    assert reports.messages == 2
    assert reports.serve(0) == 2
    [(error, message)] = failures
    assert error.code() == KafkaError._MSG_TIMED_OUT
    assert (message.key(), message.value()) == (b"k", b"v")
    assert [told[0] for told in others] == [None]


def test_only_errors_are_reported_when_asked() -> None:
    seen: list[Any] = []
    reports = Reports(9, 99, only_errors=True)
    for _ in range(2):
        reports.accept(10)
    reports.settle(outcome(), [delivery(lambda *told: seen.append(told))])
    late = outcome(lambda _: kp.KafkaTimeoutError("x"))
    reports.settle(late, [delivery(lambda *told: seen.append(told))])
    assert reports.serve(0) == 1
    assert [error.code() for error, _ in seen] == [KafkaError._MSG_TIMED_OUT]


def test_what_a_callback_raises_leaves_serve_and_the_rest_stays() -> None:
    def bad(*_: Any) -> None:
        raise RuntimeError("mine")

    seen: list[Any] = []
    reports = Reports(9, 99, only_errors=False)
    for _ in range(2):
        reports.accept(10)
    reports.settle(outcome(), [delivery(bad), delivery(lambda *told: seen.append(told))])
    with pytest.raises(RuntimeError, match="mine"):
        reports.serve(0)
    assert reports.messages == 1
    assert reports.serve(0) == 1
    assert len(seen) == 1


def test_waiting_ends_with_a_report_or_in_time() -> None:
    reports = Reports(9, 99, only_errors=False)
    began = time.monotonic()
    assert reports.serve(0.05) == 0
    assert 0.04 < time.monotonic() - began < 2
    reports.accept(10)
    later = threading.Timer(0.05, reports.settle, (outcome(), [delivery(lambda *_: None)]))
    later.start()
    assert reports.serve(10) == 1
    later.join()


# -- offsets and the buffer ------------------------------------------------------------------------


def test_store_knows_what_is_due() -> None:
    store = OffsetStore()
    assert store.position(P0) == OFFSET_INVALID
    store.delivered[P0] = store.stored[P0] = Stored(5)
    store.stored[P1] = Stored(7, 2, "note")
    assert store.due() == {P0: Stored(5), P1: Stored(7, 2, "note")}
    assert store.due([P1]) == {P1: Stored(7, 2, "note")}
    store.mark_committed({P0: Stored(5)})
    assert set(store.due()) == {P1}
    store.stored[P0] = Stored(4)  # after a seek backwards
    assert store.due([P0]) == {}
    store.stored[P0] = Stored(6)
    assert store.due([P0]) == {P0: Stored(6)}
    store.forget([P0])
    assert store.position(P0) == OFFSET_INVALID
    assert set(store.due()) == {P1}


def test_offsets_of_the_application_and_back() -> None:
    given = [TopicPartition("t", 0, 5, "note", 3), TopicPartition("t", 1, OFFSET_INVALID)]
    [answer] = to_application(from_application(given))
    assert (answer.topic, answer.partition, answer.offset) == ("t", 0, 5)
    assert (answer.metadata, answer.leader_epoch) == ("note", 3)


def messages(*offsets: int) -> list[ConsumedMessage]:
    made = []
    for offset in offsets:
        made.append(message := ConsumedMessage())
        message._offset = offset
    return made


def drain(buffer: FetchBuffer) -> list[tuple[int, int]]:
    found = []
    while buffer:
        partition, message = buffer.pop()
        found.append((partition.partition, message._offset))
    return found


def test_buffer_keeps_order_and_drops_one_partition() -> None:
    buffer = FetchBuffer()
    buffer.add(P0, messages(1, 2))
    buffer.add(P1, messages(8))
    buffer.add(P0, messages(3))
    assert buffer.pop()[1]._offset == 1
    assert buffer.first_offset(P0) == 2
    buffer.drop(P0)
    assert buffer.first_offset(P0) is None
    assert drain(buffer) == [(1, 8)]


def test_paused_records_are_neither_delivered_nor_lost() -> None:
    buffer = FetchBuffer()
    buffer.add(P0, messages(1, 2))
    assert buffer.pop()[1]._offset == 1
    buffer.withhold(P0)
    buffer.add(P0, messages(3), paused=True)
    assert not buffer
    assert buffer.holds(P0)
    assert buffer.first_offset(P0) == 2
    buffer.release(P0)
    assert drain(buffer) == [(0, 2), (0, 3)]


# -- headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [{"a": "1", "b": None}, [("a", "1"), ("b", None)], (("a", b"1"), ["b", None])],
)
def test_headers_in_every_form(headers: Any) -> None:
    assert write_headers(headers) == [("a", b"1"), ("b", None)]


@pytest.mark.parametrize("headers", [["ab"], [("a",)], [(b"a", b"1")], [("a", 1)], [None]])
def test_malformed_headers_are_type_errors(headers: Any) -> None:
    with pytest.raises(TypeError):
        write_headers(headers)


# -- assignors -------------------------------------------------------------------------------------


def member(name: str, *topics: str) -> Any:
    metadata = SimpleNamespace(topics=list(topics))
    return SimpleNamespace(member_id=name, group_instance_id=None, metadata=metadata)


def test_round_robin_deals_to_members_with_different_topics() -> None:
    partitions = {"a": {0, 1, 2}, "b": {0, 1}, "gone": None}
    cluster = SimpleNamespace(partitions_for_topic=partitions.get)
    [assignor] = make_assignors(["roundrobin"], set)
    dealt = assignor.assign(cluster, [member("x", "a", "b"), member("y", "b"), member("z", "gone")])
    answer = {
        name: sorted((tp.topic, tp.partition) for tp in assignment.partitions())
        for name, assignment in dealt.items()
    }
    assert answer["z"] == []
    assert sorted(answer["x"] + answer["y"]) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]
    assert {topic for topic, _ in answer["y"]} == {"b"}


def test_cooperative_members_claim_only_what_they_own_and_want() -> None:
    owned = {P0, KafkaPartition("dropped", 0)}
    [assignor] = make_assignors(["cooperative-sticky"], lambda: owned)
    assignor.member_assignment = [P0, P1, KafkaPartition("dropped", 0)]
    claimed = assignor.metadata({"t"}).owned_partitions
    assert [(claim.topic, list(claim.partitions)) for claim in claimed] == [("t", [0])]
    owned.clear()  # the membership was lost
    assert list(assignor.metadata({"t"}).owned_partitions) == []


class _Coordinator:
    def __init__(self, task: Any) -> None:
        self._join_task = task
        self.rejoin_needed = False

    def request_rejoin(self) -> None:
        self.rejoin_needed = True


def test_join_that_ends_between_two_polls_is_looked_at() -> None:
    join = Future()
    kept = UnseenJoin(join)
    coordinator = _Coordinator(kept)
    assert resume_join(coordinator)
    given_up: list[Any] = []
    kept.add_callback(given_up.append)  # a poll that is over before the answer comes
    assert not kept.is_done
    join.success(b"assignment")
    assert not kept.is_done  # else the coordinator would join again
    assert resume_join(coordinator)
    assert coordinator._join_task is kept
    looked: list[Any] = []
    kept.add_callback(looked.append)
    assert looked == [b"assignment"]
    assert kept.is_done


def test_joins_are_told_from_other_work() -> None:
    assert is_join(BaseCoordinator._do_join_and_sync_async)
    assert not is_join(BaseCoordinator.join_group_async)


def test_no_join_no_hurry() -> None:
    coordinator = _Coordinator(None)
    assert not resume_join(coordinator)
    assert coordinator._join_task is None


# -- private parts ---------------------------------------------------------------------------------


def test_what_another_version_lacks_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedFeature, match=r"purge\(\).*kafka-python .*_accumulator"):
        require("purge()", SimpleNamespace(), "_accumulator.x")
    with pytest.raises(UnsupportedFeature, match="set_sasl_credentials"):
        update_credentials(SimpleNamespace(_manager=SimpleNamespace()), "u", "p")
    odd = SimpleNamespace(_manager=SimpleNamespace(config={}, _conns={}))
    with pytest.raises(UnsupportedFeature, match="set_sasl_credentials"):
        update_credentials(odd, "u", "p")


def test_the_loop_class_still_has_what_the_pump_builds_on() -> None:
    for name in ("run", "call_soon_with_future", "call_soon_threadsafe", "start"):
        assert callable(getattr(NetworkSelector, name))


def test_the_rest_after_a_poll_has_a_bound() -> None:
    assert rest_after(0.1) == pytest.approx(0.9)
    assert rest_after(8.0) == 1.0  # the process was stopped meanwhile
