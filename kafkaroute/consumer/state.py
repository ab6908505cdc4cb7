"""What the parts of a Consumer share: its members, its turns, its router."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ..channel import Channel
from ..errors import ClosedError
from ..messages import KafkaError, Message, kafka_exception
from ..route import Route
from ..router import Router
from .clients import Member, Members
from .fair_lock import Turns
from .passing import PassingErrors
from .polling import FairPoll
from .rebalances import Rebalance

__all__ = ["ConsumerState"]


class ConsumerState(ABC):
    """The state of one Consumer; public calls live in its subclasses, by theme."""

    def __init__(self, router: Router[Member]) -> None:
        self._router = router
        self._members = Members()
        self._passing = PassingErrors()
        self._turns = Turns()
        self._closed = False
        self._closing = False
        self._stale = False
        self._rebalancing: Rebalance | None = None
        self._fair = FairPoll()
        #: Whether something moves, or may: poll() then takes the longer way.
        self._moving = False
        #: Routes that changed, as the refresher told: (channel, old, new).
        self._news: deque[tuple[str, Route, Route]] = deque()
        #: After a manual assign() nothing moves by itself.
        self._manual = False
        #: The application has committed something by itself.
        self._has_committed = False
        #: Events to hand out, as the call that read them raised.
        self._stash: list[Message] = []

    @abstractmethod
    def _subscribe_again(self) -> None:
        """Open anew what the last subscribe() named."""

    @abstractmethod
    def _look_at_patterns(self) -> None:
        """Read what the subscription's patterns stand for now."""

    @abstractmethod
    def is_moving(self) -> bool:
        """Whether a channel has yet to leave an old place, whose messages are not all read."""

    @abstractmethod
    def stop_moving(self) -> None:
        """Give up the moves under way: what is assigned stays, nothing is released or watched."""

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One call's turn at the native consumers."""
        with self._turns:
            self._ready()
            yield

    def _ready(self) -> tuple[Member, ...]:
        if self._closed:
            raise ClosedError("the Consumer is closed")
        if self._stale:
            self._stale = False
            self._subscribe_again()
        return self._members.all

    def _check_named(self) -> None:
        """Look up what the setting `channels` names, and have the backend check where it leads."""
        router = self._router
        named = [one for one in router.settings.channels if not Channel.parse(one).is_pattern]
        try:
            for route in router.routes(named):
                router.check(router.place(route), consumer=True)
        except BaseException:
            router.close()
            raise

    def _check_not_closing(self, call: str) -> None:
        if self._closing:  # from a callback of close(): librdkafka aborts the process (2.16)
            raise kafka_exception(KafkaError._STATE, f"{call}() while the Consumer is closing")
