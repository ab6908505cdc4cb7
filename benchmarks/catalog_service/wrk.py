"""wrk, pinned to the core that is not measured."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from .serving import HEADERS, QUERY, Process

#: Clients of so many names; made once, for wrk must not be what is measured.
_NAMES = 20_000


class WrkMissing(Exception):
    pass


def script(path: Path, headers: dict[str, str], *, names: bool = False) -> Path:
    """A script for wrk that asks the one question; with `names`, each time as another client."""
    lines = [f'wrk.headers["{name}"] = {_quoted(value)}' for name, value in headers.items()]
    if names:
        lines += [
            "local requests, at = {}, 0",
            "function init(args)",
            f"  for i = 1, {_NAMES} do",
            f'    requests[i] = wrk.format("GET", "/?{QUERY}&client_id=client-" .. i)',
            "  end",
            "end",
            f"function request() at = at % {_NAMES} + 1; return requests[at] end",
        ]
    path.write_text("\n".join(lines) + "\n")
    return path


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def rate(process: Process, script: Path, core: int, *, seconds: int, connections: int) -> float:
    """Answers a second; all of them must be answers of success."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise WrkMissing("wrk is not installed (Debian: apt-get install wrk)")
    done = subprocess.run(
        [
            wrk,
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "10s",
            "-s",
            str(script),
            f"{process.url}/?{QUERY}",
        ],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    for wrong in ("Non-2xx or 3xx responses", "Socket errors"):
        if wrong in done.stdout:
            raise RuntimeError(done.stdout)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found.group(1))


__all__ = ["HEADERS", "WrkMissing", "rate", "script"]
