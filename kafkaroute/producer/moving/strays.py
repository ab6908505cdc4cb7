"""Messages that fail beside the sequence of a move: before it, or at a client that was left."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...errors import KafkarouteError
from ..client import Link
from ..undelivered import Undelivered, in_order
from .drain import rescue
from .resend import NeedsReportsError, Outlets

if TYPE_CHECKING:
    from ..dispatch import Dispatch

__all__ = ["Strays"]

_log = logging.getLogger("kafkaroute.moves")

#: A thread may sit between looking a sender up and calling it, so a client that no channel uses
#: any more is closed only after this many seconds.
_GRACE = 5.0
_SLICE = 0.02


class Strays:
    """What `link` is to send again, and what it leaves for others to send. On its mover's thread.

    Args:
        stop: set when the Producer closes.
    """

    def __init__(self, dispatch: Dispatch, link: Link, stop: threading.Event) -> None:
        self._dispatch = dispatch
        self._link = link
        self._stop = stop

    def send(self) -> None:
        """Send what was handed to this client, or on to the one that has the channel now."""
        dispatch, link = self._dispatch, self._link
        outlets = Outlets(dispatch, link)
        while link.strays and not self._stop.is_set():
            with dispatch.lock:
                if link.hold is not None:
                    link.hold.put_first(link.strays)
                    link.strays.clear()
                    return
            message = link.strays[0]
            try:
                if dispatch.homes[message.channel].link is not link:
                    self._forward([message])
                else:
                    outlets.send(message)
            except BufferError:
                outlets.make_room()
            except NeedsReportsError:
                dispatch.replace_quiet(link)
            else:
                link.strays.popleft()

    def settle(self, again: threading.Event) -> None:
        """Nothing moves, or not now: what failed meanwhile has failed for good (sent once more, it
        would come behind younger messages), except where the channel has left.

        Args:
            again: set when there is to be another look at what moves, which decides.
        """
        dispatch, link = self._dispatch, self._link
        with dispatch.lock:
            if again.is_set():
                return
            failed = in_order(link.tracker.collected(go_on=False))
            for message in failed:
                home = dispatch.homes[message.channel]
                if home.link is not link or message.error is None:
                    self._forward([message])
                else:
                    dispatch.refuse(message, home.route.topic, message.error)

    def refuse_staying(self, leaving: set[str]) -> None:
        """What failed before a move has failed for good where its channel does not move. Lock held."""
        dispatch, link = self._dispatch, self._link

        def stays(message: Undelivered) -> bool:
            here = dispatch.homes[message.channel].link is link
            return here and message.report is not None and message.channel not in leaving

        for message in in_order(link.tracker.give_back(stays)):
            assert message.error is not None
            dispatch.refuse(message, dispatch.homes[message.channel].route.topic, message.error)

    def close_old(self) -> bool:
        """Serve a client that nobody uses until no thread can have its senders in hand; then close
        it, unless a channel came back. False when the Producer closes, which then does it."""
        dispatch, link = self._dispatch, self._link
        leave_at = time.monotonic() + _GRACE
        while link in dispatch.retired and (time.monotonic() < leave_at or len(link.client)):
            if self._stop.wait(_SLICE):
                return False
            if not link.tracked:
                continue  # its reports are the application's to serve
            try:
                link.client.poll(_SLICE)
            except KafkarouteError as error:
                _log.warning("the old client failed for good: %s", error)
            if time.monotonic() >= leave_at and len(link.client) and not self._rescue():
                leave_at = time.monotonic() + _GRACE
            self._forward(in_order(link.tracker.collected(go_on=True)))
        self._forward(link.tracker.collected(go_on=False))
        with dispatch.lock:
            mine = dispatch.release(link)
        if mine:
            link.client.close(0)
        return True

    def _rescue(self) -> bool:
        """Take from a client that nobody uses what it does not get rid of."""
        with self._dispatch.lock:
            if self._link not in self._dispatch.retired:
                return False
            self._link.gone = True
        return rescue(self._link)

    def _forward(self, failed: Iterable[Undelivered]) -> None:
        """Let messages that failed be sent by whichever client their channel has now."""
        dispatch = self._dispatch
        for message in failed:
            with dispatch.lock:
                dispatch.activity += 1
                link = dispatch.homes[message.channel].link
                link.strays.append(message)
                if link is not self._link:
                    dispatch.move(link)
