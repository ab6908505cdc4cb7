"""A real Apache Kafka for tests: one JVM, a plaintext and a SASL_SSL listener.

Where the jars come from: see :mod:`kafkaroute.testing.kafka_install`. Measured with Kafka 4.3 on
JDK 17: formatting 0.85 s, port open 1 to 2 s later, about 300 MB resident.
"""

from __future__ import annotations

import atexit
import base64
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .administered import AdministeredCluster
from .certificates import make_certificate
from .cluster import ClusterFeature, ClusterUnavailable
from .kafka_install import KafkaInstallation, find_kafka
from .kafka_properties import Ports, User, server_properties
from .ports import free_ports
from .watchdog import Watchdog

__all__ = ["RealCluster"]

_JVM_OPTIONS = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_START_TIMEOUT = 60.0  # s
_STOP_TIMEOUT = 10.0  # s
_watchdog = Watchdog()
atexit.register(_watchdog.close)


class RealCluster(AdministeredCluster):
    """A cluster of one broker.

    Args:
        installation: jars and Java; found by itself if None.
        reauth_ms: after how many milliseconds a SASL connection must authenticate again.
        properties: added to the broker's ``server.properties``.

    Attributes:
        users: security (as in :meth:`client_config`) → user.

    Raises:
        ClusterUnavailable: no Kafka or Java can be had, or the broker does not start.
    """

    kind = "Apache Kafka"
    features = frozenset(ClusterFeature)
    min_session_timeout_ms = 1000  # as in kafka_properties.py

    def __init__(
        self,
        installation: KafkaInstallation | None = None,
        *,
        reauth_ms: int = 3000,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self.installation = installation or find_kafka()
        self.users = {
            "scram-sha-512": User("alice", "SCRAM-SHA-512", secrets.token_hex(12)),
            "scram-sha-256": User("bob", "SCRAM-SHA-256", secrets.token_hex(12)),
            "plain": User("carol", "PLAIN", secrets.token_hex(12)),
        }
        self._cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if self._cluster_id.startswith("-"):  # the format tool would take it for an option
            self._cluster_id = "A" + self._cluster_id[1:]
        self._folder = Path(tempfile.mkdtemp(prefix="kafkaroute-kafka-"))
        _watchdog.guard_folder(str(self._folder))
        self._certificate = make_certificate(self._folder)
        self._ports = Ports(*free_ports(3))
        self._process: subprocess.Popen[bytes] | None = None
        self._properties = self._folder / "server.properties"
        self._properties.touch(mode=0o600)
        self._properties.write_text(
            server_properties(
                ports=self._ports,
                data=self._folder / "data",
                certificate=self._certificate,
                plain_user=self.users["plain"],
                reauth_ms=reauth_ms,
                extra=properties or {},
            )
        )
        try:
            self._format()
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._ports.plaintext}"

    @property
    def cluster_id(self) -> str:
        return self._cluster_id

    @property
    def ca_pem(self) -> str:
        """Certificate of the authority that signed the broker's."""
        return self._certificate.ca_pem

    @property
    def pid(self) -> int | None:
        """The JVM's process id while it runs."""
        return None if self._process is None else self._process.pid

    def client_config(self, security: str = "plaintext") -> dict[str, str]:
        if security == "plaintext":
            return {"bootstrap.servers": self.bootstrap_servers}
        user = self.users.get(security)
        if user is None:
            raise ValueError(f"security {security!r} is none of plaintext, {', '.join(self.users)}")
        return {
            "bootstrap.servers": f"127.0.0.1:{self._ports.sasl_ssl}",
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": user.mechanism,
            "sasl.username": user.name,
            "sasl.password": user.password,
            "ssl.ca.pem": self.ca_pem,
        }

    def alter_scram_password(self, security: str, password: str) -> None:
        """Give the user of `security` (``scram-sha-512`` or ``scram-sha-256``) a new password;
        :meth:`client_config` has it from now on."""
        user = self.users[security]
        self.admin.set_scram_password(user.name, user.mechanism, password)
        self.users[security] = User(user.name, user.mechanism, password)

    def add_scram_user(self, security: str, name: str, password: str) -> None:
        self.admin.set_scram_password(name, self.users[security].mechanism, password)

    def start(self) -> None:
        """Start the broker (again, on the same ports, with its data) and wait for its listeners."""
        if self._process is not None:
            return
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._java(*_JVM_OPTIONS, "kafka.Kafka", str(self._properties)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
            )
        _watchdog.guard_process(self._process.pid)
        deadline = time.monotonic() + _START_TIMEOUT
        for port in (self._ports.plaintext, self._ports.sasl_ssl):
            self._await_port(port, deadline)

    def kill(self) -> None:
        """End the broker at once (SIGKILL); its data stays."""
        self._end(signal.SIGKILL)

    def shut_down(self) -> None:
        """End the broker in good order (SIGTERM); its data stays."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill and start."""
        self.kill()
        self.start()

    @contextmanager
    def writes_hindered(self) -> Iterator[None]:
        if self._process is None:
            raise RuntimeError("the broker is not running")
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # its threads answer for a moment longer
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self.kill()
        self.__dict__.pop("admin", None)  # or it goes on looking for the broker
        shutil.rmtree(self._folder, ignore_errors=True)
        _watchdog.release_folder(str(self._folder))

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        os.kill(process.pid, how)
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _watchdog.release_process(process.pid)

    def _format(self) -> None:
        command = self._java("kafka.tools.StorageTool", "format")
        command += ["-t", self._cluster_id, "-c", str(self._properties)]
        for security in ("scram-sha-512", "scram-sha-256"):
            user = self.users[security]
            scram = f"{user.mechanism}=[name={user.name},password={user.password}]"
            command += ["--add-scram", scram]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_START_TIMEOUT, check=False
        )
        if done.returncode != 0:
            gist = self._gist(done.stdout + done.stderr)
            raise ClusterUnavailable(f"Kafka's storage cannot be formatted: {gist}")

    def _java(self, *arguments: str) -> list[str]:
        return [self.installation.java, "-cp", self.installation.classpath, *arguments]

    def _await_port(self, port: int, deadline: float) -> None:
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                raise ClusterUnavailable(f"Kafka ended while starting: {self._log_tail()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise ClusterUnavailable(
                        f"Kafka did not listen within {_START_TIMEOUT:.0f} s: {self._log_tail()}"
                    ) from None
                time.sleep(0.05)
            else:
                return

    def _log_tail(self) -> str:
        log = self._folder / "broker.log"
        return self._gist(log.read_text(errors="replace") if log.exists() else "")

    def _gist(self, output: str) -> str:
        """The end of what a JVM said, without stack frames and passwords."""
        lines = (line.strip() for line in output.splitlines())
        text = " ".join(line for line in lines if not line.startswith(("at ", "SLF4J")))[-600:]
        for user in self.users.values():
            text = text.replace(user.password, "***")
        return text or "it said nothing"
