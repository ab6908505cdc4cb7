"""Where a scenario plays: a catalog of its own, topics of its own, two clusters for all."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from kafkaroute.testing.catalog_stub import CatalogStub
from kafkaroute.testing.cluster import unique_name
from kafkaroute.testing.real_kafka import RealCluster
from kafkaroute.verify import Load, MoveRun
from kafkaroute.verify.process import Worker

TTL = 3.0
WINDOW = 3.0
LINGER = 6.0
PARTITIONS = 4
#: Eight processes of kafka-python that send 200 requests a second each keep two cores busy at any
#: rate (2 ms of CPU a request): a request takes more messages with a longer linger.
_PRODUCER = {"enable.idempotence": True, "linger.ms": 50}
_CONSUMER = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}


@dataclass(frozen=True)
class Size:
    """How big a run of a scenario is.

    Attributes:
        lead_in, tail: seconds of load before the first change, and after the last has settled.
        outage, unreachable: seconds for which a broker is away on purpose.
        moves: of the scenario with many.
    """

    load: Load
    lead_in: float = 2.5
    tail: float = 3.0
    outage: float = 12.0
    unreachable: float = 20.0
    moves: int = 20


FULL = Size(Load(start="earliest", seconds=1))
SMALL = Size(
    Load(producers=2, groups=1, members=2, rate=200.0, keys=40, start="earliest", seconds=1),
    lead_in=1.5,
    tail=1.0,
    outage=8.0,
    unreachable=8.0,
    moves=5,
)


class Stage(contextlib.ExitStack):
    """One run of a scenario with one backend.

    Args:
        clusters: A and B, as ``{"A": …, "B": …}``.
        folder: for snapshots.
    """

    def __init__(
        self, backend: str, clusters: Mapping[str, RealCluster], size: Size, folder: Path
    ) -> None:
        super().__init__()
        self.backend = backend
        self.clusters = clusters
        self.size = size
        self.snapshots = folder
        self.channels: list[str] = []
        self.topics: list[tuple[str, str]] = []
        self.profiles: dict[str, dict[str, Any]] = {
            "out": dict(_PRODUCER),
            "in": dict(_CONSUMER),
        }
        #: Seconds for which a scenario left nobody to read.
        self.away = 0.0
        self.run: MoveRun
        self.stub: CatalogStub

    def __enter__(self) -> Self:
        super().__enter__()
        self.stub = self.enter_context(CatalogStub())
        self.callback(setattr, self.stub, "fault", None)
        return self

    def settings(self, profile: str, **more: Any) -> dict[str, Any]:
        return self.stub.settings(
            backend=self.backend,
            config_profile=profile,
            ttl=TTL,
            move_window=WINDOW,
            **{"move_linger": LINGER, **more},
        )

    def load(self, **changes: Any) -> Load:
        if "groups" in changes:
            changes["groups"] = max(changes["groups"], self.size.load.groups)
        return replace(self.size.load, **changes)

    # Topics and channels.

    def topic(self, *clusters: str) -> str:
        """A new topic, under one name on each of `clusters`."""
        name = unique_name("move")
        for cluster in clusters:
            self.clusters[cluster].create_topic(name, PARTITIONS)
            self.topics.append((cluster, name))
        return name

    def channel(self, cluster: str, topic: str, **more: Any) -> str:
        channel = f"kafka://example.com/{unique_name('orders')}"
        self.channels.append(channel)
        self.place(channel, cluster, topic, **more)
        return channel

    def place(
        self,
        channel: str,
        cluster: str,
        topic: str,
        *,
        security: str = "plaintext",
        bootstrap: str | None = None,
        **extra: Any,
    ) -> None:
        """Let `channel` live there from now on."""
        credentials = self.clusters[cluster].client_config(security)
        servers = credentials.pop("bootstrap.servers")
        for profile, configuration in self.profiles.items():
            self.stub.put(
                channel,
                topic=topic,
                connection={"bootstrap.servers": bootstrap or servers},
                credentials=credentials,
                configuration=configuration,
                profile=profile,
                **extra,
            )

    def move(self, channel: str, cluster: str, topic: str, what: str = "", **more: Any) -> None:
        self.place(channel, cluster, topic, **more)
        self.run.mark(what or f"catalog: {cluster}")

    def earlier(self, cluster: str, topic: str) -> dict[str, Any]:
        """A place as an answer's `previous` names it."""
        return {
            "topic": topic,
            "connection": self.clusters[cluster].client_config(),
            "credentials": {},
            "until": "2999-01-01T00:00:00Z",
        }

    # Waiting, while the load runs.

    def members(self) -> int:
        """How many consumers there are now."""
        return sum(member.alive for group in self.run.members for member in group)

    def until(
        self, phase: str, times: int, timeout: float, workers: Sequence[Worker] | None = None
    ) -> bool:
        """Wait until `phase` was told so often, by `workers` or by all processes; says in the
        certificate when it was not."""
        came = self.run.wait_until(lambda: self.run.phases(phase, workers) >= times, timeout)
        if not came:
            self.run.mark(f"no {phase!r} × {times} within {timeout:.0f} s")
        return came

    def settled(self, times: int = 1, extra: float = 0.0) -> None:
        """Wait until every consumer has left `times` places."""
        self.until("left", times * self.members(), TTL + WINDOW + 8 + extra)
        self.run.sleep(self.size.tail)

    def lead_in(self) -> None:
        self.run.sleep(self.size.lead_in)

    def remove_topics(self) -> None:
        for name, cluster in self.clusters.items():
            topics = [topic for where, topic in self.topics if where == name]
            if topics and cluster.pid is not None:
                futures = cluster.admin._client.delete_topics(topics, operation_timeout=10)
                for future in futures.values():
                    with contextlib.suppress(Exception):
                        future.result(20)
