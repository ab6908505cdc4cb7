"""Consuming: members share the partitions; a rebalance happens inside poll()."""

import time

from kafkaroute.backend.contract import BackendConsumer
from kafkaroute.errors import ClosedError, UnsupportedFeature
from kafkaroute.messages import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    TIMESTAMP_CREATE_TIME,
    KafkaError,
    Message,
    TopicPartition,
    kafka_exception,
)

from .backend import describe


def names(partitions):
    return [(each.topic, each.partition) for each in partitions]


class MemoryConsumer(BackendConsumer):
    def __init__(self, broker, group, origins, *, earliest, auto_commit):
        self._broker = broker
        self._group = broker.groups[group]
        self._group_name = group
        self._origins = origins
        self._earliest = earliest
        self._auto_commit = auto_commit
        self._next = {}  # (topic, partition) → offset to read
        self._delivered = {}  # (topic, partition) → offset after the last delivered message
        self._paused = set()
        self._callbacks = (None, None)
        self._generation = None  # of the group, as this member has seen it; None: no member
        self._holds = False
        self._closed = False

    # The group.

    def subscribe(self, topics, on_assign, on_revoke, on_lost):
        self._open()
        if any(topic.startswith("^") for topic in topics):
            raise UnsupportedFeature("the memory backend has no pattern subscriptions")
        self._callbacks = (on_assign, on_revoke)
        with self._broker.lock:
            for topic in topics:
                self._broker.log(topic)
            self._group.change(self, set(topics))
        self._generation = -1

    def unsubscribe(self):
        self._open()
        self._leave()

    def _leave(self):
        if self._generation is None:
            return
        self._revoke()
        with self._broker.lock:
            self._group.change(self, set())
        self._generation = None

    def _rebalance(self):
        """Give up everything, wait for the others to have done so, take the new share."""
        if self._generation is None:
            return
        if self._generation != self._group.generation:
            self._revoke()
            with self._broker.lock:
                self._generation = self._group.generation
                self._group.seen.add(self)
        if self._holds or self._group.seen != set(self._group.topics):
            return
        self._holds = True
        share = [TopicPartition(*each) for each in self._group.share(self)]
        if not share:
            return
        on_assign, _ = self._callbacks
        if on_assign is not None:
            on_assign(share)
        if not self._next:
            self.assign(share)

    def _revoke(self):
        if not self._next:
            self._holds = False
            return
        _, on_revoke = self._callbacks
        if on_revoke is not None:
            on_revoke(self.assignment())
        self._commit_delivered()
        self.unassign()
        self._holds = False

    def _commit_delivered(self):
        if self._auto_commit:
            with self._broker.lock:
                for where, offset in self._delivered.items():
                    self._group.committed[where] = (offset, None)

    # Reading.

    def poll(self, timeout):
        deadline = time.monotonic() + (timeout if timeout >= 0 else float("inf"))
        while True:
            self._open()
            self._rebalance()
            message = self._take()
            left = deadline - time.monotonic()
            if message is not None or left <= 0:
                return message
            with self._broker.lock:
                self._broker.lock.wait(min(left, 0.02))

    def consume(self, num_messages, timeout):
        messages = []
        while len(messages) < num_messages:
            message = self.poll(0 if messages else timeout)
            if message is None:
                break
            messages.append(message)
        return messages

    def _take(self):
        with self._broker.lock:
            for where, offset in self._next.items():
                topic, partition = where
                log = self._broker.log(topic)[partition]
                if where not in self._paused and offset < len(log):
                    record = log[offset]
                    self._next[where] = self._delivered[where] = offset + 1
                    break
            else:
                return None
        return Message(
            topic,
            partition,
            offset,
            record.key,
            record.value,
            record.headers,
            timestamp=(TIMESTAMP_CREATE_TIME, record.timestamp),
            origin=self._origins.get(topic),
        )

    # Partitions.

    def assign(self, partitions):
        self.unassign()
        self.incremental_assign(partitions)

    def unassign(self):
        self._open()
        self._next.clear()
        self._delivered.clear()

    def incremental_assign(self, partitions):
        self._open()
        for each in partitions:
            self._next[each.topic, each.partition] = self._start(each)

    def incremental_unassign(self, partitions):
        self._open()
        for where in names(partitions):
            self._next.pop(where, None)
            self._delivered.pop(where, None)

    def _start(self, partition):
        where = (partition.topic, partition.partition)
        with self._broker.lock:
            end = len(self._broker.log(partition.topic)[partition.partition])
            committed = self._group.committed.get(where)
        if partition.offset >= 0:
            return partition.offset
        if partition.offset == OFFSET_BEGINNING:
            return 0
        if partition.offset == OFFSET_END:
            return end
        if committed is not None:
            return committed[0]
        return 0 if self._earliest else end

    def assignment(self):
        self._open()
        return [TopicPartition(*where) for where in self._next]

    def seek(self, partition):
        self._open()
        where = (partition.topic, partition.partition)
        if where not in self._next:
            raise kafka_exception(KafkaError._STATE, "the partition is not assigned")
        self._next[where] = self._start(partition)

    def put_back(self, partition):
        self.seek(partition)
        where = (partition.topic, partition.partition)
        self._delivered[where] = partition.offset
        if self._auto_commit:
            self.commit([partition], True)

    def pause(self, partitions):
        self._open()
        self._paused.update(where for where in names(partitions) if where in self._next)

    def resume(self, partitions):
        self._open()
        self._paused.difference_update(names(partitions))

    def position(self, partitions):
        self._open()
        return [
            TopicPartition(*where, self._delivered.get(where, OFFSET_INVALID))
            for where in names(partitions)
        ]

    # Offsets.

    def commit(self, offsets, asynchronous):
        self._open()
        if offsets is None:
            offsets = [TopicPartition(*where, at) for where, at in self._delivered.items()]
        if not offsets:
            raise kafka_exception(KafkaError._NO_OFFSET)
        with self._broker.lock:
            if self._group.topics and self not in self._group.topics:
                raise kafka_exception(KafkaError.UNKNOWN_MEMBER_ID)
            for each in offsets:
                self._group.committed[each.topic, each.partition] = (each.offset, each.metadata)
        return None if asynchronous else list(offsets)

    def store_offsets(self, offsets):
        self._open()
        raise kafka_exception(KafkaError._INVALID_ARG, "offsets are stored at delivery")

    def committed(self, partitions, timeout):
        self._open()
        with self._broker.lock:
            return [
                TopicPartition(*where, *self._group.committed.get(where, (OFFSET_INVALID, None)))
                for where in names(partitions)
            ]

    def get_watermark_offsets(self, partition, timeout, cached):
        self._open()
        with self._broker.lock:
            return 0, len(self._broker.log(partition.topic)[partition.partition])

    def offsets_for_times(self, partitions, timeout):
        self._open()
        raise UnsupportedFeature("the memory backend has no offsets_for_times()")

    # The client.

    def list_topics(self, topic, timeout):
        self._open()
        return describe(self._broker, topic)

    def consumer_group_metadata(self):
        self._open()
        return self._group_name

    def memberid(self):
        self._open()
        return f"member-{id(self):x}"

    def close(self):
        if not self._closed:
            self._commit_delivered()
            self._leave()
            self._closed = True

    def _open(self):
        if self._closed:
            raise ClosedError("the consumer is closed")
