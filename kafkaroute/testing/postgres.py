"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, on a port of the
system's choice, run by a user without privileges."""

from __future__ import annotations

import atexit
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from .ports import free_ports
from .watchdog import Watchdog

__all__ = ["PostgresServer", "PostgresUnavailable"]

#: Who runs it where the tests are run by root, whom PostgreSQL refuses.
_UNPRIVILEGED = "nobody"
_START_TIMEOUT = 30.0  # s
_STOP_TIMEOUT = 15.0  # s
_watchdog = Watchdog()
atexit.register(_watchdog.close)


class PostgresUnavailable(Exception):
    """There is no PostgreSQL to be had here; says why."""


class PostgresServer:
    """A running server; a context manager that stops it and removes its data.

    Attributes:
        port, user, password: for connections over TCP on 127.0.0.1.

    Raises:
        PostgresUnavailable: not installed, or it does not start.
    """

    def __init__(self) -> None:
        self._programs = _programs()
        self.user = "kafkaroute"
        self.password = secrets.token_hex(12)
        [self.port] = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._run_as: dict[str, Any] = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam(_UNPRIVILEGED)
            self._run_as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self._folder = Path(tempfile.mkdtemp(prefix="kafkaroute-postgres-"))
        _watchdog.guard_folder(str(self._folder))
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, database: str = "postgres") -> str:
        """Holds the password."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; return its URL."""
        import psycopg

        name = f"test_{secrets.token_hex(4)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def _initialise(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(self.password)
        if self._run_as:
            for path in (self._folder, password_file):
                os.chown(path, self._run_as["user"], self._run_as["group"])
        done = subprocess.run(
            [
                str(self._programs / "initdb"),
                *("--pgdata", str(self._folder / "data")),
                *("--username", self.user, "--pwfile", str(password_file)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **self._run_as,
        )
        password_file.unlink()
        if done.returncode:
            raise PostgresUnavailable(f"initdb failed: {done.stderr.strip()[-500:]}")

    def start(self) -> None:
        """Start it (again, on the same port, with its data) and wait until it answers."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "postgres"),
                    *("-D", str(self._folder / "data"), "-p", str(self.port)),
                    *("-c", "listen_addresses=127.0.0.1"),
                    *("-c", f"unix_socket_directories={self._folder}"),
                    *("-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=50"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
                **self._run_as,
            )
        _watchdog.guard_process(self._process.pid)
        deadline = time.monotonic() + _START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(errors="replace").strip()[-500:]
                raise PostgresUnavailable(f"PostgreSQL does not start: {text}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End it at once, its connections with it; its data stays. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)  # "fast": waits for nobody
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(_STOP_TIMEOUT)
        _watchdog.release_process(process.pid)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        _watchdog.release_folder(str(self._folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _programs() -> Path:
    """Where initdb and postgres are: on the PATH, or where Debian puts them."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_by_version)
    if not folders:
        raise PostgresUnavailable(
            "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        )
    return folders[-1]


def _by_version(folder: Path) -> tuple[int, str]:
    return (len(folder.parent.name), folder.parent.name)
