"""Broker and catalog in a process of their own, so that the CPU of the measured one is its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any, Self

__all__ = ["Servers"]


class Servers:
    """See the module's text.

    Args:
        kafka: a real Apache Kafka instead of the embedded broker.

    Attributes:
        kind: of the broker, for people.
    """

    def __init__(self, *, kafka: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, kafka), daemon=True)
        self._process.start()
        theirs.close()
        self.kind: str = self._receive()

    def _ask(self, name: str, *args: Any) -> Any:
        self._pipe.send((name, *args))
        return self._receive()

    def _receive(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def topic(self, partitions: int = 4) -> str:
        """A new topic's name."""
        return self._ask("topic", partitions)

    def config(self, backend: str = "confluent-kafka") -> dict[str, Any]:
        """Canonical settings of a client of the broker."""
        return self._ask("config", backend)

    def settings(self, backend: str, **more: Any) -> dict[str, Any]:
        """What an application would configure for the catalog."""
        return self._ask("settings", {"backend": backend, **more})

    def put(self, channel: str, topic: str, backend: str, tuning: Mapping[str, Any]) -> None:
        """Let `channel` live at `topic` of the broker."""
        self._ask("put", channel, topic, backend, dict(tuning))

    def delay(self, seconds: float) -> None:
        """The catalog takes so long for each answer."""
        self._ask("delay", seconds)

    def requests(self) -> int:
        """How often the catalog was asked so far."""
        return self._ask("requests")

    def close(self) -> None:
        if self._process.is_alive():
            self._pipe.send(None)
            self._process.join(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Host:
    """The other process's side."""

    def __init__(self, cluster: Any, stub: Any) -> None:
        self._cluster = cluster
        self._stub = stub

    def topic(self, partitions: int) -> str:
        return self._cluster.new_topic(partitions, "bench")

    def config(self, backend: str) -> dict[str, Any]:
        if self._cluster.kind == "embedded":
            return self._cluster.client_config(backend=backend)
        return self._cluster.client_config()

    def settings(self, more: dict[str, Any]) -> dict[str, Any]:
        return self._stub.settings(**more)

    def put(self, channel: str, topic: str, backend: str, tuning: dict[str, Any]) -> None:
        connection = self.config(backend)
        self._stub.put(channel, topic=topic, connection=connection, configuration=tuning)

    def delay(self, seconds: float) -> None:
        self._stub.delay = seconds

    def requests(self) -> int:
        return len(self._stub.requests)


def _serve(pipe: Connection, kafka: bool) -> None:
    from kafkaroute.testing.catalog_stub import CatalogStub

    with ExitStack() as stack:
        try:
            if kafka:
                from kafkaroute.testing.real_kafka import RealCluster

                cluster: Any = stack.enter_context(RealCluster())
            else:
                from kafkaroute.testing.embedded import EmbeddedCluster

                cluster = stack.enter_context(EmbeddedCluster())
            host = _Host(cluster, stack.enter_context(CatalogStub()))
        except BaseException as error:
            pipe.send(error)
            return
        pipe.send(cluster.kind)
        while True:
            try:
                asked = pipe.recv()
            except EOFError:
                return
            if asked is None:
                return
            try:
                pipe.send(getattr(host, asked[0])(*asked[1:]))
            except Exception as error:
                pipe.send(error)
