"""Native calls that are made while the same client is inside another one, on the same thread.

confluent-kafka (2.16) keeps the state of a call that may serve callbacks in one place a thread and
client. Another such call inside a callback clears it, and the next callback of the outer call (a log
line, statistics, an error) aborts the process: ``CallState_get: Assertion `cs != NULL'``. So a producer is
asked on another thread. A consumer makes other threads wait until the outer call has returned: there a
client of its own is asked, and what would serve callbacks is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Thread, get_ident
from typing import Any

from confluent_kafka.admin import AdminClient

from kafkaroute.backend.settings_keys import ConfigValue
from kafkaroute.messages import KafkaError

from .config import construct
from .errors import refused
from .logs import Redactor

__all__ = ["Serving", "aside"]


def aside(function: Callable[..., Any], *args: Any) -> Any:
    """Call `function` on a thread of its own."""
    answers: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(function(*args))
        except BaseException as error:
            failures.append(error)

    thread = Thread(target=run, name="kafkaroute-aside", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return answers[0]


class Serving:
    """Which threads are inside a call of one consumer that serves its callbacks.

    Args:
        config: the client's settings.
    """

    __slots__ = ("_config", "_redact", "_threads")

    def __init__(self, config: Mapping[str, ConfigValue], redact: Redactor) -> None:
        self._config = config
        self._redact = redact
        self._threads: list[int] = []

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call what serves callbacks.

        Raises:
            KafkaException: ``_STATE`` where this thread is inside such a call already.
        """
        thread = get_ident()
        threads = self._threads
        if thread in threads:
            raise refused(
                KafkaError._STATE,
                f"{function.__name__}() inside a callback of the same client, or in a signal handler "
                "that interrupted it",
            )
        threads.append(thread)
        try:
            return function(*args)
        finally:
            threads.remove(thread)

    def list_topics(self, native: Any, topic: str | None, timeout: float) -> Any:
        """The metadata of `native`, also inside one of its callbacks."""
        if get_ident() not in self._threads:
            return native.list_topics(topic, timeout)
        settings = {key: value for key, value in self._config.items() if not callable(value)}
        apart = construct(AdminClient, settings, self._redact, consumer=False)
        return apart.list_topics(topic, timeout)
