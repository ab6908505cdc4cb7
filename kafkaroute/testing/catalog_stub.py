"""An HTTP catalog for tests that answers like the existing service, request by request.

It listens on the loopback interface, on a port of the operating system's choice, records every
request with its raw query string, and misbehaves on demand::

    with CatalogStub() as stub:
        stub.put("kafka://example.com/bar", topic="c0t3",
                 connection={"bootstrap.servers": "127.0.0.1:9092"})
        ...                       # Producer(stub.settings())
        stub.fault = Fault.HANG   # until it is set to None
        assert stub.requests[0].query == "config_profile=..."
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from .faults import Fault, misbehave

__all__ = ["CatalogStub", "Fault", "StubRequest"]

_REQUIRED = "config_profile and channel query parameters are required"


@dataclass(slots=True)
class StubRequest:
    """One request as it came in.

    Attributes:
        query: the raw query string, exactly as on the wire.
        status: the answer's status; 0 while there is none (or never will be).
        at: time.monotonic() of its arrival.
        connection: number of the TCP connection it came on (keep-alive shows as equal numbers).
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    at: float
    connection: int
    status: int = 0


@dataclass(slots=True)
class _Place:
    topic: str
    connection: dict[str, Any]
    credentials: dict[str, Any]
    configuration: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)


