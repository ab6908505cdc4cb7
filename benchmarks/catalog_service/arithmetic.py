"""The arithmetic of docs/operations.md against kafkaroute's own clients, in small.

Sixteen clients (as many as one process lets wait) watch one channel for a minute, with a short
`max_age` and short long polls; then the channel moves. What they ask is counted at the service.

    python -m benchmarks.catalog_service.arithmetic [--seconds 60]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from kafkaroute import Settings
from kafkaroute.catalog.cache.cache import RouteCache
from kafkaroute.catalog.http import HttpCatalog
from kafkaroute.server.app import CatalogApp
from kafkaroute.server.connection import served_by
from kafkaroute.server.stores.file_store import FileStore

from . import serving

CLIENTS, MAX_AGE, WAIT = 16, 8, 8
CHANNEL = "kafka://example.com/orders/eu"


class Counting:
    """Observes answers."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.last = 0.0

    def __call__(self, request, response) -> None:
        kind = "long poll" if b"prefer" in request.headers else "GET"
        self.seen[f"{kind} {response.status}"] += 1
        self.last = time.monotonic()


@contextlib.contextmanager
def served(app: CatalogApp) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(**served_by(app), host="127.0.0.1", port=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        app.polls.close()
        server.should_exit = True
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalog_service.arithmetic")
    parser.add_argument("--seconds", type=float, default=60)
    seconds: float = parser.parse_args().seconds
    os.environ.update(serving.SECRETS)
    counting = Counting()
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.yaml"
        serving.write_rules(rules)
        rules.write_text(rules.read_text().replace("max_age: 300", f"max_age: {MAX_AGE}"))
        app = CatalogApp(FileStore(rules), observers=[counting])
        with served(app) as url:
            settings = Settings.from_dict(
                {
                    "service_gateway_uri": url,
                    "config_profile": "durableWrite",
                    "basic_auth": ("billing", serving.PASSWORD),
                    "long_poll": WAIT,
                }
            )
            caches = [RouteCache(HttpCatalog(settings), long_poll=WAIT) for _ in range(CLIENTS)]
            try:
                for cache in caches:
                    cache.get(CHANNEL)
                while len(app.polls) < CLIENTS:
                    time.sleep(0.01)
                counting.seen.clear()
                time.sleep(seconds)
                _tell_steady(Counter(counting.seen), seconds)
                _wait_for_polls(app)
                counting.seen.clear()
                app.store.change(lambda text: text.replace("orders-eu", "moved"), author="")
                time.sleep(3)
                _tell_change(Counter(counting.seen), len(app.polls))
            finally:
                for cache in caches:
                    cache.close()


def _wait_for_polls(app: CatalogApp) -> None:
    while len(app.polls) < CLIENTS:
        time.sleep(0.001)


def _tell_steady(seen: Counter[str], seconds: float) -> None:
    gets = sum(count for kind, count in seen.items() if kind.startswith("GET"))
    polls = sum(count for kind, count in seen.items() if kind.startswith("long poll"))
    print(
        f"steady, {CLIENTS} clients, T = {MAX_AGE} s, W = {WAIT} s, {seconds:.0f} s: {dict(seen)}"
    )
    print(
        f"  polls:      {gets} counted, R / (0.85 T) says {seconds * CLIENTS / 0.85 / MAX_AGE:.0f}"
    )
    print(f"  long polls: {polls} answered, R / W says {seconds * CLIENTS / WAIT:.0f}")


def _tell_change(seen: Counter[str], waiting: int) -> None:
    print(f"a change, 3 s after it: {dict(seen)}, and {waiting} polls wait anew")


if __name__ == "__main__":
    main()
