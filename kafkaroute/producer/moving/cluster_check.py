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
from typing import TYPE_CHECKING

from ...errors import KafkarouteError
from ...messages import KafkaError, kafka_exception
from ..client import Home, Link
from ..hold import Hold
from ..undelivered import Undelivered
from .resend import Outlets

if TYPE_CHECKING:
    from ..dispatch import Dispatch

__all__ = ["Proving"]

_log = logging.getLogger("kafkaroute.producer")

#: Seconds that one question may take: close() waits for its end.
_TIMEOUT = 0.5
#: Seconds between two questions: doubled from the first to the last.
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0
#: As in a mover: messages sent at the end of a hold while nobody can append, and at once before.
_LAST_CHUNK, _CHUNK = 1000, 5000
#: librdkafka's default for message.timeout.ms.
_MESSAGE_TIMEOUT = 300_000


class Proving:
    """The channels of one Producer that wait for their cluster to tell who it is."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._waiting: dict[Link, dict[str, Hold]] = {}
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
        if home.route.cluster_id is not None and home.link.cluster_id is None:
            home.link.cluster_id = _told_by(home.link, self._dispatch.settings.timeout)
            if home.link.cluster_id is None:
                text = f"channel {channel}: its cluster does not say whether it is the right one"
                raise kafka_exception(KafkaError._TIMED_OUT, text)
        self._check(channel, home)

    def check(self, channel: str, home: Home) -> None:
        """Have the channel's messages held where its cluster is not known yet. Lock held.

        Raises KafkaException: ``_CONFLICT``, it is another than the catalog says."""
        if home.route.cluster_id is not None and home.link.cluster_id is None:
            self._hold(channel, home.link)
        self._check(channel, home)

    @staticmethod
    def _check(channel: str, home: Home) -> None:
        if (wrong := _mismatch(channel, home)) is not None:
            raise kafka_exception(KafkaError._CONFLICT, wrong)

    def _hold(self, channel: str, link: Link) -> None:
        dispatch = self._dispatch
        first = link not in self._waiting
        waiting = self._waiting.setdefault(link, {})
        if channel not in waiting:
            waiting[channel] = hold = link.hold_like(dispatch.send)
            dispatch.fronts.add(channel, hold)
        dispatch.busy = True
        if first:
            thread = threading.Thread(
                target=self._run, args=(link,), name="kafkaroute-proving", daemon=True
            )
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    # The thread: one for each client that is not known yet.

    def _run(self, link: Link) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            try:
                if link.cluster_id is None:
                    link.cluster_id = _told_by(link, _TIMEOUT)
                if self._settle(link):
                    return
            except Exception:
                _log.exception("asking a cluster for its id failed; it is tried again")
            self._stop.wait(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    def _settle(self, link: Link) -> bool:
        """Let go of the channels whose cluster is known; whether none is left."""
        dispatch = self._dispatch
        for channel, hold in list(self._waiting[link].items()):
            home = dispatch.homes[channel]
            if home.link is link and link.cluster_id is None:
                self._expire(link, hold)
            elif home.link is link and (wrong := _mismatch(channel, home)) is not None:
                _log.error("%s", wrong)
                self._refuse(hold, wrong)
                with dispatch.lock:
                    self._lift(link, channel, hold)
                    late = hold.take_all(end=True)
                self._fail(late, KafkaError(KafkaError._CONFLICT, wrong))
            else:
                self._release(link, channel, hold)
        with dispatch.lock:
            if self._waiting[link]:
                return False
            del self._waiting[link]
            return True

    def _release(self, link: Link, channel: str, hold: Hold) -> None:
        dispatch = self._dispatch
        outlets = Outlets(dispatch, None, hold)
        while not self._stop.is_set():
            before = len(hold)
            try:
                if before > _LAST_CHUNK:
                    hold.release_some(outlets.send, min(before, _CHUNK))
                if len(hold) <= _LAST_CHUNK or len(hold) >= before:
                    with dispatch.lock:
                        lift = lambda: self._lift(link, channel, hold)  # noqa: E731
                        if hold.finish(outlets.send, _LAST_CHUNK, lift):
                            return
            except BufferError:
                outlets.make_room()

    def _lift(self, link: Link, channel: str, hold: Hold) -> None:
        """The hold ends. Lock held."""
        dispatch = self._dispatch
        dispatch.activity += 1
        dispatch.forget_senders(dispatch.fronts.lift(hold))
        self._waiting[link].pop(channel, None)

    def _refuse(self, hold: Hold, wrong: str) -> None:
        with self._counted(hold) as held:
            self._fail(held, KafkaError(KafkaError._CONFLICT, wrong))

    def _expire(self, link: Link, hold: Hold) -> None:
        """Messages get no older here than in the client's own queue (``message.timeout.ms``)."""
        limit = float(str(link.place.config.get("message.timeout.ms", _MESSAGE_TIMEOUT))) / 1000
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
            home = self._dispatch.homes.get(message.channel)
            self._dispatch.refuse(message, "" if home is None else home.route.topic, error)

    # The end.

    def take(self, link: Link, *, end: bool) -> list[Undelivered]:
        """Remove and return what waits for `link`, to be failed."""
        waiting = self._waiting.get(link, {})
        return [message for hold in list(waiting.values()) for message in hold.take_all(end=end)]

    def stop(self) -> None:
        """The Producer closes: what waits stays where it is."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _told_by(link: Link, timeout: float) -> str | None:
    """The id that the link's cluster tells, "" where it has none to tell; None: no answer."""
    with suppress(KafkarouteError):
        # Of no topic in particular: asking for one may create it.
        return link.client.list_topics(None, timeout).cluster_id or ""
    return None


def _mismatch(channel: str, home: Home) -> str | None:
    """What is wrong with the cluster, as far as it is known."""
    told, wanted = home.link.cluster_id, home.route.cluster_id
    if not told or wanted is None or told == wanted:
        return None
    return (
        f"channel {channel} is not written: its bootstrap servers lead to cluster {told}, and the "
        f"catalog says {wanted}"
    )
