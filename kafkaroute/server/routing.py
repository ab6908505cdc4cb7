"""Which handler answers which path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from .http import Refused, Request, Response, problem

__all__ = ["Access", "Endpoint", "Handler", "Routes"]

Handler = Callable[[Request], Awaitable[Response]]


class Access(Enum):
    """Who may ask."""

    ANYONE = "anyone"
    CALLER = "caller"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers a path.

    Attributes:
        path: exact; None answers every path that has no endpoint of its own.
        methods: by name. Whoever answers GET answers HEAD.
        wants: false leaves a request of this path to the endpoint without a path; None: all.
    """

    path: str | None
    methods: Mapping[str, Handler]
    access: Access = Access.CALLER
    wants: Callable[[Request], bool] | None = None


class Routes:
    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._by_path: dict[str | None, Endpoint] = {}
        for endpoint in endpoints:
            if endpoint.path in self._by_path:
                raise ValueError(f"two endpoints answer {endpoint.path}")
            self._by_path[endpoint.path] = endpoint

    def find(self, request: Request) -> tuple[Endpoint, Handler]:
        """Raises Refused where nothing answers the path or the method."""
        endpoint = self._by_path.get(request.path)
        if endpoint is None or (endpoint.wants is not None and not endpoint.wants(request)):
            endpoint = self._by_path.get(None)
        if endpoint is None:
            raise Refused(problem(404, "There is nothing here"))
        method = "GET" if request.method == "HEAD" else request.method
        handler = endpoint.methods.get(method)
        if handler is None:
            names = [*endpoint.methods, *(["HEAD"] if "GET" in endpoint.methods else [])]
            allowed = ", ".join(names)
            raise Refused(problem(405, f"Only {allowed} is answered", (b"allow", allowed.encode())))
        return endpoint, handler
