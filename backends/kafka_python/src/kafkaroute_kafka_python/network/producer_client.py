"""A producer's network client that outlives refusals, as librdkafka's does.

kafka-python fails for good what was under way when the broker refused a password, for an idempotent
producer the whole client. Here a refusal is told (``error_cb``) and otherwise counts as a lost
connection: messages stay until they are delivered or ``message.timeout.ms`` has passed, since a
password that is wrong now may be the right one in a moment, or be replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..library import Future, InitProducerIdRequest, KafkaNetClient, kp
from .connections import WatchedManager
from .sockets import TidyLoop
from .troubles import Troubles

__all__ = ["make_producer_client"]

#: Milliseconds between two looks at whether a node can be reached.
_LOOK = 50
#: Milliseconds that the sender of an idempotent producer waits for a node before it looks again at
#: what has run out of time.
_WAIT = 200


class _Manager(WatchedManager):
    def maybe_raise_auth_failure(self, node_id: Any) -> None:
        """A node that refused once is asked again, after its back-off."""

    def send(self, request: Any, node_id: Any = None, request_timeout_ms: Any = None) -> Any:
        answer = super().send(request, node_id=node_id, request_timeout_ms=request_timeout_ms)
        softened = Future()
        answer.add_callback(softened.success)
        answer.add_errback(lambda exc: softened.failure(_worth_a_retry(exc, request)))
        return softened


class _Client(KafkaNetClient):  # type: ignore[misc]  # untyped library
    #: What the sender thread does between two of its passes, and while it waits for a node; True
    #: if it did something that the next pass should know of.
    before_poll: Callable[[], bool] | None = None

    def poll(self, timeout_ms: float | None = None, future: Any = None) -> Any:
        if self.before_poll is not None and self.before_poll() and future is None:
            timeout_ms = 0
        return super().poll(timeout_ms=timeout_ms, future=future)

    def await_ready(self, node_id: Any, timeout_ms: float = 30_000) -> bool:
        """Whether the node can be used. The library's own raises where it cannot, and its sender
        thread then forgets the request of a transaction that it was about to send."""
        if self.before_poll is not None:
            self.before_poll()
            timeout_ms = min(timeout_ms, _WAIT)
        try:
            return bool(super().await_ready(node_id, timeout_ms=timeout_ms))
        except (kp.KafkaConnectionError, kp.SaslAuthenticationFailedError):
            self.poll(timeout_ms=_LOOK)  # or the thread would spin while the node is away
            return False


def _worth_a_retry(exc: BaseException, request: Any) -> BaseException:
    error: BaseException = exc
    if isinstance(exc, kp.SaslAuthenticationFailedError):
        error = kp.KafkaConnectionError("the broker refused the credentials")
    elif isinstance(exc, kp.RequestTimedOutError) and isinstance(request, InitProducerIdRequest):
        # Else a broker that hangs while it is asked for a producer id is the end of the producer.
        error = kp.KafkaConnectionError("the broker did not answer")
    return error


def make_producer_client(troubles: Troubles, **configs: Any) -> Any:
    """Called by kafka-python for its ``kafka_client=`` option."""
    net = TidyLoop(**configs)
    manager = _Manager(net, **configs)
    manager.on_lost = troubles.connection_lost
    return _Client(net=net, manager=manager, **configs)
