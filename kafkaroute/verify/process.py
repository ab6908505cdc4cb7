"""The run's side of a worker process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["WorkFailed", "Worker"]


class WorkFailed(RuntimeError):
    """A process of the run ended badly or did not answer; the text says which and why."""


class Worker:
    """One process.

    Args:
        name: for people.
        spec: what it is to do; goes through a pipe, because it may hold secrets.
        log: file for its standard error.
        tell: called with the worker and each thing it says, on a thread.

    Attributes:
        progress: what it said last about its progress.
        done: what it said at its end; None before.
        killed: whether :meth:`kill` ended it.
    """

    def __init__(
        self,
        name: str,
        spec: Mapping[str, Any],
        log: Path,
        tell: Callable[[Worker, dict[str, Any]], object],
    ) -> None:
        self.name = name
        self.spec = spec
        self.progress: dict[str, Any] = {}
        self.ready: dict[str, Any] | None = None
        self.done: dict[str, Any] | None = None
        self.killed = False
        self._log = log
        self._tell = tell
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kafkaroute.verify.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
            )
        self._lock = threading.Lock()
        self.order(**spec)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if said["is"] == "progress":
                self.progress = said
            elif said["is"] == "ready":
                self.ready = said
            elif said["is"] == "done":
                self.done = said
            self._tell(self, said)

    def order(self, **order: Any) -> None:
        assert self._process.stdin is not None
        with self._lock, contextlib.suppress(OSError, ValueError):  # it may be gone
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raise WorkFailed if it ended without being killed and without being done."""
        if not self.alive and not self.killed:
            self._listener.join(5)
            if self.done is None or self._process.returncode != 0:
                raise WorkFailed(
                    f"{self.name} ended with code {self._process.returncode}:\n{self.tail()}"
                )

    def tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-25:]) or "(it wrote nothing to standard error)"

    def wait(self, timeout: float) -> None:
        """Wait for its end.

        Raises:
            WorkFailed: it does not end.
        """
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise WorkFailed(f"{self.name} does not end:\n{self.tail()}") from None
        self._listener.join(5)

    def kill(self) -> None:
        """SIGKILL, and reap."""
        self.killed = self.killed or self.alive
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join(5)
        self.close()

    def close(self) -> None:
        """End it if need be, and close the pipes."""
        if self.alive:
            self._process.kill()
            self._process.wait()
        self._listener.join(5)
        with self._lock:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
