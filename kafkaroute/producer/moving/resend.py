"""Producing messages again, on a mover's thread."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...errors import ClosedError, KafkaException
from ...messages import KafkaError
from ..client import Client
from ..hold import Hold
from ..reports import Pair
from ..table import Table
from ..undelivered import Undelivered

__all__ = ["NeedsReportsError", "Resend"]

#: Messages sent at the end of a hold while nobody can append, and at once before that.
_LAST_CHUNK, _CHUNK = 1000, 5000
#: Seconds that a full client is served for at once.
_SLICE = 0.02


class NeedsReportsError(Exception):
    """A message has a callback, and the client that shall send it reports failures only."""


class Resend:
    """Senders to where channels live now.

    Args:
        client: the client that is being replaced, if one is.
        hold: where the messages come from, if not from that client's.
    """

    def __init__(self, table: Table, client: Client | None, hold: Hold | None = None) -> None:
        self._table = table
        self._client = client
        self._hold = hold
        self._known: dict[str, tuple[Client, str, Pair]] = {}
        self._full: Client | None = None

    def send(self, message: Undelivered) -> None:
        """Produce `message`; what a client refuses is reported to the application.

        Raises BufferError (see :meth:`make_room`) and NeedsReportsError.
        """
        table, channel = self._table, message.channel
        while True:
            hold = self._client.hold if self._client is not None else self._hold
            behind = table.holds.behind(channel, hold)
            if behind is not None:
                if behind.take_on(message):
                    return
                continue  # it has just ended
            client, route = table.homes[channel]
            if message.callback is None or not client.reports.quiet:
                break
            if client is self._client:
                raise NeedsReportsError
            table.replace_quiet(client)
        known = self._known.get(channel)
        if known is not None and known[0] is client and known[1] == route.topic:
            pair = known[2]
        else:
            pair = client.direct(channel, route.topic)
            self._known[channel] = (client, route.topic, pair)
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
            self._full = client
            raise
        except KafkaException as error:
            table.refuse(message, route.topic, error.args[0])
        except Exception as error:
            reason = f"not accepted by the new place: {type(error).__name__}"
            refusal = KafkaError(KafkaError._INVALID_ARG, reason)
            table.refuse(message, route.topic, refusal)

    def release(
        self, hold: Hold, lift: Callable[[], None], interrupted: Callable[[], bool]
    ) -> bool:
        """Send what is held and, when nothing is left, `lift` the hold, so that produce() sends by
        itself. False when `interrupted`.

        Raises NeedsReportsError.
        """
        while not interrupted():
            before = len(hold)
            try:
                if before > _LAST_CHUNK:
                    hold.release_some(self.send, min(before, _CHUNK))
                # Also when more was appended than sent: the lock then slows the others down.
                if len(hold) <= _LAST_CHUNK or len(hold) >= before:
                    with self._table.locked():
                        if not interrupted() and hold.finish(self.send, _LAST_CHUNK, lift):
                            return True
            except BufferError:
                self.make_room()
        return False

    def make_room(self) -> None:
        """A client is full: serve it, as the application may not poll."""
        client, self._full = self._full, None
        if client is None:
            return
        client.reports.divert(1)
        try:
            client.native.poll(_SLICE)
        except ClosedError:
            time.sleep(_SLICE)  # its channel has left it
        finally:
            client.reports.divert(-1)
