"""Whether a native client has reached the cluster that the catalog means (`cluster_id`), found out
before the first message of a channel is written.

Asking takes as long as the cluster takes to answer, so nobody waits for it: the channel's messages
are held meanwhile, as during a move. Places that a channel moves to were asked before (Opening).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ...backend.settings_keys import number_of
from ...errors import KafkarouteError
from ...messages import KafkaError, kafka_exception
from ..client import Client, Home
from ..hold import Hold
from ..table import Table
from ..undelivered import Undelivered
from .resend import Resend

__all__ = ["ClusterCheck"]

_log = logging.getLogger("kafkaroute.producer")

#: Seconds that one question may take: close() waits for its end.
_TIMEOUT = 0.5
#: Seconds between two questions: doubled from the first to the last.
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0


class ClusterCheck:
    """The channels of one Producer that wait for their cluster to tell who it is."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._waiting: dict[Client, dict[str, Hold]] = {}
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._in_hand = 0
        self._counting = threading.Lock()

    @property
    def active(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def kept(self) -> int:
        """How many messages wait."""
        holds = [
            hold for waiting in list(self._waiting.values()) for hold in list(waiting.values())
        ]
        return self._in_hand + sum(len(hold) for hold in holds)

    # Called by produce(), for a channel without a sender.

    def ask(self, channel: str, home: Home) -> None:
        """Find out now: a transaction, which is to begin there, waits for its cluster anyway.

        Raises KafkaException: as :meth:`check`; ``_TIMED_OUT``: it does not answer."""
        if home.route.cluster_id is not None and home.client.cluster_id is None:
            home.client.learn_cluster(_told_by(home.client, self._table.settings.timeout))
            if home.client.cluster_id is None:
                text = f"channel {channel}: its cluster does not say whether it is the right one"
                raise kafka_exception(KafkaError._TIMED_OUT, text)
        self._check(channel, home)

    def check(self, channel: str, home: Home) -> None:
        """Have the channel's messages held where its cluster is not known yet.

        Raises KafkaException: ``_CONFLICT``, it is another than the catalog says."""
        if home.route.cluster_id is not None and home.client.cluster_id is None:
            self._hold(channel, home.client)
        self._check(channel, home)

    @staticmethod
    def _check(channel: str, home: Home) -> None:
        if (wrong := _mismatch(channel, home)) is not None:
            raise kafka_exception(KafkaError._CONFLICT, wrong)

    def _hold(self, channel: str, client: Client) -> None:
        first = client not in self._waiting
        waiting = self._waiting.setdefault(client, {})
        if channel not in waiting:
            waiting[channel] = self._table.hold_channel(channel, client)
        if first:
            thread = threading.Thread(
                target=self._run, args=(client,), name="kafkaroute-proving", daemon=True
            )
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    # The thread: one for each client that is not known yet.

    def _run(self, client: Client) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            try:
                if client.cluster_id is None:
                    client.learn_cluster(_told_by(client, _TIMEOUT))
                if self._settle(client):
                    return
            except Exception:
                _log.exception("asking a cluster for its id failed; it is tried again")
            self._stop.wait(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    def _settle(self, client: Client) -> bool:
        """Let go of the channels whose cluster is known; whether none is left."""
        table = self._table
        for channel, hold in list(self._waiting[client].items()):
            home = table.homes[channel]
            if home.client is client and client.cluster_id is None:
                self._expire(client, hold)
            elif home.client is client and (wrong := _mismatch(channel, home)) is not None:
                _log.error("%s", wrong)
                self._refuse(hold, wrong)
                with table.locked():
                    self._lift(client, channel, hold)
                    late = hold.take_all(end=True)
                self._fail(late, KafkaError(KafkaError._CONFLICT, wrong))
            else:
                self._release(client, channel, hold)
        with table.locked():
            if self._waiting[client]:
                return False
            del self._waiting[client]
            return True

    def _release(self, client: Client, channel: str, hold: Hold) -> None:
        def lift() -> None:
            self._lift(client, channel, hold)

        Resend(self._table, None, hold).release(hold, lift, self._stop.is_set)

    def _lift(self, client: Client, channel: str, hold: Hold) -> None:
        """The hold ends. Under the table's lock."""
        self._table.lift_hold(hold)
        self._waiting[client].pop(channel, None)

    def _refuse(self, hold: Hold, wrong: str) -> None:
        with self._counted(hold) as held:
            self._fail(held, KafkaError(KafkaError._CONFLICT, wrong))

    def _expire(self, client: Client, hold: Hold) -> None:
        """Messages get no older here than in the client's own queue (``message.timeout.ms``)."""
        limit = number_of(client.place.config, "message.timeout.ms") / 1000
        oldest = hold.oldest()
        if not limit or oldest is None or time.time() - oldest <= limit:
            return
        now = time.time()
        with self._counted(hold) as held:
            young = [message for message in held if now - message.accepted_at <= limit]
            hold.put_first(young)
            self._fail(held[: len(held) - len(young)], KafkaError(KafkaError._MSG_TIMED_OUT))

    @contextmanager
    def _counted(self, hold: Hold) -> Iterator[list[Undelivered]]:
        """What is held, taken out, but not missing from :meth:`kept` meanwhile."""
        with self._counting:
            self._in_hand = len(hold)
            try:
                yield hold.take_all(end=False)
            finally:
                self._in_hand = 0

    def _fail(self, messages: list[Undelivered], error: KafkaError) -> None:
        for message in messages:
            home = self._table.homes.get(message.channel)
            self._table.refuse(message, "" if home is None else home.route.topic, error)

    # The end.

    def take(self, client: Client, *, end: bool) -> list[Undelivered]:
        """Remove and return what waits for `client`, to be failed."""
        waiting = self._waiting.get(client, {})
        return [message for hold in list(waiting.values()) for message in hold.take_all(end=end)]

    def stop(self) -> None:
        """The Producer closes: what waits stays where it is."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _told_by(client: Client, timeout: float) -> str | None:
    """The id that the client's cluster tells, "" where it has none to tell; None: no answer."""
    with suppress(KafkarouteError):
        # Of no topic in particular: asking for one may create it.
        return client.native.list_topics(None, timeout).cluster_id or ""
    return None


def _mismatch(channel: str, home: Home) -> str | None:
    """What is wrong with the cluster, as far as it is known."""
    told, wanted = home.client.cluster_id, home.route.cluster_id
    if not told or wanted is None or told == wanted:
        return None
    return (
        f"channel {channel} is not written: its bootstrap servers lead to cluster {told}, and the "
        f"catalog says {wanted}"
    )
