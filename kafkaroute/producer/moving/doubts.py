"""Failures outside a move: has the route changed, and nobody was told yet?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ...catalog.cache.confirm import Question
from ...messages import KafkaError
from ...route import Route
from ..client import Client
from ..reports import Reports
from ..table import Table
from ..undelivered import Undelivered

__all__ = ["Doubts", "pause_after"]

#: The message itself is refused, or was given up on purpose: no other route would mend that, so
#: that nobody is to wait for an answer, and no catalog to give one.
_OF_THE_MESSAGE = frozenset(
    {
        KafkaError._BAD_COMPRESSION,
        KafkaError._BAD_MSG,
        KafkaError._INVALID_ARG,
        KafkaError._INVALID_DIFFERENT_RECORD,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._PURGE_QUEUE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
    }
)
#: Who rotates a password changes it on the brokers and in the catalog one after the other: one
#: answer that nothing has changed does not settle it.
_OF_THE_LOGIN = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
#: Seconds between two questions about a refused login: the first, doubled each time.
_ASK_AGAIN = 0.1
#: Seconds without questions for a channel after one that was answered, and after one that was not.
_PAUSE, _PAUSE_UNANSWERED = 1.0, 10.0
#: The pause is this many times as long as the question took, so that channels are not held for
#: more than a tenth of the time; but no longer than so many seconds, as a process that was stopped
#: meanwhile seems to have asked for hours.
_PAUSE_FACTOR, _LONGEST_PAUSE = 9, 60.0
#: Channels asked for at once.
_MOST = 256
_SLICE = 0.005


def pause_after(took: float, least: float) -> float:
    """Seconds without questions for a channel after one that took so many."""
    return max(least, min(_PAUSE_FACTOR * took, _LONGEST_PAUSE))


class Doubts:
    """Has failed messages kept, and the catalog asked, before the application hears of them.

    One question serves every failure that came before it; a storm of failures brings few questions.

    Args:
        refused: whether a channel's mover knows that it cannot take a route.
    """

    def __init__(self, table: Table, refused: Callable[[Client, str, Route], bool]) -> None:
        self._table = table
        self._refused = refused
        self._not_before: dict[str, float] = {}

    def park(self, reports: Reports, message: Undelivered, topic: str | None) -> bool:
        """A message failed outside a move. True when it may follow its channel elsewhere: it is
        kept until its client's mover knows."""
        table = self._table
        with table.locked():
            home = table.homes.get(message.channel)
            if table.stopped or home is None:
                return False
            client = home.client
            if client.reports is not reports or home.route.topic != topic:
                table.follow(table.stray(message))
                return True
            route = table.router.cache.peek(message.channel)
            if route is not None and table.leads_elsewhere(home, route):
                # It changed, and the mover has not come to it yet; or it cannot take it.
                if self._refused(client, message.channel, route):
                    return False
            elif not self._is_worth_asking(message):
                return False
            reports.collect()
            table.doubt(client)
            table.follow(client, message.channel)
            return reports.take(message)

    def _is_worth_asking(self, message: Undelivered) -> bool:
        error, now = message.error, time.monotonic()
        return (
            error is not None
            and error.code() not in _OF_THE_MESSAGE
            and now >= self._not_before.get(message.channel, 0.0)
        )

    def ask(self, client: Client, stop: threading.Event) -> set[str]:
        """Ask the catalog about the channels of messages that `client` failed, and wait for that, on
        its mover's thread; `timeout` seconds at most. Returns these channels.

        Args:
            stop: set when the Producer closes.
        """
        table = self._table
        with table.locked():
            failed = [m for m in client.reports.kept() if table.homes[m.channel].client is client]
            channels = {message.channel for message in failed if self._is_worth_asking(message)}
            if not channels or len(channels) > _MOST or self._known(client, channels):
                return {message.channel for message in failed}
            table.doubt(client)
        began = time.monotonic()
        until, pause = began + table.settings.timeout, _ASK_AGAIN
        login = any(m.error is not None and m.error.code() in _OF_THE_LOGIN for m in failed)
        while True:
            answered = self._ask_once(client, channels, until, stop)
            if (
                not login
                or self._known(client, channels)
                or time.monotonic() + pause >= until
                or stop.wait(pause)
            ):
                break
            pause *= 2
        now = time.monotonic()
        least = _PAUSE if answered else _PAUSE_UNANSWERED
        for channel in channels:
            self._not_before[channel] = now + pause_after(now - began, least)
        return {message.channel for message in failed} | channels

    def _ask_once(
        self, client: Client, channels: set[str], until: float, stop: threading.Event
    ) -> bool:
        """One question for each channel; False where one was not answered by `until`."""
        cache = self._table.router.cache
        waiting, answered = [Question(cache, channel) for channel in channels], True
        while True:
            outcomes = [(question, question.confirmed()) for question in waiting]
            answered = answered and all(outcome is not False for _, outcome in outcomes)
            waiting = [question for question, outcome in outcomes if outcome is None]
            if not waiting:
                break
            if time.monotonic() >= until or stop.wait(_SLICE):
                return False
            if client.hold is not None:
                client.hold.drained_to(len(client.native))
        return answered

    def _known(self, client: Client, channels: set[str]) -> bool:
        """Whether one of `channels` is known to have left, or to be about to."""
        table = self._table
        with table.locked():
            for channel in channels:
                home, route = table.homes[channel], table.router.cache.peek(channel)
                if home.client is not client:
                    return True
                if route is not None and table.leads_elsewhere(home, route):
                    return True
        return False
