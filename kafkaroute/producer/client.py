"""One native client, and what the core keeps beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

from ..backend.contract import Backend, BackendProducer
from ..backend.settings_keys import ConfigValue, is_on, number_of
from ..events import Spot
from ..places import Place, spot_of
from ..route import Route
from .hold import Hold
from .reports import Desk, Pair, Reports, as_it_is
from .undelivered import Undelivered

__all__ = ["Client", "Home"]


class Client:
    """A live native client.

    Args:
        desk: where its reports hands in what it cannot settle.
        redeliver: undelivered messages follow their route; not so in transactions, which must fail
            as a whole.
        reports: the application uses delivery callbacks.

    Attributes:
        tracked: failures are noticed, so that messages can follow.
        hold: what produce() appends to while the client is replaced, else None.
        doubtful: it is held only until it is known whether routes have changed: messages failed.
        native: the backend's producer.
        strays: messages that failed after their channel had left, to be sent by this client.
        gone: it is about to be closed: no channel may come back.
        cluster_id: its Kafka cluster's, "" where it has none to tell; None until somebody has asked.
    """

    __slots__ = (
        "__weakref__",
        "cluster_id",
        "doubtful",
        "gone",
        "hold",
        "native",
        "place",
        "reports",
        "strays",
        "tracked",
    )

    def __init__(
        self, backend: Backend, place: Place, desk: Desk, *, redeliver: bool, reports: bool
    ) -> None:
        self.place = place
        self.hold: Hold | None = None
        self.doubtful = False
        self.gone = False
        self.cluster_id: str | None = None
        self.strays: deque[Undelivered] = deque()
        self.tracked = redeliver and "transactional.id" not in place.config
        config = dict(place.config)
        default = config.pop("on_delivery", None) if self.tracked else None
        only_errors = is_on(config, "delivery.report.only.error")
        callback = default if callable(default) else None
        quiet = self.tracked and not only_errors and not reports and callback is None
        self.reports = Reports(desk, callback, quiet=quiet)
        self.native: BackendProducer = (
            backend.open_producer(
                config, on_failure=self.reports.failed, only_failures=only_errors or quiet
            )
            if self.tracked
            else backend.open_producer(config)
        )

    def direct(self, channel: str, topic: str) -> Pair:
        """How `channel` is sent by the client, held or not."""
        send, native = self.native.sender(topic), self.native.native_sender(topic)
        if self.tracked:
            return self.reports.pair(channel, topic, send, native)
        return send, send, as_it_is

    def begin_hold(self, forward: Callable[..., None]) -> Hold:
        """From now on produce() appends to a queue in front of the client."""
        self.hold = self.hold_like(forward)
        self.hold.drained_to(len(self.native))
        return self.hold

    def end_hold(self) -> Hold | None:
        """The hold that ends, if there was one."""
        hold, self.hold, self.doubtful = self.hold, None, False
        return hold

    def doubt(self, *, doubtful: bool) -> None:
        """Whether the hold is there only until it is known why messages failed."""
        self.doubtful = doubtful

    def move_to(self, place: Place) -> None:
        """The client serves `place` from now on: its login was replaced."""
        self.place = place

    def condemn(self) -> None:
        """The client is about to be closed."""
        self.gone = True

    def learn_cluster(self, cluster_id: str | None) -> None:
        """The cluster told who it is: "" where it has no id to tell, None where it did not answer."""
        self.cluster_id = cluster_id

    def take_strays(self) -> list[Undelivered]:
        """What waits to be sent again, taken out."""
        taken = list(self.strays)
        self.strays.clear()
        return taken

    def hold_like(self, forward: Callable[..., None]) -> Hold:
        """A hold with the bounds that the client's own queue has."""
        config = self.place.config
        messages = _bound(config, "queue.buffering.max.messages")
        kbytes = _bound(config, "queue.buffering.max.kbytes")
        return Hold(forward, messages, kbytes * 1024)

    def kept(self) -> int:
        """Messages that are not the client's now: held, collected, or to be sent again."""
        held = 0 if self.hold is None else len(self.hold)
        return len(self.strays) + self.reports.waiting() + held


class Home(NamedTuple):
    """Where a channel lives: which client sends it, by which route."""

    client: Client
    route: Route

    @property
    def spot(self) -> Spot:
        """As people name it."""
        return spot_of(self.client.place, self.route.topic, route=self.route)


def _bound(config: Mapping[str, ConfigValue], key: str) -> float:
    number = int(number_of(config, key))
    return number if number > 0 else inf
