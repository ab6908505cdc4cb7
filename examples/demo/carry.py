"""Carries the flights through two clusters with one backend: catalog service and both apps."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..flights import AIRPORTS, channel_of
from .rules import HOMES, PASSWORD_VARIABLE, USER, rules_text

EXAMPLES = Path(__file__).resolve().parent.parent
#: How far the producer may be ahead of the consumer. An embedded partition forgets what exceeds
#: 5 MB; this many flights are 17 MB uncompressed, spread over twelve partitions.
LEAD = 50_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Result:
    """What became of one channel's flights on one backend.

    Attributes:
        intact: every flight that was read is byte for byte one that was written.
        rate: messages a second, from the first to the last that was read.
    """

    backend: str
    channel: str
    cluster: str
    produced: int
    consumed: int
    duplicated: int
    reordered: int
    intact: bool
    rate: float

    @property
    def lost(self) -> int:
        return self.produced - self.consumed

    @property
    def sound(self) -> bool:
        return not (self.lost or self.duplicated or self.reordered) and self.intact


class DemoFailed(Exception):
    """A part of the demo did not do its work; the text says which and why."""


class App:
    """A child process that says what it does, one JSON object a line."""

    def __init__(self, name: str, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.said: queue.Queue[dict[str, Any] | str] = queue.Queue()
        self._log_path = log
        self._log = log.open("w", encoding="utf-8")
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            bufsize=1,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # closed while reading
            for line in self.process.stdout:
                self.said.put(json.loads(line) if line.startswith("{") else line)

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")

    def check(self) -> None:
        """Raise DemoFailed if the process ended badly."""
        code = self.process.poll()
        if code is not None and code != 0:
            raise DemoFailed(f"{self.name} ended with code {code}:\n{self.tail()}")

    def tail(self) -> str:
        lines = self._log_path.read_text(encoding="utf-8").splitlines()
        return "\n".join(lines[-15:]) or "(it wrote nothing to standard error)"

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._log):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@contextlib.contextmanager
def running(app: App) -> Iterator[App]:
    try:
        yield app
    finally:
        app.stop()


def carry_flights(
    backend: str,
    connections: Mapping[str, Mapping[str, object]],
    flights: int,
    *,
    progress: Progress = lambda _produced, _consumed: None,
    prefix: str = "departures",
    lead: int | None = LEAD,
    timeout: float = 300.0,
) -> list[Result]:
    """Produce and consume the first `flights` flights by two processes of their own.

    Args:
        backend: name of the backend that both apps use.
        connections: client settings that reach the clusters ``a`` and ``b``.
        progress: called with the numbers delivered and read so far.
        prefix: begins the names of topics and group; must be new on these clusters.
        lead: how far the producer may be ahead; None for as far as it likes.
        timeout: seconds for all of it.

    Raises:
        DemoFailed: a process failed or time is up.
    """
    deadline = time.monotonic() + timeout
    password = os.urandom(12).hex()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kafkaroute-demo-")))
        rules = folder / "rules.yaml"
        rules.write_text(rules_text(connections, prefix), encoding="utf-8")

        def start(name: str, command: list[str], env: Mapping[str, str]) -> App:
            app = App(
                name, [sys.executable, *command], env, folder / f"{name.replace(' ', '-')}.log"
            )
            return stack.enter_context(running(app))

        service = start(
            "kafkaroute serve",
            ["-m", "kafkaroute.cli", "serve", str(rules), "--port", "0"],
            {PASSWORD_VARIABLE: password},
        )
        common = {
            "KAFKAROUTE_SERVICE_GATEWAY_URI": _address(service),
            "KAFKAROUTE_BASIC_AUTH": f"{USER}:{password}",
            "KAFKAROUTE_BACKEND": backend,
        }
        consumer = start(
            "consume app",
            [str(EXAMPLES / "consume_flights.py"), "--group", prefix, "--expect", str(flights)],
            {**common, "KAFKAROUTE_CONFIG_PROFILE": "flightsIn"},
        )
        producer = start(
            "produce app",
            [str(EXAMPLES / "produce_flights.py"), "--limit", str(flights)]
            + (["--paced"] if lead is not None else []),
            {**common, "KAFKAROUTE_CONFIG_PROFILE": "flightsOut"},
        )
        produced, consumed = _watch(producer, consumer, service, lead, progress, deadline)
        results = _results(backend, produced, consumed)
        if not all(result.sound for result in results):
            for app in (producer, consumer, service):
                print(f"{app.name} wrote:\n{app.tail()}", file=sys.stderr)
    return results


def _address(service: App) -> str:
    try:
        line = service.said.get(timeout=20)
    except queue.Empty:
        service.check()
        raise DemoFailed(f"the catalog service does not start:\n{service.tail()}") from None
    return str(line).split()[-1]


def _watch(
    producer: App,
    consumer: App,
    service: App,
    lead: int | None,
    progress: Progress,
    deadline: float,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pass the consumer's progress on as the producer's allowance, until both are done."""
    counts = {producer.name: 0, consumer.name: 0}
    done: dict[str, dict[str, Any]] = {}
    allowed = 0
    while len(done) < 2:
        if lead is not None and counts[consumer.name] + lead > allowed:
            allowed = counts[consumer.name] + lead
            producer.tell(str(allowed))
        for app in (producer, consumer):
            while not app.said.empty():
                said = app.said.get()
                if not isinstance(said, dict):
                    continue
                if said["event"] == "done":
                    done[app.name] = said["channels"]
                    counts[app.name] = sum(found["count"] for found in said["channels"].values())
                else:
                    counts[app.name] = said["count"]
        progress(counts[producer.name], counts[consumer.name])
        for app in (producer, consumer, service):
            app.check()
        if time.monotonic() > deadline:
            raise DemoFailed(
                f"time is up: {counts[producer.name]} delivered, {counts[consumer.name]} read\n"
                f"produce app: {producer.tail()}\nconsume app: {consumer.tail()}"
            )
        time.sleep(0.05)
    return done[producer.name], done[consumer.name]


def _results(backend: str, produced: dict[str, Any], consumed: dict[str, Any]) -> list[Result]:
    results = []
    for airport in AIRPORTS:
        out, back = produced[channel_of(airport)], consumed[channel_of(airport)]
        results.append(
            Result(
                backend=backend,
                channel=channel_of(airport),
                cluster=HOMES[airport],
                produced=out["count"],
                consumed=back["count"],
                duplicated=back["duplicated"],
                reordered=back["reordered"],
                intact=out["fingerprint"] == back["fingerprint"],
                rate=back["count"] / back["seconds"] if back["seconds"] else 0.0,
            )
        )
    return results