class CatalogStub:
    """A catalog service on a port of its own that answers, or misbehaves, as tests say.

    Args:
        basic_auth: the one caller it knows; None lets everyone in.
        ssl_context: serve HTTPS with it.

    Attributes:
        requests: every :class:`StubRequest` so far, in order of arrival.
        delay: seconds before each answer.
        cache_control: sent as ``Cache-Control`` when set.
        etag: send ``ETag`` and honour ``If-None-Match`` (the existing service does not).
        redirect_to, retry_after: what the faults of that kind send.
    """

    def __init__(
        self,
        basic_auth: tuple[str, str] | None = ("user", "password"),
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.basic_auth = basic_auth
        self.requests: list[StubRequest] = []
        self.delay = 0.0
        self.cache_control: str | None = None
        self.etag = False
        self.redirect_to = "/elsewhere"
        self.retry_after: str | None = None
        self._ssl = ssl_context
        self._fault: Fault | None = None
        self._fault_times = 0
        self._places: dict[tuple[str, str, tuple[str, ...]], _Place] = {}
        self._profiles: dict[str, dict[str, Any]] = {}
        self._known_hosts: dict[tuple[str, str], _Place] = {}
        self._lock = threading.Lock()
        self._connections: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._count = 0
        self._closed = False
        self._listener = self._bind(0)
        self.port: int = self._listener.getsockname()[1]
        self._accept()

    # --- what tests say -------------------------------------------------------------------

    @property
    def uri(self) -> str:
        """For ``service_gateway_uri``."""
        return f"{'https' if self._ssl else 'http'}://127.0.0.1:{self.port}/service-gateway"

    def settings(self, **more: Any) -> dict[str, Any]:
        """What an application would configure for this catalog, `more` on top."""
        base: dict[str, Any] = {"service_gateway_uri": self.uri, "config_profile": "default"}
        if self.basic_auth is not None:
            base["basic_auth"] = self.basic_auth
        return base | more

    def put(
        self,
        channel: str,
        *,
        topic: str,
        connection: Mapping[str, Any],
        credentials: Mapping[str, Any] | None = None,
        configuration: Mapping[str, Any] | None = None,
        profile: str | None = None,
        **extra: Any,
    ) -> None:
        """Let `channel` live there from now on.

        With `profile`, `configuration` becomes that profile's, and profiles never named are
        unknown (404); without, it is the channel's own, under any profile. `extra` are the
        reference service's additions (``generation=…``, ``previous=[…]``), and
        ``cache_control="max-age=3"`` the answer's header.
        """
        own = dict(configuration or {}) if profile is None else {}
        place = _Place(topic, dict(connection), dict(credentials or {}), own, extra)
        with self._lock:
            key = _channel_key(channel)
            self._places[key] = place
            self._known_hosts[key[:2]] = place
            if profile is not None:
                self._profiles[profile] = dict(configuration or {})

    def remove(self, channel: str) -> None:
        """Take the channel's entry out of the lookup table; its rule still matches."""
        with self._lock:
            del self._places[_channel_key(channel)]

    @property
    def fault(self) -> Fault | None:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._set_fault(fault, -1)

    def fail_next(self, fault: Fault, times: int = 1) -> None:
        """Misbehave on the next `times` requests, then behave (not for DOWN)."""
        self._set_fault(fault, times)

    def _set_fault(self, fault: Fault | None, times: int) -> None:
        with self._lock:
            was, self._fault, self._fault_times = self._fault, fault, times
        if (was is Fault.DOWN) == (fault is Fault.DOWN):
            return
        if fault is Fault.DOWN:
            self._hang_up()
            # Bound but not listening: refuses, and keeps the port for us.
            self._listener = self._bind(self.port)
        else:
            self._accept()

    def current_fault(self) -> Fault | None:
        """The fault in force; None once the stub is closed."""
        return None if self._closed else self._fault

    def take_fault(self) -> Fault | None:
        """The fault for one more request."""
        with self._lock:
            if self._fault_times == 0:
                self._fault = None
            elif self._fault_times > 0:
                self._fault_times -= 1
            return self._fault

    def drop_connections(self) -> None:
        """Close every open connection, as a restarting load balancer does."""
        with self._lock:
            for connection in self._connections.values():
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._hang_up()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- sockets --------------------------------------------------------------------------

    def _bind(self, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        return listener

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()

    def _accept(self) -> None:
        self._listener.listen(128)
        thread = threading.Thread(target=self._serve, args=(self._listener,), daemon=True)
        self._threads = [old for old in self._threads if old.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            with self._lock:
                self._count += 1
                number = self._count
                self._connections[number] = connection
            worker = threading.Thread(
                target=self._talk, args=(connection, address, number), daemon=True
            )
            self._threads = [old for old in self._threads if old.is_alive()]
            self._threads.append(worker)
            worker.start()

    def _talk(self, connection: socket.socket, address: Any, number: int) -> None:
        try:
            if self._ssl is not None:
                connection.settimeout(5)
                connection = self._ssl.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._connections[number] = connection
                connection.settimeout(None)
            StubHandler(connection, address, self, number)
        except (OSError, ValueError):
            pass  # the client went away: the point of several tests
        finally:
            with self._lock:
                self._connections.pop(number, None)
            connection.close()

    # --- answers --------------------------------------------------------------------------

    def answer(self, query: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Status and body for a raw query string; the contract's table of observations."""
        if not self._may_ask(authorization):
            return 401, {"message": "Unauthorized"}
        parameters = parse_qsl(query, keep_blank_values=True)
        profiles = [value for name, value in parameters if name == "config_profile"]
        channels = [value for name, value in parameters if _asks_channel(name)]
        if not profiles or not profiles[0] or not channels:
            return 400, {"message": _REQUIRED}
        if sum(name == "channel" for name, _ in parameters) > 1:
            return _crash()
        if any(not channel for channel in channels):
            return 400, {"message": "Invalid channel URL"}
        return self._resolve([_channel_key(channel) for channel in channels], profiles[0])

    def _may_ask(self, authorization: str | None) -> bool:
        login = self.basic_auth and base64.b64encode(":".join(self.basic_auth).encode()).decode()
        return login is None or authorization == f"Basic {login}"

    def _resolve(
        self, keys: Sequence[tuple[str, str, tuple[str, ...]]], profile: str
    ) -> tuple[int, dict[str, Any]]:
        if any(not path for _, _, path in keys):
            return _crash()
        if len({key[:2] for key in keys}) > 1:
            return 400, {"message": "All channels must have the same scheme and host"}
        with self._lock:
            fallback = self._known_hosts.get(keys[0][:2])
            if fallback is None:
                return 404, {"message": "No matching routing rule found"}
            if self._profiles and profile not in self._profiles:
                return 404, {"message": f"Configuration profile not found: {profile}"}
            found = {key: self._places[key] for key in keys if key in self._places}
            # The trap: one connection for all of them, and which one varies.
            place = random.choice(list(found.values())) if found else fallback
            answer: dict[str, Any] = {
                "channel_mapping": {key[2][-1]: it.topic for key, it in found.items()},
                "configuration": self._profiles.get(profile, {}) | place.configuration,
                "connection": place.connection,
                "credentials": place.credentials,
                **place.extra,
            }
        names = list(answer)
        random.shuffle(names)
        return 200, {name: answer[name] for name in names}


class StubHandler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1 with keep-alive on one connection of the stub."""

    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True  # head and body are two writes

    def __init__(
        self, connection: socket.socket, address: Any, stub: CatalogStub, number: int
    ) -> None:
        self.stub = stub
        self.number = number
        self.record: StubRequest
        super().__init__(connection, address, stub)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        headers = dict(self.headers.items())
        self.record = StubRequest("GET", path, query, headers, time.monotonic(), self.number)
        self.stub.requests.append(self.record)
        fault = self.stub.take_fault()
        if fault is not None:
            misbehave(self, fault)
            return
        if self.stub.delay:
            time.sleep(self.stub.delay)
        status, body = self.stub.answer(query, self.headers.get("Authorization"))
        head = {"WWW-Authenticate": 'Basic realm="service"'} if status == 401 else {}
        cache_control = body.pop("cache_control", self.stub.cache_control)
        if status == 200 and cache_control is not None:
            head["Cache-Control"] = cache_control
        if status == 200 and self.stub.etag:
            canonical = json.dumps(body, sort_keys=True).encode()
            head["ETag"] = f'"{hashlib.sha256(canonical).hexdigest()[:16]}"'
            if self.headers.get("If-None-Match") == head["ETag"]:
                self.record.status = 304
                self.send_head(304, head)
                self.wfile.flush()
                return
        self.answer(status, body, head)

    def answer(self, status: int, body: Mapping[str, Any], head: Mapping[str, str]) -> None:
        data = json.dumps(body).encode()
        self.answer_bytes(status, data, {"Content-Type": "application/json", **head})

    def answer_bytes(self, status: int, body: bytes, head: Mapping[str, str]) -> None:
        self.record.status = status
        self.send_head(status, {**head, "Content-Length": str(len(body))})
        self.wfile.write(body)
        self.wfile.flush()

    def send_head(self, status: int, head: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: tests read `stub.requests`."""


def _asks_channel(name: str) -> bool:
    if name == "channel":
        return True
    return name.startswith("channel[") and name.endswith("]") and name[8:-1].isdigit()


def _channel_key(channel: str) -> tuple[str, str, tuple[str, ...]]:
    parts = urlsplit(channel)
    path = tuple(segment for segment in parts.path.split("/") if segment)
    return parts.scheme.lower(), parts.netloc.lower(), path


def _crash() -> tuple[int, dict[str, Any]]:
    return 500, {
        "message": "An unexpected error occurred",
        "request_id": f"{random.getrandbits(128):032x}",
    }
