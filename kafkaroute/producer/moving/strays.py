"""Messages that fail beside the sequence of a move: before it, or at a client that was left."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from ...errors import KafkarouteError
from ..client import Client
from ..table import Table
from ..undelivered import Undelivered, in_order
from .drain import rescue
from .resend import NeedsReportsError, Resend

__all__ = ["Strays"]

_log = logging.getLogger("kafkaroute.moves")

#: A thread may sit between looking a sender up and calling it, so a client that no channel uses
#: any more is closed only after this many seconds.
_GRACE = 5.0
_SLICE = 0.02


class Strays:
    """What `client` is to send again, and what it leaves for others to send. On its mover's thread.

    Args:
        stop: set when the Producer closes.
    """

    def __init__(self, table: Table, client: Client, stop: threading.Event) -> None:
        self._table = table
        self._client = client
        self._stop = stop

    def send(self) -> None:
        """Send what was handed to this client, or on to the one that has the channel now."""
        table, client = self._table, self._client
        resend = Resend(table, client)
        while client.strays and not self._stop.is_set():
            with table.locked():
                if client.hold is not None:
                    client.hold.put_first(client.take_strays())
                    return
            message = client.strays[0]
            try:
                if table.homes[message.channel].client is not client:
                    self._forward([message])
                else:
                    resend.send(message)
            except BufferError:
                resend.make_room()
            except NeedsReportsError:
                table.replace_quiet(client)
            else:
                client.strays.popleft()

    def settle(self, again: threading.Event) -> None:
        """Nothing moves, or not now: what failed meanwhile has failed for good (sent once more, it
        would come behind younger messages), except where the channel has left.

        Args:
            again: set when there is to be another look at what moves, which decides.
        """
        table, client = self._table, self._client
        with table.locked():
            if again.is_set():
                return
            failed = in_order(client.reports.collected(go_on=False))
            for message in failed:
                home = table.homes[message.channel]
                if home.client is not client or message.error is None:
                    self._forward([message])
                else:
                    table.refuse(message, home.route.topic, message.error)

    def refuse_staying(self, leaving: set[str]) -> None:
        """What failed before a move has failed for good where its channel does not move."""
        table, client = self._table, self._client

        def stays(message: Undelivered) -> bool:
            here = table.homes[message.channel].client is client
            return here and message.report is not None and message.channel not in leaving

        for message in in_order(client.reports.give_back(stays)):
            assert message.error is not None
            table.refuse(message, table.homes[message.channel].route.topic, message.error)

    def close_old(self) -> bool:
        """Serve a client that nobody uses until no thread can have its senders in hand; then close
        it, unless a channel came back. False when the Producer closes, which then does it."""
        table, client = self._table, self._client
        leave_at = time.monotonic() + _GRACE
        while client in table.retired and (time.monotonic() < leave_at or len(client.native)):
            if self._stop.wait(_SLICE):
                return False
            if not client.tracked:
                continue  # its reports are the application's to serve
            try:
                client.native.poll(_SLICE)
            except KafkarouteError as error:
                _log.warning("the old client failed for good: %s", error)
            if time.monotonic() >= leave_at and len(client.native) and not self._rescue():
                leave_at = time.monotonic() + _GRACE
            self._forward(in_order(client.reports.collected(go_on=True)))
        self._forward(client.reports.collected(go_on=False))
        if table.release(client):
            client.native.close(0)
        return True

    def _rescue(self) -> bool:
        """Take from a client that nobody uses what it does not get rid of."""
        if not self._table.condemn(self._client):
            return False
        return rescue(self._client)

    def _forward(self, failed: Iterable[Undelivered]) -> None:
        """Let messages that failed be sent by whichever client their channel has now."""
        table = self._table
        for message in failed:
            with table.locked():
                client = table.stray(message)
                if client is not self._client:
                    table.follow(client)
