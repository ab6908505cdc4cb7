"""``kafkaroute serve RULES``: the reference catalog service."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from ..errors import ConfigurationError

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("serve", help="answer the catalog contract from rules")
    parser.add_argument(
        "rules",
        metavar="RULES",
        help="RULES.yaml or postgresql://HOST/DATABASE; read again when they change",
    )
    parser.add_argument(
        "--history",
        metavar="FILE",
        help="where the earlier routes of a rules file are kept (RULES.yaml.history)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=8080, help="port to listen on, 0 for any (%(default)s)"
    )
    parser.add_argument(
        "--audit",
        metavar="FILE",
        help="append a JSON line for every answer: who asked, for what, with which generation",
    )
    parser.add_argument("--tls-cert", metavar="PEM", help="speak TLS with this certificate chain")
    parser.add_argument(
        "--tls-key", metavar="PEM", help="its key, where it is not in the same file"
    )
    parser.add_argument(
        "--tls-client-ca",
        metavar="PEM",
        help="ask clients for certificates of these authorities (mTLS)",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="how much to log to standard error (%(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    for package in ("httptools", "jinja2", "jwt"):
        import_module(package)  # the service imports these: better now than half started
    import uvicorn

    if not 0 <= options.port <= 65_535:
        raise ConfigurationError("--port must be 0 to 65535")
    with _logging_to_stderr(options.log_level):
        return _serve(options, uvicorn)


def _serve(options: argparse.Namespace, uvicorn: Any) -> int:
    from ..server.app import CatalogApp
    from ..server.audit import AuditFile, AuditLog
    from ..server.auth.tls import tls_settings
    from ..server.connection import served_by
    from ..server.stores.stores import open_store

    tls = tls_settings(options.tls_cert, options.tls_key, options.tls_client_ca)
    store = open_store(options.rules, history=options.history)
    if options.host not in _LOOPBACK:
        _warn_when_open(store, options.host)
        store.on_change(lambda: _warn_when_open(store, options.host))
    audit = AuditFile(options.audit) if options.audit is not None else None
    app = CatalogApp(store, observers=[AuditLog(audit.write)] if audit is not None else [])
    config = uvicorn.Config(**served_by(app), **tls)  # logging is set up above
    listener = _listen(options.host, options.port)
    # uvicorn raises the signal that stopped it once more; by then it is answered.
    previous = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        host, port = listener.getsockname()[:2]
        address = f"[{host}]" if ":" in host else host
        scheme = "https" if tls else "http"
        print(f"kafkaroute: serving {store.name} on {scheme}://{address}:{port}", flush=True)
        _server(uvicorn, config, app).run(sockets=[listener])
    finally:
        listener.close()
        if audit is not None:
            audit.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def _warn_when_open(store: Any, host: str) -> None:
    state = store.state
    if state is not None and state.rules.open_to_all:
        print(
            "kafkaroute: warning: the rules name no callers, so everyone who reaches "
            f"{host} is answered",
            file=sys.stderr,
        )


def _server(uvicorn: Any, config: Any, app: Any) -> Any:
    class Server(uvicorn.Server):  # type: ignore[misc]  # imported late
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.polls.close()  # they would be waited for
            await super().shutdown(sockets)

    return Server(config)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
    except OSError as error:
        raise OSError(f"cannot listen on {host}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return listener


@contextmanager
def _logging_to_stderr(level: str) -> Iterator[None]:
    """Logs go to standard error while the service runs, and where they went before afterwards."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    levels: dict[str, str | int] = {"kafkaroute": level.upper(), "uvicorn": logging.WARNING}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, own in levels.items():
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(own)
    try:
        yield
    finally:
        for name, own in before.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(own)
