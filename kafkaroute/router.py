"""From a channel to the live native client that serves it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from threading import RLock
from typing import Generic, TypeVar
from weakref import WeakMethod

from .backend.contract import Backend, Capability
from .backend.registry import choose_backend, get_backend
from .catalog.cache.cache import ErrorListener, RouteCache, RouteListener
from .catalog.cache.shared import acquire_cache, release_cache
from .channel import Channel
from .errors import ChannelInvalid
from .forking import abandon
from .places import Place
from .route import Route
from .settings import Settings

__all__ = ["Router"]

ClientT = TypeVar("ClientT")


class Router(Generic[ClientT]):
    """Routes of one Producer or Consumer, and the native clients that it shares by Place.

    Args:
        settings: whose catalog, backend and overrides count.
        intent: ``produce`` or ``consume``.
        open_client: opens a native client for a place; called under the router's lock.
    """

    def __init__(
        self,
        settings: Settings,
        intent: str,
        open_client: Callable[[Backend, Place], ClientT],
    ) -> None:
        self.settings = settings
        self._intent = intent
        self._open_client = open_client
        self._lock = RLock()
        self._clients: dict[Place, ClientT] = {}
        self._backend = choose_backend(settings.backend)
        self.cache: RouteCache = acquire_cache(settings, intent)
        self._stop_following: Callable[[], None] | None = None

    def follow(
        self,
        changed: RouteListener,
        expired: Callable[[str], object] | None = None,
        failing: ErrorListener | None = None,
    ) -> None:
        """Have methods called until close(): `changed` and `failing` as :meth:`RouteCache.watch`
        and :meth:`RouteCache.watch_errors` say, `expired` with a channel whose route is too old to
        be used. They are held weakly: the cache may live as long as the process and must not keep
        its user alive."""
        cache = self.cache
        on_change = WeakMethod(changed)
        on_expiry = WeakMethod(expired) if expired is not None else None
        on_error = WeakMethod(failing) if failing is not None else None

        def tell_change(channel: str, old: Route, new: Route) -> None:
            if (method := on_change()) is not None:
                method(channel, old, new)
            else:
                cache.unwatch(tell_change)

        def tell_error(channel: str, route: Route, error: Exception | None) -> None:
            if on_change() is None:  # all three belong to one object
                cache.unwatch_errors(tell_error)
                return
            if on_error is not None and (heed := on_error()) is not None:
                heed(channel, route, error)
            expire = on_expiry() if on_expiry is not None else None
            if expire is not None and cache.peek(channel) is None:
                expire(channel)

        def stop() -> None:
            cache.unwatch(tell_change)
            cache.unwatch_errors(tell_error)

        cache.watch(tell_change)
        cache.watch_errors(tell_error)
        self._stop_following = stop

    def route(self, channel: str) -> Route:
        """The channel's route: at once when cached, else after one look-up.

        Raises as :meth:`RouteCache.get`; ChannelInvalid for a pattern, which is no one place."""
        _check_single(channel)
        return self.cache.get(channel)

    def members(self, pattern: str) -> Collection[str]:
        """The channels that a pattern stands for now; raises as :meth:`RouteCache.get`."""
        return (self.cache.get(pattern).members or {}).keys()

    def routes(self, channels: Iterable[str]) -> list[Route]:
        """The routes of several channels, looked up in parallel; raises the first failure."""
        wanted = list(channels)
        for channel in wanted:
            _check_single(channel)
        if len(wanted) > 1:
            answers = self.cache.preload(wanted)
            for channel in wanted:
                if isinstance(answer := answers[channel], BaseException):
                    raise answer
        return [self.cache.get(channel) for channel in wanted]

    def place(self, route: Route) -> Place:
        """Where the route leads with this application's overrides applied."""
        settings = self.settings
        return Place(self._backend, route.client_config(settings.client_config, settings.client_id))

    def client(self, place: Place) -> ClientT:
        """The native client of `place`, opened when there is none yet."""
        client = self._clients.get(place)
        if client is None:
            with self._lock:
                client = self._clients.get(place)
                if client is None:
                    client = self._open_client(get_backend(place.backend), place)
                    # Replaced, not changed: readers iterate without the lock.
                    self._clients = {**self._clients, place: client}
        return client

    def open(self, place: Place) -> ClientT:
        """A new native client of `place`, which nobody shares until :meth:`adopt`."""
        return self._open_client(get_backend(place.backend), place)

    def check(self, place: Place, *, consumer: bool) -> None:
        """Have the backend of `place` check its settings; raises as
        :meth:`kafkaroute.backend.contract.Backend.check_config`."""
        get_backend(place.backend).check_config(place.config, consumer=consumer)

    def peek(self, place: Place) -> ClientT | None:
        """The native client of `place` if there is one."""
        return self._clients.get(place)

    def adopt(self, place: Place, client: ClientT) -> None:
        """From now on `client` is the one of `place`; the one before is the caller's."""
        with self._lock:
            self._clients = {**self._clients, place: client}

    def supports(self, place: Place, capability: Capability) -> bool:
        """Whether the backend of `place` declares `capability`."""
        return capability in get_backend(place.backend).capabilities

    def clients(self) -> Collection[ClientT]:
        return self._clients.values()

    def places(self) -> Collection[Place]:
        return self._clients.keys()

    def forget(self, place: Place) -> ClientT | None:
        """Take a client out of use; closing it is the caller's."""
        with self._lock:
            remaining = dict(self._clients)
            client = remaining.pop(place, None)
            self._clients = remaining
            return client

    def forget_all(self) -> list[ClientT]:
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
            return clients

    def close(self) -> None:
        """Give the routes back; the clients are the caller's to close."""
        if self._stop_following is not None:
            self._stop_following()
        release_cache(self.cache)

    def after_fork_in_child(self) -> None:
        """Leave the parent's clients alone; keep its routes."""
        self._lock = RLock()
        for client in self._clients.values():
            abandon(client)
        self._clients = {}


def _check_single(channel: str) -> None:
    if isinstance(channel, str) and "*" in channel and Channel.parse(channel).is_pattern:
        raise ChannelInvalid(
            f"{channel} is a pattern, which only a Consumer can subscribe to: "
            "name one channel under it here"
        )
