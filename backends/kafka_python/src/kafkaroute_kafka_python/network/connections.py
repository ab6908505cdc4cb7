"""A connection manager that tells what kafka-python only logs, and lets fetch answers be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..library import FetchRequest, KafkaConnectionManager
from .joins import UnseenJoin, is_join
from .transports import open_transport

__all__ = ["WatchedManager"]


class WatchedManager(KafkaConnectionManager):  # type: ignore[misc]  # untyped library
    """Everything here runs on the client's I/O thread.

    Attributes:
        on_lost: called with the error of every connection that failed or was lost.
        on_fetched: called with every answer to a fetch.
    """

    on_lost: Callable[[BaseException], None] | None = None
    on_fetched: Callable[[Any], None] | None = None

    def get_connection(self, node_id: Any, *args: Any, **kwargs: Any) -> Any:
        before = self._conns.get(node_id)
        connection = super().get_connection(node_id, *args, **kwargs)
        if connection is not before and self.on_lost is not None:
            connection.close_future.add_errback(self.on_lost)
        return connection

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        return await open_transport(self, node, timeout_at)

    def call_soon(self, coro: Any, *args: Any) -> Any:
        future = super().call_soon(coro, *args)
        return UnseenJoin(future) if is_join(coro) else future

    def send(self, request: Any, node_id: Any = None, request_timeout_ms: Any = None) -> Any:
        future = super().send(request, node_id=node_id, request_timeout_ms=request_timeout_ms)
        if self.on_fetched is not None and isinstance(request, FetchRequest):
            future.add_callback(self.on_fetched)
        return future
