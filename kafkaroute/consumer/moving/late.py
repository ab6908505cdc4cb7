"""Asking the catalog whether a channel is really not where a late message comes from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ...catalog.cache.confirm import Question
from ...errors import KafkaException
from ...messages import TopicPartition
from ...route import Route
from ...router import Router
from ..clients import Member
from ..pauses import Why
from .stages import Stage, State, Way

__all__ = ["Confirming"]

#: Seconds for which an answer counts: late messages come in bursts.
_KNOWN_FOR = 0.02
#: Seconds to wait for an answer while other channels wait, too; then the message is put back.
_PATIENCE = 0.05
#: Seconds between two looks whether the answer is there.
_LOOK = 0.002


class Confirming:
    """A message from a place that was left may mean that the channel moved back there: then it
    has to wait for the rest of the place in between.

    Args:
        follow: called as ``(channel, old, new)`` where the catalog answers a new route.
    """

    def __init__(self, router: Router[Member], follow: Callable[[str, Route, Route], None]) -> None:
        self._router = router
        self._follow = follow
        self._confirmed: dict[str, float] = {}
        self._questions: dict[str, Question] = {}

    def still_left(self, way: Way, stage: Stage, number: int, offset: int) -> bool | None:
        """Whether the channel still lives elsewhere than in `stage`, as the catalog says after the
        message at `offset` was read (or said last, where it does not answer in time). None: not
        known yet; the partition is to wait (``Why.ASKED``)."""
        if offset < stage.known.get(number, 0):
            return stage.state is State.LEFT
        now = time.monotonic()
        if now - self._confirmed.get(way.channel, float("-inf")) <= _KNOWN_FOR:
            return stage.state is State.LEFT
        end = self._end(stage, number, offset)
        if way.channel not in self._questions:
            self._ask(way.channel)
            while not (answered := self._is_answered(way.channel)):
                if time.monotonic() - now >= _PATIENCE:
                    break
                time.sleep(_LOOK)
            if answered:
                self._settle(way)
                return stage.state is State.LEFT
        stage.asked.setdefault(number, (end, now))
        return None

    def step(self, now: float, ways: Mapping[str, Way]) -> None:
        """Let those go on that wait for an answer which has come, or does not come."""
        for channel, question in list(self._questions.items()):
            way = ways.get(channel)
            if way is None:
                del self._questions[channel]
            elif self._is_answered(channel) or self._gives_up(question, now):
                self._settle(way)

    def _gives_up(self, question: Question, now: float) -> bool:
        return now - question.began >= self._router.settings.timeout

    def _ask(self, channel: str) -> None:
        self._questions[channel] = Question(self._router.cache, channel)

    def _is_answered(self, channel: str) -> bool:
        """The route was confirmed, or failed to be, since the question."""
        return self._questions[channel].confirmed() is not None

    def _settle(self, way: Way) -> None:
        began = self._questions.pop(way.channel).began
        self._confirmed[way.channel] = time.monotonic()
        route = self._router.cache.peek(way.channel)
        if route is not None:
            self._follow(way.channel, way.stages[-1].route, route)
        for stage in way.live():
            self._let_go(stage, began)
        if any(stage.asked for stage in way.live()):
            # They were read when the question was on its way.
            self._ask(way.channel)

    @staticmethod
    def _let_go(stage: Stage, began: float) -> None:
        assert stage.member is not None
        done = {number: end for number, (end, at) in stage.asked.items() if at <= began}
        for number in done:
            del stage.asked[number]
        stage.known |= done
        stage.heard = time.monotonic()
        stage.member.kept.let_go([TopicPartition(stage.topic, n) for n in done], Why.ASKED)

    @staticmethod
    def _end(stage: Stage, number: int, offset: int) -> int:
        """Where the partition ended when the message was read, as far as that is known."""
        assert stage.member is not None
        try:
            one = TopicPartition(stage.topic, number)
            return max(offset + 1, stage.member.client.get_watermark_offsets(one, 0, True)[1])
        except KafkaException:
            return offset + 1
