"""Failures outside a move: has the route changed, and nobody was told yet?"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ...messages import KafkaError
from ..client import Link
from ..reports import Tracker
from ..undelivered import Undelivered

if TYPE_CHECKING:
    from ..dispatch import Dispatch

__all__ = ["Doubts"]

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
#: more than a tenth of the time.
_PAUSE_FACTOR = 9
#: Channels asked for at once.
_MOST = 256
_SLICE = 0.005


class Doubts:
    """Has failed messages kept, and the catalog asked, before the application hears of them.

    One question serves every failure that came before it; a storm of failures brings few questions.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._not_before: dict[str, float] = {}

    def park(self, tracker: Tracker, message: Undelivered, topic: str | None) -> bool:
        """A message failed outside a move. True when it may follow its channel elsewhere: it is
        kept until its link's mover knows."""
        dispatch = self._dispatch
        with dispatch.lock:
            home = dispatch.homes.get(message.channel)
            if dispatch.stopped or home is None:
                return False
            link = home.link
            if link.tracker is not tracker or home.route.topic != topic:
                dispatch.activity += 1
                link.strays.append(message)
                dispatch.move(link)
                return True
            route = dispatch.router.cache.peek(message.channel)
            if route is not None and dispatch.leads_elsewhere(home, route):
                # It changed, and the mover has not come to it yet; or it cannot take it.
                mover = dispatch.movers.get(link)
                if mover is not None and mover.opening.refusal(message.channel, route) is not None:
                    return False
            elif not self._is_worth_asking(message):
                return False
            tracker.collect()
            self.hold(link)
            dispatch.move(link, message.channel)
            return tracker.take(message)

    def hold(self, link: Link) -> None:
        """Nothing younger is to overtake what has failed. Lock held."""
        self._dispatch.activity += 1
        if link.hold is None:
            self._dispatch.hold(link)
            link.doubtful = True

    def _is_worth_asking(self, message: Undelivered) -> bool:
        error, now = message.error, time.monotonic()
        return (
            error is not None
            and error.code() not in _OF_THE_MESSAGE
            and now >= self._not_before.get(message.channel, 0.0)
        )

    def ask(self, link: Link, stop: threading.Event) -> set[str]:
        """Ask the catalog about the channels of messages that `link` failed, and wait for that, on
        its mover's thread; `timeout` seconds at most. Returns these channels.

        Args:
            stop: set when the Producer closes.
        """
        dispatch = self._dispatch
        with dispatch.lock:
            failed = [m for m in link.tracker.kept() if dispatch.homes[m.channel].link is link]
            channels = {message.channel for message in failed if self._is_worth_asking(message)}
            if not channels or len(channels) > _MOST or self._known(link, channels):
                return {message.channel for message in failed}
            self.hold(link)
        began = time.monotonic()
        until, pause = began + dispatch.settings.timeout, _ASK_AGAIN
        login = any(m.error is not None and m.error.code() in _OF_THE_LOGIN for m in failed)
        while True:
            answered = self._ask_once(link, channels, until, stop)
            if (
                not login
                or self._known(link, channels)
                or time.monotonic() + pause >= until
                or stop.wait(pause)
            ):
                break
            pause *= 2
        now = time.monotonic()
        least = _PAUSE if answered else _PAUSE_UNANSWERED
        for channel in channels:
            self._not_before[channel] = now + max(least, _PAUSE_FACTOR * (now - began))
        return {message.channel for message in failed} | channels

    def _ask_once(
        self, link: Link, channels: set[str], until: float, stop: threading.Event
    ) -> bool:
        """One question for each channel; False where one was not answered by `until`."""
        cache = self._dispatch.router.cache
        began = time.monotonic()
        failures = {channel: cache.state(channel).failures for channel in channels}
        for channel in channels:
            cache.refresh(channel)
        waiting, answered = set(channels), True
        while waiting:
            for channel in list(waiting):
                state = cache.state(channel)
                if state.age is None or state.failures > failures[channel]:
                    answered = False
                elif state.age > time.monotonic() - began:
                    continue  # an answer to an older question, at best
                waiting.discard(channel)
            if not waiting:
                break
            if time.monotonic() >= until or stop.wait(_SLICE):
                return False
            if link.hold is not None:
                link.hold.elsewhere = len(link.client)
        return answered

    def _known(self, link: Link, channels: set[str]) -> bool:
        """Whether one of `channels` is known to have left, or to be about to."""
        dispatch = self._dispatch
        with dispatch.lock:
            for channel in channels:
                home, route = dispatch.homes[channel], dispatch.router.cache.peek(channel)
                if home.link is not link:
                    return True
                if route is not None and dispatch.leads_elsewhere(home, route):
                    return True
        return False
