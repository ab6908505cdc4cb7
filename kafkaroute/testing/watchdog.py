"""Kills test brokers and removes their data when the process that started them is gone.

A separate process reads orders from a pipe whose other end only its owner holds: however the owner
ends (SIGKILL too), the pipe closes and the watchdog cleans up. This file is that process's program
as well, so it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO

__all__ = ["Watchdog"]


class Watchdog:
    """The owner's side. One for a process is enough; it starts when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def guard_process(self, pid: int) -> None:
        """Kill the process group of `pid` when this process is gone."""
        self._order(f"guard-process {pid}")

    def release_process(self, pid: int) -> None:
        self._order(f"release-process {pid}")

    def guard_folder(self, path: str) -> None:
        """Remove the folder `path` when this process is gone."""
        self._order(f"guard-folder {path}")

    def release_folder(self, path: str) -> None:
        self._order(f"release-folder {path}")

    def _order(self, line: str) -> None:
        with self._lock:
            if self._process is None or self._owner != os.getpid():
                self._owner = os.getpid()
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                    start_new_session=True,
                )
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """End the watchdog; it cleans up what is still guarded."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.communicate(timeout=30)


def _watch(orders: IO[str]) -> None:
    guarded: dict[str, list[str]] = {"process": [], "folder": []}
    for line in orders:
        verb, _, subject = line.rstrip("\n").partition(" ")
        action, _, kind = verb.partition("-")
        if action == "guard":
            guarded[kind].append(subject)
        elif subject in guarded[kind]:
            guarded[kind].remove(subject)
    for pid in guarded["process"]:
        with suppress(ProcessLookupError):
            os.killpg(int(pid), signal.SIGKILL)
    for folder in guarded["folder"]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _watch(sys.stdin)
