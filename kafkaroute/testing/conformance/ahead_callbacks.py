"""Callbacks that raise while much waits: the exception leaves the call, and no message is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ...backend.contract import BackendConsumer
from ...errors import UnsupportedFeature
from ...messages import Message
from ..cluster import ClusterFeature
from .ahead import filled, parts, runs
from .kit import PATIENCE, UNREACHABLE, Kit
from .requirements import needs

__all__ = ["AheadCallbackTests"]

_MANUAL = {"enable.auto.commit": False}
_CALLS = ("ready", "poll", "consume")
_WHOLE = {number: list(range(100)) for number in range(3)}


class _Failing:
    """A callback that raises as long as `armed`, up to `limit` times; calls that it ended, and
    messages that came."""

    def __init__(self, kit: Kit, call: str) -> None:
        self._kit = kit
        self._call = call
        self.armed = False
        self.limit = 30
        self.raised = 0
        self.caught = 0
        self.read: list[Message] = []
        self.events: set[object] = set()

    def __call__(self, *_: Any) -> None:
        if self.armed and self.raised < self.limit:
            self.raised += 1
            raise ZeroDivisionError("from a callback")

    def once(self, *_: Any) -> None:
        """Raises the first time only."""
        if self.armed:
            self.armed = False
            self.raised += 1
            raise ZeroDivisionError("from a callback")

    def take(self, consumer: BackendConsumer, until: Callable[[], object]) -> None:
        """Read until so, whatever is raised."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            if time.monotonic() > deadline:
                self.armed = False  # or close() would hear of it
                pytest.fail(f"{self.raised} raised; {self.found()}")
            try:
                batch = self._next(consumer)
            except ZeroDivisionError:
                self.caught += 1
                continue
            for message in batch:
                if message.error() is None:
                    self.read.append(message)
                else:
                    self.events.add(message.error())
            time.sleep(0.003)

    def found(self, topic: str | None = None) -> dict[int, list[int]]:
        """What came of `topic`, or of all."""
        return runs(m for m in self.read if topic in {None, m.topic()})

    def _next(self, consumer: BackendConsumer) -> list[Message]:
        if self._call == "consume":
            return consumer.consume(9, 0.05)
        one = self._kit.next(consumer, 0.05) if self._call == "ready" else consumer.poll(0.05)
        return [] if one is None else [one]


class AheadCallbackTests:
    @pytest.mark.parametrize("call", _CALLS)
    @pytest.mark.parametrize("which", ["on_assign", "on_revoke"])
    @pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
    def test_rebalance_callback_raises(
        self, kit: Kit, strategy: str, which: str, call: str
    ) -> None:
        if strategy != "range" and not kit.cluster.supports(ClusterFeature.COOPERATIVE):
            pytest.skip(f"the {kit.cluster.kind} cluster lacks {ClusterFeature.COOPERATIVE}")
        topic, other = filled(kit), filled(kit)
        consumer = kit.consumer({"partition.assignment.strategy": strategy})
        failing = _Failing(kit, call)

        def subscribe(*topics: str) -> None:
            on_assign = failing.once if which == "on_assign" else None
            on_revoke = failing.once if which == "on_revoke" else None
            consumer.subscribe(topics, on_assign, on_revoke, None)

        subscribe(topic, *([other] if which == "on_revoke" else []))
        failing.take(consumer, lambda: len(failing.read) >= 20)
        failing.armed = True
        if which == "on_revoke":
            subscribe(topic)
            failing.take(consumer, lambda: not failing.armed)
            failing.take(consumer, lambda: failing.found(topic) == _WHOLE)
        subscribe(topic, other)
        failing.take(consumer, lambda: len(failing.read) >= 600)
        kit.expect_nothing(consumer, 0.2)
        assert (failing.raised, failing.caught) == (1, 1)
        assert [failing.found(name) for name in (topic, other)] == [_WHOLE, _WHOLE]

    @pytest.mark.parametrize("call", _CALLS)
    def test_on_commit_raises(self, kit: Kit, call: str) -> None:
        topic, group = filled(kit), kit.name("g")
        failing = _Failing(kit, call)
        settings = {"on_commit": failing, "auto.commit.interval.ms": 50}
        if _is_refused(kit, settings, "on_commit"):
            return
        failing.armed = True
        consumer = kit.consumer(settings, group=group)
        consumer.subscribe([topic], None, None, None)
        failing.take(consumer, lambda: len(failing.read) >= 300)
        failing.armed = False
        kit.expect_nothing(consumer, 0.3)
        assert failing.raised >= failing.caught > 0
        assert failing.found() == _WHOLE
        consumer.close()
        assert [kit.committed(group, topic, number) for number in range(3)] == [100] * 3

    @pytest.mark.parametrize("call", _CALLS)
    def test_stats_cb_raises(self, kit: Kit, call: str) -> None:
        failing = _Failing(kit, call)
        settings = {"stats_cb": failing, "statistics.interval.ms": 10}
        if _is_refused(kit, settings, "stat"):
            return
        topic = filled(kit)
        failing.armed = True
        consumer = kit.consumer({**_MANUAL, **settings})
        consumer.assign(parts(topic))
        failing.take(consumer, lambda: len(failing.read) >= 300)
        failing.armed = False
        kit.expect_nothing(consumer, 0.3)
        assert failing.raised >= failing.caught > 0
        assert failing.found() == _WHOLE

    @needs(ClusterFeature.RESTART)
    @pytest.mark.parametrize("call", _CALLS)
    def test_error_cb_raises(self, kit: Kit, call: str) -> None:
        topic = filled(kit)
        failing = _Failing(kit, call)
        settings = {"error_cb": failing, "reconnect.backoff.max.ms": 200}
        if _is_refused(kit, settings, "error_cb"):
            return
        consumer = kit.consumer({**_MANUAL, **settings})
        consumer.assign(parts(topic))
        failing.take(consumer, lambda: len(failing.read) >= 20)
        failing.armed = True
        kit.cluster.kill()
        try:
            until = time.monotonic() + 1.0
            failing.take(consumer, lambda: time.monotonic() > until)
        finally:
            kit.cluster.start()
        failing.take(consumer, lambda: len(failing.read) >= 300 and failing.caught)
        failing.armed = False
        kit.expect_nothing(consumer, 0.3)
        assert failing.found() == _WHOLE


def _is_refused(kit: Kit, settings: Mapping[str, Any], name: str) -> bool:
    """Whether the backend refuses `settings`, by name."""
    config = {"bootstrap.servers": UNREACHABLE, "group.id": "g", **settings}
    try:
        kit.backend.check_config(config, consumer=True)
    except UnsupportedFeature as refused:
        assert name in str(refused)
        return True
    return False
