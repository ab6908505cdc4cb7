"""A catalog that answers from a script, and a clock that a test moves by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ..catalog.answer import route_from_answer
from ..catalog.contract import Catalog, Lookup
from ..channel import Channel
from ..errors import ChannelNotFound
from ..route import Route

__all__ = ["FakeClock", "ScriptedCatalog", "route_to"]

Step = Route | Exception | Callable[[Lookup], Route | None] | None


class FakeClock:
    """Call it for the time, in seconds; it stands still unless moved."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class ScriptedCatalog(Catalog):
    """Answers each channel as its entry in `script` says: a route, an exception to raise, None
    ("unchanged"), or a function of the question. Channels without an entry are not found.

    Attributes:
        questions: every Lookup so far.
    """

    local = True

    def __init__(self, script: Mapping[str, Step] | None = None) -> None:
        self.script: dict[str, Step] = dict(script or {})
        self.questions: list[Lookup] = []
        self.closed = False

    def lookup(self, question: Lookup) -> Route | None:
        self.questions.append(question)
        uri = question.channel.uri
        if uri not in self.script:
            raise ChannelNotFound(f"no entry for channel {uri}")
        step = self.script[uri]
        if isinstance(step, Exception):
            raise step
        if callable(step):
            return step(question)
        return step

    def close(self) -> None:
        self.closed = True

    def describe(self) -> Mapping[str, Any]:
        return MappingProxyType({"uri": "scripted:"})


def route_to(topic: str, channel: str = "kafka://example.com/bar", **answer: Any) -> Route:
    """A route of `channel` to `topic`; `answer` as a catalog would give it. ``max_age``,
    ``stale_if_error`` and ``etag`` are taken, too."""
    head = {key: answer.pop(key, None) for key in ("max_age", "stale_if_error", "etag")}
    answer.setdefault("connection", {"bootstrap.servers": "b1.example.net:9092"})
    parsed = Channel.parse(channel)
    return route_from_answer(parsed, {**answer, "channel_mapping": {parsed.key: topic}}, **head)
