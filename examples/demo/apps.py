"""The demo's child processes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


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
                self.said.put(_event(line) or line)

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


def _event(line: str) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None  # a line for people
    return said if isinstance(said, dict) else None


@contextlib.contextmanager
def running(app: App) -> Iterator[App]:
    try:
        yield app
    finally:
        app.stop()
