"""The catalog service as a raw ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from .admin import Moves
from .answers import Answers
from .auth.authentication import Authentication
from .auth.identity import RequestAuthenticator
from .failures import told_without_texts
from .health import Probes
from .http import Identity, Message, Receive, Refused, Request, Response, Send, problem
from .openapi import described
from .pages.handler import Page, wants_page
from .routing import Access, Endpoint, Routes
from .secret_keeper import keep_secrets
from .seen import SeenCallers
from .sightings import Sightings
from .stores.store import RulesStore, State
from .waiting import LongPolls, wanted_wait

__all__ = ["CatalogApp", "Observer"]

_log = logging.getLogger("kafkaroute.server")
_UNAVAILABLE = "The rules are not loaded yet"

#: Called after each answer; must be quick and must not raise.
Observer = Callable[[Request, Response], None]


class CatalogApp:
    """Answers the catalog contract from `store`, which it follows while it is served.

    Args:
        store: the rules.
        authenticator: how callers prove who they are; by default whatever the rules accept.
        endpoints: more of them.
        observers: told of every answer, in order; for an audit log.

    Attributes:
        seen: who asked for what lately.
        polls: the requests that wait.
    """

    def __init__(
        self,
        store: RulesStore,
        *,
        authenticator: RequestAuthenticator | None = None,
        endpoints: Iterable[Endpoint] = (),
        observers: Iterable[Observer] = (),
    ) -> None:
        self.store = store
        self.seen = SeenCallers()
        self.answers = Answers()
        self.polls = LongPolls(self.answers, lambda: store.state)
        self._authenticator = authenticator or Authentication()
        self._sightings = Sightings(self.seen, store)
        self._observers = (self._sightings.observe, *observers)
        probes = Probes(store)
        moves = Moves(store, self._sightings)
        page = Page(store, self.seen, self._sightings)
        # A way of proving that remembers nothing is asked each time.
        self._remembered = getattr(self._authenticator, "remembered", _nobody)
        self._contract = self._answer
        self._routes = Routes(
            (
                Endpoint("/healthz", {"GET": probes.health}, Access.ANYONE),
                Endpoint("/readyz", {"GET": probes.ready}, Access.ANYONE),
                Endpoint("/v1/moves", {"GET": moves.shown, "POST": moves.made}, Access.ADMIN),
                Endpoint("/openapi.json", {"GET": described}, Access.ANYONE),
                Endpoint("/", {"GET": page.shown}, wants=wants_page),
                *endpoints,
                Endpoint(None, {"GET": self._contract}),
            )
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        # Anything else (a web socket) is left unanswered, which ASGI servers refuse.

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                self.store.on_change(partial(_look_in, loop, self.polls))
                await asyncio.to_thread(self.store.start)
                tasks.append(loop.create_task(self._sightings.share()))
                tasks.append(loop.create_task(keep_secrets(self.store)))
                await send({"type": "lifespan.startup.complete"})
            elif event["type"] == "lifespan.shutdown":
                self.polls.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.to_thread(self.store.stop)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except Refused as refused:
            response = refused.response
        except Exception as error:
            _log.error("answering failed: %s", told_without_texts(error))
            response = problem(500, "Internal error")
        self._tell(request, response)
        start = response.sent_headers()
        await send({"type": "http.response.start", "status": response.status, "headers": start})
        body = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})

    def at_once(self, request: Request) -> Response | None:
        """The contract's GET from what is remembered: who asks was proven before, and the answer
        was rendered. None where anything else is needed.

        For a request without a body whose head is within the limits.
        """
        state = self.store.state
        if state is None or self._routes.find(request)[1] is not self._contract:
            return None
        identity: Identity | None = self._remembered(request, state)
        if identity is None:
            return None
        found = self.answers.kept(state, identity.name, request.query)
        if found is None:
            return None
        request.identified(identity)
        response = found.for_request(request.headers.get(b"if-none-match"))
        self._tell(request, response)
        return response

    def _tell(self, request: Request, response: Response) -> None:
        for observe in self._observers:
            observe(request, response)
        _log.debug("%s %r answered %d", request.method, request.path, response.status)

    async def _respond(self, request: Request) -> Response:
        request.check_size()
        endpoint, handler = self._routes.find(request)
        if request.method not in {"GET", "HEAD"}:
            request.check_origin()
        await request.read_body()
        if endpoint.access is not Access.ANYONE:
            identity = await self._authenticator.identify(request, self._state())
            if identity is None:
                return self._unauthorized()
            request.identified(identity)
            if endpoint.access is Access.ADMIN and not identity.admin:
                return problem(403, "This needs a caller who is an admin in the rules")
        return await handler(request)

    def _state(self) -> State:
        state = self.store.state
        if state is None:
            raise Refused(problem(503, _UNAVAILABLE, (b"retry-after", b"2")))
        return state

    def _unauthorized(self) -> Response:
        return problem(401, "Unauthorized", *self._authenticator.challenges())

    async def _answer(self, request: Request) -> Response:
        """The contract's GET."""
        assert request.identity is not None
        found = await self.answers.current(
            self._state, request.identity.name, request.query, request.who
        )
        if_none_match = request.headers.get(b"if-none-match")
        response = found.for_request(if_none_match)
        if response is not found.unchanged or found.etag is None:
            return response
        seconds = wanted_wait(request.headers.get(b"prefer"))
        if not seconds:
            return response
        changed = await self.polls.wait(request, found, seconds, self._authenticator)
        return changed or self._unauthorized()


def _nobody(_request: Request, _state: State) -> None:
    return None


def _look_in(loop: asyncio.AbstractEventLoop, polls: LongPolls) -> None:
    loop.call_soon_threadsafe(polls.look)
