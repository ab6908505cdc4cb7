"""The service and its rival as processes of their own, each on the core that is measured."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kafkaroute.rules.passwords import hash_password

HERE = Path(__file__).parent
PASSWORD = "a password that only this benchmark uses"
SECRETS = {"BENCH_KAFKA_USER": "kafka-user-1", "BENCH_KAFKA_PASS": "kafka-pass-1"}
QUERY = "config_profile=durableWrite&channel=kafka%3A%2F%2Fexample.com%2Forders%2Feu&intent=produce"
HEADERS = {
    "Authorization": "Basic " + b64encode(f"billing:{PASSWORD}".encode()).decode(),
    "Accept": "application/json",
    "User-Agent": "kafkaroute-benchmark",
}


@dataclass(frozen=True)
class Process:
    name: str
    pid: int
    url: str

    @property
    def address(self) -> tuple[str, int]:
        split = urlsplit(self.url)
        assert split.hostname is not None
        assert split.port is not None
        return split.hostname, split.port

    def rss(self) -> int:
        """Bytes resident."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"{self.name} is gone")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, **more: str) -> tuple[int, list[tuple[str, str]], str]:
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            connection.request("GET", f"/?{QUERY}", headers=HEADERS | more)
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read().decode()
        finally:
            connection.close()


def write_rules(path: Path) -> None:
    text = (HERE / "rules.yaml").read_text()
    path.write_text(text.replace("HASH", hash_password(PASSWORD)))


@contextlib.contextmanager
def running(name: str, core: int, *command: str) -> Iterator[Process]:
    """A process pinned to `core` that prints its URL at the end of its first line."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def before() -> None:
        os.sched_setaffinity(0, {core})
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    with subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | SECRETS,
        preexec_fn=before,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if " on http" not in line:
                raise RuntimeError(f"{name} did not start")
            yield Process(name, process.pid, line.split()[-1])
        finally:
            process.terminate()
            process.wait(30)


def service(rules: Path, core: int, *options: str) -> contextlib.AbstractContextManager[Process]:
    name = "service with audit" if "--audit" in options else "service"
    command = ("-m", "kafkaroute.cli", "serve", str(rules), "--port", "0")
    return running(name, core, *command, "--log-level", "warning", *options)


def raw(answer: Path, core: int) -> contextlib.AbstractContextManager[Process]:
    return running("raw", core, "-m", "benchmarks.catalog_service.raw_app", str(answer))


def keep_answer(process: Process, path: Path) -> str:
    """Write what `process` answers for :func:`raw`; return its ETag."""
    status, headers, body = process.ask()
    assert status == 200, body
    own = [(name, value) for name, value in headers if name != "date"]
    path.write_text(json.dumps({"headers": own, "body": body}))
    return dict(own)["etag"]
