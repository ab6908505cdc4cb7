"""Opening new places, and finding out whether they can be written, before anything else changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ...errors import KafkarouteError
from ...events import Phase
from ...places import Place, check_place
from ...route import Route
from ...router import Router
from ..client import Client
from .journal import Change, Journal

__all__ = ["Opening", "cluster_id_of"]

#: Seconds that a new place has to answer one question.
_TIMEOUT = 2.0
#: Seconds between two attempts to reach a new place: doubled from the first to the last.
_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0


class Opening:
    """The new places of one native client's channels.

    Args:
        client: the client that the channels leave.

    Attributes:
        retry_at: time.monotonic() of the next attempt; infinity while there is none to make.
    """

    def __init__(self, router: Router[Client], client: Client, journal: Journal) -> None:
        self._router = router
        self._client = client
        self._journal = journal
        self._candidates: dict[Place, Client] = {}
        self._refusals: dict[str, tuple[Route, str]] = {}
        self._retry_after = _FIRST_RETRY
        self.retry_at = float("inf")

    def refusal(self, channel: str, route: Route) -> str | None:
        """Why `route` cannot be taken; None while it is not known to be unreachable."""
        known = self._refusals.get(channel)
        return known[1] if known is not None and known[0] == route else None

    def open(
        self, changes: Iterable[Change], interrupted: Callable[[], bool]
    ) -> tuple[list[Change], dict[Place, Client]]:
        """Those of `changes` whose new place answers for their topic, and its client. Others are
        left out until their time has come, at once when `interrupted`."""
        changes = list(changes)
        self._forget_others(changes)
        ready: list[Change] = []
        targets: dict[Place, Client] = {}
        failed, due = False, time.monotonic() >= self.retry_at
        for change in changes:
            before = self.refusal(change.channel, change.new)
            if interrupted() or (before is not None and not due):
                continue
            client, refusal = self._try(change)
            if client is None or refusal is not None:
                failed = True
                self._refusals[change.channel] = (change.new, refusal or "")
                if before is None:
                    self._journal.tell(Phase.UNREACHABLE, change, detail=refusal or "")
                continue
            self._refusals.pop(change.channel, None)
            self._journal.tell(Phase.OPENED, change)
            ready.append(change)
            targets[change.place] = client
        self._plan_retry(failed=failed, due=due)
        return ready, targets

    def _plan_retry(self, *, failed: bool, due: bool) -> None:
        if not self._refusals:
            self.retry_at, self._retry_after = float("inf"), _FIRST_RETRY
        elif due or failed:
            self.retry_at = time.monotonic() + self._retry_after
            self._retry_after = min(2 * self._retry_after, _LAST_RETRY)

    def _forget_others(self, changes: list[Change]) -> None:
        """What is no longer asked for, or another route by now, is not held against it."""
        wanted = {change.channel: change.new for change in changes}
        for channel, (route, _) in list(self._refusals.items()):
            if wanted.get(channel) != route:
                del self._refusals[channel]
                self._retry_after, self.retry_at = _FIRST_RETRY, float("-inf")
        for place in self._candidates.keys() - {change.place for change in changes}:
            self._candidates.pop(place).native.close(0)

    def _try(self, change: Change) -> tuple[Client | None, str | None]:
        place = change.place
        client = self._client if place == self._client.place else self._router.peek(place)
        if client is None:
            client = self._candidates.get(place)
        if client is None:
            try:
                client = self._candidates[place] = self._router.open(place)
            except KafkarouteError as error:
                return None, f"refused: {error}"
        if place in self._candidates:
            # Log lines and errors want to be served; reports of a shared client do not, here.
            client.native.poll(0)
        return client, _refusal_of(client, change.new)

    def taken(self, place: Place, client: Client) -> None:
        """`client` is shared now, and not this one's to close."""
        if self._candidates.get(place) is client:
            del self._candidates[place]

    def candidates(self) -> list[Client]:
        """Clients that nobody shares yet."""
        return list(self._candidates.values())

    def close(self) -> None:
        """Close what was opened and not taken."""
        for candidate in self._candidates.values():
            candidate.native.close(0)
        self._candidates.clear()


def cluster_id_of(client: Client) -> str | None:
    """The id of the client's Kafka cluster; None where it does not answer."""
    try:
        return client.native.list_topics(None, _TIMEOUT).cluster_id
    except KafkarouteError:
        return None


def _refusal_of(client: Client, route: Route) -> str | None:
    """Why `client` cannot take over `route` now; None when its cluster answers for the topic."""
    try:
        answer = client.native.list_topics(route.topic, _TIMEOUT)
    except KafkarouteError as error:
        return f"no answer: {error}"
    client.learn_cluster(answer.cluster_id or "")
    wrong = check_place(answer, route.topic, route.cluster_id, to_read=False)
    return None if wrong is None else f"topic {route.topic}: {wrong}"
