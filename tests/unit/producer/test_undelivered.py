"""The order in which failed messages are produced again."""

from kafkaroute.messages import KafkaError
from kafkaroute.producer.undelivered import ReportClock, Undelivered, in_order, report_of


def message(number, at, partition=0, channel="kafka://x/a", blur=0.0002):
    """Produced at `at`, which the report tells within `blur` seconds."""
    bounds = (at - blur, at + blur)
    return Undelivered(channel, b"%d" % number, None, -1, None, 0, None, at, partition, *bounds)


def numbers(messages):
    return [int(m.value) for m in messages]


def test_the_reported_order_stays_where_clocks_cannot_tell():
    jitter = [0.0, 0.0001, 0.00005, 0.0002, 0.00015]
    found = in_order(message(n, 100 + at) for n, at in enumerate(jitter))
    assert numbers(found) == [0, 1, 2, 3, 4]


def test_a_block_that_was_reported_too_early_is_put_behind():
    queued = [message(n, 100 + n / 1000) for n in range(1050, 1200)]
    in_flight = [message(n, 100 + n / 1000) for n in range(1050)]
    assert numbers(in_order(queued + in_flight)) == list(range(1200))


def test_three_blocks_in_the_wrong_order():
    blocks = [[message(n, 100 + n / 100) for n in block] for block in ((4, 5), (2, 3), (0, 1))]
    assert numbers(in_order(m for block in blocks for m in block)) == [0, 1, 2, 3, 4, 5]


def test_blocks_a_blink_apart():
    """A burst of two microseconds a message, reported within ten."""
    times = [(n, 100 + n * 2e-6) for n in range(200)]
    queued = [message(n, at, blur=5e-6) for n, at in times[50:]]
    in_flight = [message(n, at, blur=5e-6) for n, at in times[:50]]
    assert numbers(in_order(queued + in_flight)) == list(range(200))


def test_the_bounds_of_a_report():
    now = [10.0]
    clock = ReportClock(lambda: now[0])
    assert clock.bounds(3.0) == (float("-inf"), 7.0)
    clock.done()
    now[0] = 10.5
    assert clock.bounds(3.0) == (7.0, 7.5)


def test_partitions_and_channels_do_not_disturb_each_other():
    reported = [
        message(5, 105, partition=1),
        message(6, 106, partition=1),
        message(1, 101),
        message(2, 102),
        message(3, 103, channel="kafka://x/b"),
    ]
    found = in_order(reported)
    for partition, expected in ((0, [1, 2, 3]), (1, [5, 6])):
        assert numbers(m for m in found if m.landed == partition) == expected


def test_messages_without_a_partition_are_ordered_with_the_others():
    """They waited for the topic's metadata, and may be older or younger than what did not."""
    found = in_order([message(2, 102, partition=3), message(1, 101, partition=-1)])
    assert numbers(found) == [1, 2]


def test_a_timestamp_is_kept_or_that_of_acceptance():
    one = message(1, 1234.5678)
    assert one.created == 1234567
    assert one._replace(timestamp=77).created == 77


def test_the_report_of_a_message_that_no_client_had():
    error = KafkaError(KafkaError._PURGE_QUEUE)
    report = report_of(message(1, 0.0)._replace(key="ä"), "t", error)
    assert (report.topic(), report.key(), report.value()) == ("t", "ä".encode(), b"1")
    assert report.error() is error
