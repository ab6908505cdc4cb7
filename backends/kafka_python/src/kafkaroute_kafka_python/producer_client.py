"""A producer's network client that outlives refusals, as librdkafka's does.

kafka-python fails for good what was under way when the broker refused a password, for an idempotent
producer the whole client. Here a refusal is told (``error_cb``) and otherwise counts as a lost
connection: messages stay until they are delivered or ``message.timeout.ms`` has passed, since a
password that is wrong now may be the right one in a moment, or be replaced.
"""

from __future__ import annotations

from typing import Any

from .connections import WatchedManager
from .library import Future, KafkaNetClient, NetworkSelector, kp
from .troubles import Troubles

__all__ = ["make_producer_client"]

#: Milliseconds between two looks at whether a node can be reached.
_LOOK = 50


class _Manager(WatchedManager):
    def maybe_raise_auth_failure(self, node_id: Any) -> None:
        """A node that refused once is asked again, after its back-off."""

    def send(self, request: Any, node_id: Any = None, request_timeout_ms: Any = None) -> Any:
        answer = super().send(request, node_id=node_id, request_timeout_ms=request_timeout_ms)
        softened = Future()
        answer.add_callback(softened.success)
        answer.add_errback(lambda exc: softened.failure(_worth_a_retry(exc)))
        return softened


class _Client(KafkaNetClient):  # type: ignore[misc]  # untyped library
    def await_ready(self, node_id: Any, timeout_ms: float = 30_000) -> bool:
        """Whether the node can be used. The library's own raises where it cannot, and its sender
        thread then forgets the request of a transaction that it was about to send."""
        try:
            return bool(super().await_ready(node_id, timeout_ms=timeout_ms))
        except (kp.KafkaConnectionError, kp.SaslAuthenticationFailedError):
            self.poll(timeout_ms=_LOOK)  # or the thread would spin while the node is away
            return False


def _worth_a_retry(exc: BaseException) -> BaseException:
    if isinstance(exc, kp.SaslAuthenticationFailedError):
        return kp.KafkaConnectionError("the broker refused the credentials")  # type: ignore[no-any-return]
    return exc


def make_producer_client(troubles: Troubles, **configs: Any) -> Any:
    """Called by kafka-python for its ``kafka_client=`` option."""
    net = NetworkSelector(**configs)
    manager = _Manager(net, **configs)
    manager.on_lost = troubles.connection_lost
    return _Client(net=net, manager=manager, **configs)
