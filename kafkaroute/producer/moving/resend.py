"""Producing messages again, on a mover's thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...errors import ClosedError, KafkaException
from ...messages import KafkaError
from ..client import Link
from ..hold import Hold
from ..reports import Pair
from ..undelivered import Undelivered

if TYPE_CHECKING:
    from ..dispatch import Dispatch

__all__ = ["NeedsReportsError", "Outlets"]

#: Seconds that a full client is served for at once.
_SLICE = 0.02


class NeedsReportsError(Exception):
    """A message has a callback, and the client that shall send it reports failures only."""


class Outlets:
    """Senders to where channels live now.

    Args:
        link: the client that is being replaced, if one is.
        hold: where the messages come from, if not from that client's.
    """

    def __init__(self, dispatch: Dispatch, link: Link | None, hold: Hold | None = None) -> None:
        self._dispatch = dispatch
        self._link = link
        self._hold = hold
        self._known: dict[str, tuple[Link, str, Pair]] = {}
        self._full: Link | None = None

    def send(self, message: Undelivered) -> None:
        """Produce `message`; what a client refuses is reported to the application.

        Raises BufferError (see :meth:`make_room`) and NeedsReportsError.
        """
        dispatch, channel = self._dispatch, message.channel
        while True:
            hold = self._link.hold if self._link is not None else self._hold
            behind = dispatch.fronts.behind(channel, hold)
            if behind is not None:
                if behind.take_on(message):
                    return
                continue  # it has just ended
            link, route = dispatch.homes[channel]
            if message.callback is None or not link.tracker.quiet:
                break
            if link is self._link:
                raise NeedsReportsError
            dispatch.replace_quiet(link)
        known = self._known.get(channel)
        if known is not None and known[0] is link and known[1] == route.topic:
            pair = known[2]
        else:
            pair = link.direct(channel, route.topic)
            self._known[channel] = (link, route.topic, pair)
        try:
            pair[1](
                message.value,
                message.key,
                message.partition,
                message.callback,
                message.created,
                message.headers,
            )
        except BufferError:
            self._full = link
            raise
        except KafkaException as error:
            self._dispatch.refuse(message, route.topic, error.args[0])
        except Exception as error:
            reason = f"not accepted by the new place: {type(error).__name__}"
            refusal = KafkaError(KafkaError._INVALID_ARG, reason)
            self._dispatch.refuse(message, route.topic, refusal)

    def make_room(self) -> None:
        """A client is full: serve it, as the application may not poll."""
        link, self._full = self._full, None
        if link is None:
            return
        link.tracker.divert(1)
        try:
            link.client.poll(_SLICE)
        except ClosedError:
            time.sleep(_SLICE)  # its channel has left it
        finally:
            link.tracker.divert(-1)
