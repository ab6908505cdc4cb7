"""Copies a topic's history to another cluster, as a mirror does: keys and timestamps kept."""

from __future__ import annotations

import time

import confluent_kafka

__all__ = ["copy_history"]

_TIMEOUT = 30.0


def copy_history(topic: str, old: str, new: str) -> int:
    """Copy what `topic` holds now from the cluster at `old` to the one at `new`; how many."""
    reader = confluent_kafka.Consumer(
        {
            "bootstrap.servers": old,
            "group.id": "mirror",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    writer = confluent_kafka.Producer({"bootstrap.servers": new, "linger.ms": 5, "log_level": 0})
    copied = 0
    try:
        ends = {}
        for number in reader.list_topics(topic, _TIMEOUT).topics[topic].partitions:
            low, high = reader.get_watermark_offsets(
                confluent_kafka.TopicPartition(topic, number), _TIMEOUT
            )
            if high > low:
                ends[number] = high
        reader.assign([confluent_kafka.TopicPartition(topic, number, 0) for number in ends])
        until = time.monotonic() + _TIMEOUT
        while ends and time.monotonic() < until:
            for message in reader.consume(500, 0.2):
                if message.error() is not None or message.partition() not in ends:
                    continue
                writer.produce(
                    topic,
                    message.value(),
                    message.key(),
                    message.partition(),
                    timestamp=message.timestamp()[1],
                )
                copied += 1
                if message.offset() + 1 >= ends[message.partition()]:
                    del ends[message.partition()]
            writer.poll(0)
        assert not ends, f"not all of {topic} could be read"
        assert writer.flush(_TIMEOUT) == 0
    finally:
        reader.close()
    return copied
