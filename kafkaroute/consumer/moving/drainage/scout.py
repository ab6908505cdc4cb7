"""Whether a group has read the topics of an old place to their ends, seen from outside the group.

A partition is drained when nothing that the application could still be given lies between where
the group goes on and the high watermark. The watermark is asked for outside of transactions, as
records of an open one are neither given nor done with: its last stable offset would hide them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from ....backend.contract import Backend, BackendConsumer
from ....backend.settings_keys import ConfigValue, is_callback_key
from ....errors import ClosedError, KafkaException, KafkarouteError, UnsupportedFeature
from ....messages import TopicPartition
from .gap_reader import GapReader, Key
from .looks import Extent, Look

__all__ = ["Scout"]

_log = logging.getLogger("kafkaroute.moves")

#: After a round of looks that took t seconds, rest for so many times t, so that looking takes a
#: fifth of the time at most; but no longer than so many seconds.
_REST, _LONGEST_REST = 4.0, 2.0
#: Callbacks that a client needs to log in, and to log.
_NEEDED = frozenset({"oauth_cb", "logger"})
#: What makes a client an onlooker. A backend may refuse what it has no use for (without
#: transactions there is no isolation level); without ends it cannot look into gaps.
_ENDS = "enable.partition.eof"
_ONLOOKER: Mapping[str, ConfigValue] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "allow.auto.create.topics": False,
    _ENDS: True,
    # A position that is not there is an error to be told, not a reason to start elsewhere.
    "auto.offset.reset": "error",
    # No more than is needed to see whether there is a message.
    "queued.min.messages": 1,
    "fetch.wait.max.ms": 50,
}


class Scout:
    """Looks at topics of one old place again and again, on a thread of its own.

    It has native consumers of its own, which never join the group and never commit; nothing of
    the application's consumers is touched. What it found last is there without waiting. The
    thread begins with the first :meth:`watch` and ends with :meth:`close`.

    Args:
        backend: the old place's.
        config: the old place's merged configuration, with its ``group.id``. Callbacks are left
            out (but ``oauth_cb``): the application must not hear of this client.
        interval: seconds from the end of one round of looks to the next. After a round that took
            long it is longer, up to two seconds.
        patience: seconds that one look may take, with a cluster that does not answer, too.
    """

    def __init__(
        self,
        backend: Backend,
        config: Mapping[str, ConfigValue],
        *,
        interval: float = 0.25,
        patience: float = 3.0,
    ) -> None:
        self._backend = backend
        self._config = _onlooker(backend, config)
        self._interval = interval
        self._patience = patience
        self._looks: dict[str, Look | None] = {}
        self._positions: dict[str, Mapping[int, int]] = {}
        self._asker: BackendConsumer | None = None
        self._reading: BackendConsumer | None = None
        self._gaps: GapReader | None = None
        #: Guards the native consumers: one thread at a time.
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    # --- what the consumer says and reads: never waits --------------------------------------

    def watch(self, topic: str) -> None:
        """Look at `topic` from now on; at once for the first time. Safe to call twice."""
        with self._lock:
            if self._closed or topic in self._looks:
                return
            self._looks[topic] = None
            self._start()
        self._awake.set()

    def unwatch(self, topic: str) -> None:
        """Look at `topic` no more, and forget what was found."""
        with self._lock:
            self._looks.pop(topic, None)
            self._positions.pop(topic, None)

    def report(self, topic: str, positions: Mapping[int, int]) -> None:
        """Say where the application itself stands: partition → offset after the last message it
        was given (all of them; replaces what was reported before). For a group that does not
        commit."""
        self._positions[topic] = dict(positions)

    def latest(self, topic: str) -> Look | None:
        """What the last look at `topic` found; None before the first."""
        return self._looks.get(topic)

    def ask(self) -> None:
        """Look at once instead of after the interval."""
        self._awake.set()

    def close(self, timeout: float = 0.0) -> None:
        """Stop looking. The thread frees the native consumers as soon as its look is over; wait
        up to `timeout` seconds for that. Safe to call twice."""
        with self._lock:
            self._closed = True
            self._start()  # to free what look() opened
            thread = self._thread
        self._awake.set()
        if thread is not None and timeout > 0:
            thread.join(timeout)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kafkaroute-scout", daemon=True)
            self._thread.start()

    # --- looking ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed:
            self._awake.clear()
            started, reached = time.monotonic(), True
            for topic in list(self._looks):
                if self._closed:
                    break
                look = self._look(topic, self._patience)
                reached &= look.reached
                with self._lock:
                    if topic in self._looks:
                        self._looks[topic] = look
            took = time.monotonic() - started
            rest = _REST * took if reached else 0.0  # waiting for an answer is no work
            if not self._closed:
                self._awake.wait(max(self._interval, min(rest, _LONGEST_REST)))
        with self._turn:
            self._free()

    def look(self, topic: str, seconds: float) -> Look:
        """Look on this thread, for up to about `seconds` (and what is left of a look under way);
        for tests and for people. Never raises for what a broker says or does not say: the answer
        tells.

        Raises:
            ClosedError: after close().
        """
        if self._closed:
            raise ClosedError("the scout is closed")
        return self._look(topic, seconds)

    def _look(self, topic: str, seconds: float) -> Look:
        with self._turn:
            at = time.monotonic()
            cluster_id, partitions, error = None, dict[int, Extent](), None
            try:
                cluster_id, numbers = self._topic(topic, at + seconds)
                partitions = self._extents(topic, numbers, at + seconds)
            except KafkarouteError as problem:
                error = _text(problem)
            except Exception as problem:
                # A backend's mistake must not end the looking.
                _log.exception("looking at the old place failed")
                error = type(problem).__name__
            return Look(topic, at, time.monotonic() - at, cluster_id, partitions, error)

    def _topic(self, topic: str, deadline: float) -> tuple[str | None, dict[int, str | None]]:
        """The cluster's id, and the topic's partitions, each with why it cannot be asked."""
        if self._asker is None:
            self._asker = self._open("read_uncommitted")
        metadata = self._asker.list_topics(topic, _left(deadline))
        described = metadata.topics.get(topic)
        if described is None or described.error is not None or not described.partitions:
            reason = described.error.str() if described and described.error else "not there"
            raise KafkarouteError(f"topic {topic}: {reason}")
        return metadata.cluster_id, {
            number: None if one.leader >= 0 else "it has no leader"
            for number, one in described.partitions.items()
        }

    def _extents(
        self, topic: str, numbers: Mapping[int, str | None], deadline: float
    ) -> dict[int, Extent]:
        asker = self._asker
        assert asker is not None
        wanted = [TopicPartition(topic, number) for number in sorted(numbers)]
        own = self._positions.get(topic, {})
        found: dict[int, Extent] = {}
        gaps: dict[Key, tuple[int, int]] = {}
        for one in asker.committed(wanted, _left(deadline)):
            number = one.partition
            trouble = numbers[number] or (one.error.str() if one.error is not None else None)
            known = [offset for offset in (one.offset, own.get(number, -1)) if offset >= 0]
            read = max(known, default=None)
            found[number] = extent = self._extent(topic, number, read, trouble, deadline)
            if extent.error is None and not extent.drained:
                gaps[topic, number] = (extent.next, extent.high)
        for (_, number), answer in self._look_into(gaps, deadline).items():
            before = found[number]
            error = answer if isinstance(answer, str) else None
            found[number] = Extent(before.read, before.low, before.high, answer is True, error)
        return found

    def _extent(
        self, topic: str, number: int, read: int | None, trouble: str | None, deadline: float
    ) -> Extent:
        """One partition by its offsets alone."""
        assert self._asker is not None
        if trouble is not None:
            return Extent(read, error=trouble)
        partition = TopicPartition(topic, number)
        try:
            # Half of what is left: a broker that hangs leaves something for the others.
            left = _left(deadline) / 2
            low, high = self._asker.get_watermark_offsets(partition, left, cached=False)
        except KafkarouteError as problem:
            return Extent(read, error=_text(problem))
        start = low if read is None else max(read, low)
        return Extent(read, low, high, drained=start >= high)

    def _look_into(
        self, gaps: Mapping[Key, tuple[int, int]], deadline: float
    ) -> dict[Key, bool | str | None]:
        """For each gap whether the application would be given nothing of it, or an error; None
        where that cannot be told yet: the cluster answers, but not with messages."""
        if not gaps or not self._config.get(_ENDS):
            return dict.fromkeys(gaps, False)
        if self._gaps is None:
            self._reading = self._open(None)
            self._gaps = GapReader(self._reading)
        answers = self._gaps.empty(gaps, deadline)
        if None in answers.values():
            # Perhaps it waits for an end that it was told of before: the next look has another.
            self._close(self._reading)
            self._reading = self._gaps = None
        return answers

    # --- native consumers ---------------------------------------------------------------------

    def _open(self, isolation: str | None) -> BackendConsumer:
        """A consumer, for `isolation` where the backend knows of it, else for the configured."""
        config = self._config
        if isolation is not None:
            config = _with(self._backend, config, "isolation.level", isolation)
        return self._backend.open_consumer(config, {})

    def _free(self) -> None:
        self._close(self._asker)
        self._close(self._reading)
        self._asker = self._reading = self._gaps = None

    @staticmethod
    def _close(client: BackendConsumer | None) -> None:
        try:
            if client is not None:
                client.close()
        except KafkarouteError as problem:
            _log.info("closing a consumer of the old place: %s", _text(problem))


def _onlooker(backend: Backend, config: Mapping[str, ConfigValue]) -> dict[str, ConfigValue]:
    """`config` for a client that watches the group without being in it."""
    own = {
        key: value
        for key, value in config.items()
        if key != "group.instance.id" and (key in _NEEDED or not is_callback_key(key))
    }
    for key, value in _ONLOOKER.items():
        own = _with(backend, own, key, value)
    return own


def _with(
    backend: Backend, config: dict[str, ConfigValue], key: str, value: ConfigValue
) -> dict[str, ConfigValue]:
    """`config` with one setting more, unless the backend has no such setting."""
    more = {**config, key: value}
    try:
        backend.check_config(more, consumer=True)
    except UnsupportedFeature:
        return config
    except KafkarouteError:
        pass  # opening tells
    return more


def _left(deadline: float) -> float:
    """Seconds; never 0, which might mean not to ask at all."""
    return max(0.01, deadline - time.monotonic())


def _text(problem: KafkarouteError) -> str:
    error = problem.args[0] if isinstance(problem, KafkaException) and problem.args else problem
    return error.str() if hasattr(error, "str") else str(error)
