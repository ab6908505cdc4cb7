"""Producing: a message is written at once; its report waits for poll() or flush()."""

import random
import time
import zlib
from collections import deque

from kafkaroute.backend.contract import BackendProducer
from kafkaroute.errors import ClosedError
from kafkaroute.messages import TIMESTAMP_CREATE_TIME, KafkaError, Message, kafka_exception

from .backend import describe
from .broker import PARTITIONS, Record


def as_bytes(data):
    return data.encode() if isinstance(data, str) else data


class MemoryProducer(BackendProducer):
    def __init__(self, broker, limit, *, only_failures):
        self._broker = broker
        self._limit = limit
        self._only_failures = only_failures
        self._reports = deque()
        self._closed = False

    def sender(self, topic):
        def send(value=None, key=None, partition=-1, callback=None, timestamp=0, headers=None, /):
            self._write(topic, value, key, partition, callback, timestamp, headers)

        return send

    def _write(self, topic, value, key, partition, callback, timestamp, headers):
        self._open()
        if len(self._reports) >= self._limit:
            raise BufferError("Local: Queue full")
        if partition >= PARTITIONS:
            raise kafka_exception(KafkaError._UNKNOWN_PARTITION)
        value, key = as_bytes(value), as_bytes(key)
        if partition < 0:
            # librdkafka's consistent_random.
            chosen = zlib.crc32(key) if key else random.randrange(PARTITIONS)
            partition = chosen % PARTITIONS
        pairs = headers.items() if hasattr(headers, "items") else headers or ()
        record = Record(
            key,
            value,
            [(name, as_bytes(content)) for name, content in pairs] or None,
            timestamp or time.time_ns() // 1_000_000,
        )
        with self._broker.lock:
            log = self._broker.log(topic)[partition]
            offset = len(log)
            log.append(record)
            self._broker.lock.notify_all()
        message = Message(
            topic,
            partition,
            offset,
            key,
            value,
            timestamp=(TIMESTAMP_CREATE_TIME, record.timestamp),
            latency=0.0,
        )
        self._reports.append((None if self._only_failures else callback, message))

    def poll(self, timeout):
        self._open()
        if not self._reports and timeout > 0:
            time.sleep(timeout)
        return self._serve()

    def flush(self, timeout):
        self._open()
        self._serve()
        return 0

    def __len__(self):
        return len(self._reports)

    def list_topics(self, topic, timeout):
        self._open()
        return describe(self._broker, topic)

    def close(self, timeout):
        self._serve()
        self._closed = True
        return 0

    def _open(self):
        if self._closed:
            raise ClosedError("the producer is closed")

    def _serve(self):
        served = 0
        while self._reports:
            callback, message = self._reports.popleft()
            served += 1
            if callback is not None:
                callback(None, message)
        return served
