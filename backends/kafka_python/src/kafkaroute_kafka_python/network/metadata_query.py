"""``list_topics()``: a question that kafka-python's producer and consumer do not offer."""

from __future__ import annotations

import time
from threading import Event
from typing import Any

from kafkaroute.messages import ClusterMetadata, KafkaError, kafka_exception

from ..errors import failure, mapped
from ..library import MetadataRequest, kp
from ..messages import cluster_metadata
from .opener import Opener

__all__ = ["query_metadata"]

#: Seconds between two attempts while no broker is connected.
_RETRY = 0.1


def query_metadata(
    opener: Opener[Any], topic: str | None, timeout: float, servers: str
) -> ClusterMetadata:
    """Ask any broker about all topics, or about `topic` (which is not created by asking).

    Raises KafkaException: ``_TRANSPORT`` when there is no answer within `timeout` seconds.
    """
    deadline = None if timeout < 0 else time.monotonic() + timeout
    with mapped():
        native = opener.wait(None if timeout < 0 else timeout)
    if native is None:
        raise kafka_exception(KafkaError._TRANSPORT, "Failed to get metadata: not connected")
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise kafka_exception(KafkaError._TRANSPORT, "Failed to get metadata: no answer")
        response, error = _ask(opener.client, topic, left)
        if response is not None:
            return cluster_metadata(response, servers)
        if error is not None and not isinstance(error, kp.RetriableError):
            raise failure(error)
        time.sleep(_RETRY if left is None else min(_RETRY, left))


def _ask(client: Any, topic: str | None, timeout: float | None) -> tuple[Any, BaseException | None]:
    wanted = (
        MetadataRequest.ALL_TOPICS
        if topic is None
        else [MetadataRequest.MetadataRequestTopic(name=topic)]
    )
    request = MetadataRequest(
        topics=wanted,
        allow_auto_topic_creation=False,
        include_cluster_authorized_operations=False,
        include_topic_authorized_operations=False,
    )
    manager = client._manager
    future = manager.call_soon(manager.send, request)
    answered = Event()
    future.add_both(lambda _: answered.set())
    answered.wait(timeout)
    if not future.is_done:
        return None, None
    return future.value, future.exception
