"""Opens a kafka-python client in the background, however long the cluster is away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Condition, Event, Thread
from typing import Any, Generic, TypeVar

from kafkaroute.messages import KafkaError

from ..errors import to_kafka_error
from ..library import KafkaNetClient, kp
from ..logs import protect_logs

__all__ = ["Opener"]

logger = logging.getLogger("kafkaroute.backend.kafka_python")

NativeT = TypeVar("NativeT")

#: Seconds between two looks at whether the client was closed while it was opening.
_LOOK = 0.1
#: Longest wait for the opener's thread to end, in seconds.
_END = 5.0
#: Seconds between two attempts after a refusal.
_PAUSE = 0.25


class Opener(Generic[NativeT]):
    """Builds one native client on a thread of its own and keeps trying until it is closed.

    Args:
        name: for the thread.
        build: makes the native client from a ``kafka_client=`` factory.
        make_client: makes the network client from kafka-python's settings.
        client_kwargs: settings of the connections that the native constructor does not know.
        on_open: called on the opener's thread with the native client.
        on_trouble: called there with an error, once per change of its code.
    """

    def __init__(
        self,
        name: str,
        build: Callable[[Callable[..., Any]], NativeT],
        make_client: Callable[..., Any],
        client_kwargs: dict[str, Any],
        on_open: Callable[[NativeT], None],
        on_trouble: Callable[[KafkaError], None],
        secrets: tuple[str | None, ...],
    ) -> None:
        self._build = build
        self._make_client = make_client
        self._client_kwargs = client_kwargs
        self._on_open = on_open
        self._on_trouble = on_trouble
        self._stop = Event()
        self._last_code: int | None = None
        self._changed = Condition()
        self.native: NativeT | None = None
        self.client: Any = None
        self.failure: BaseException | None = None
        protect_logs(*secrets)
        self._thread = Thread(target=self._run, name=f"kafkaroute-open-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, timeout: float | None) -> NativeT | None:
        """The native client, or None when it is not there within `timeout` seconds.

        Raises what made opening it impossible (a configuration that kafka-python refuses).
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self.native is not None or self.failure is not None, timeout
            )
        if self.failure is not None:
            raise self.failure
        return self.native

    def abandon(self) -> None:
        """Stop trying; a client that is half open is closed."""
        self._stop.set()
        self._thread.join(_END)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                native = self._attempt()
                if native is not None:
                    self._publish(native)
                    return
                self._stop.wait(_PAUSE)
        except Exception as exc:
            logger.debug("kafka-python refused to open", exc_info=True)
            with self._changed:
                self.failure = exc
                self._changed.notify_all()

    def _publish(self, native: NativeT) -> None:
        self._on_open(native)
        with self._changed:
            self.native = native
            self._changed.notify_all()

    def _attempt(self) -> NativeT | None:
        client: Any = None

        def factory(**configs: Any) -> Any:
            nonlocal client
            client = self._make_client(**{**configs, **self._client_kwargs})
            self.client = client
            self._bootstrap(client)
            return client

        try:
            native = self._build(factory)
        except (kp.RetriableError, kp.SaslAuthenticationFailedError, _Stopped) as exc:
            self._give_up(client)
            if not isinstance(exc, _Stopped):
                self._trouble(to_kafka_error(exc))
            return None
        except BaseException:
            self._give_up(client)
            raise
        if self._stop.is_set():
            native.close()  # type: ignore[attr-defined]
            return None
        # Modules of the library may have been imported only now; their loggers are new.
        protect_logs()
        return native

    def _bootstrap(self, client: KafkaNetClient) -> None:
        """Reach any bootstrap server, in as many attempts as it takes."""
        manager = client._manager
        done = Event()
        future = manager.bootstrap_async(None)
        future.add_both(lambda _: done.set())
        driven_elsewhere = client._net._io_thread is not None
        while not future.is_done:
            if self._stop.is_set():
                raise _Stopped
            if driven_elsewhere:
                done.wait(_LOOK)
            else:
                client.poll(timeout_ms=_LOOK * 1000, future=future)
            failing = getattr(manager, "_backoff", {})
            if all(broker.node_id in failing for broker in client.cluster.bootstrap_brokers()):
                self._trouble(
                    KafkaError(KafkaError._ALL_BROKERS_DOWN, "no bootstrap server can be used")
                )
        if future.exception is not None:
            raise future.exception

    def _trouble(self, error: KafkaError) -> None:
        if self._stop.is_set() or error.code() == self._last_code:
            return
        self._last_code = error.code()
        logger.warning("cannot connect yet: %s", error.str())
        self._on_trouble(error)

    @staticmethod
    def _give_up(client: Any) -> None:
        if client is None:
            return
        try:
            client.close()
        except (kp.KafkaError, OSError, RuntimeError):
            logger.debug("closing a half-open client failed", exc_info=True)


class _Stopped(Exception):
    """The client was closed while it was opening."""
