"""Where the service's rules are kept: the seam behind which a file or a database stands."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...errors import KafkarouteError
from ...rules.history import History
from ...rules.model import Rules
from ...rules.passwords import Authenticator
from ...rules.secrets.refs import prefetch
from ..seen import Sighting

__all__ = ["Health", "NotWritable", "RulesStore", "State", "StoreUnavailable", "VersionConflict"]

_log = logging.getLogger("kafkaroute.server")


class NotWritable(KafkarouteError):
    """The rules cannot be changed through the service; says why."""


class StoreUnavailable(KafkarouteError):
    """What keeps the rules cannot be reached."""


class VersionConflict(KafkarouteError):
    """Somebody else changed the rules at the same time."""


@dataclass(frozen=True, slots=True)
class State:
    """The rules in force and what belongs to them, swapped as one.

    Attributes:
        text: the rules document itself.
        version: grows with every change that the store has seen.
        history: where channels lived before.
        client_ids_matter: answers may differ by what clients call themselves.
    """

    rules: Rules
    authenticator: Authenticator
    history: History
    version: int
    text: str = field(repr=False)
    client_ids_matter: bool

    @classmethod
    def of(cls, rules: Rules, history: History, version: int, text: str) -> State:
        generations = (rules.clusters, *(epoch.clusters for epoch in history.epochs))
        clusters = {id(cluster): cluster for one in generations for cluster in one}
        matter = any(
            rule.looks_at("client_id") for cluster in clusters.values() for rule in cluster.rules
        )
        return cls(rules, Authenticator(rules.callers), history, version, text, matter)


@dataclass(frozen=True, slots=True)
class Health:
    """How a store is. No secrets.

    Attributes:
        ready: rules are loaded, so that questions can be answered.
        version: of the rules in force.
        problems: what is wrong although questions are answered: a broken edit, a database that
            cannot be reached.
    """

    ready: bool
    version: int | None = None
    problems: tuple[str, ...] = ()


class RulesStore(ABC):
    """Keeps the rules document, and tells when it changes. Thread-safe.

    Attributes:
        name: for people; no secrets.
        shares_sightings: replicas tell each other who asked.
    """

    name: str
    shares_sightings = False

    def __init__(self) -> None:
        self._state: State | None = None
        self._watchers: list[Callable[[], None]] = []
        self._installing = threading.Lock()

    @property
    def state(self) -> State | None:
        """The rules in force; None before any could be read."""
        return self._state

    def on_change(self, tell: Callable[[], None]) -> None:
        """`tell` is called after each swap, in any thread; it must be quick."""
        self._watchers.append(tell)

    def _install(self, state: State) -> None:
        # Before the rules are in force: no answer has to wait for a store of secrets.
        prefetch(state.rules.values_with_secrets())
        self._state = state
        for tell in self._watchers:
            try:
                tell()
            except Exception:
                _log.exception("telling of new rules failed")

    @abstractmethod
    def start(self) -> None:
        """Begin to follow changes."""

    @abstractmethod
    def stop(self) -> None:
        """Stop following changes and free what is held. Safe to call twice."""

    @abstractmethod
    def health(self) -> Health: ...

    @abstractmethod
    def change(self, edit: Callable[[str], str], *, author: str, note: str = "") -> State:
        """Replace the document by what `edit` makes of it; return what is in force then.

        Blocks; `edit` may be called again where somebody else was faster.

        Raises:
            ConfigurationError: the new document is not sound. Nothing changed.
            NotWritable, VersionConflict: nothing changed.
        """

    def share(self, sightings: Sequence[Sighting]) -> int:  # one process: nothing
        """Let other replicas know who asked for what; how many of them the store refused for good.
        Blocks.

        Raises:
            Exception: nothing is known of any of them; they may be shared again.
        """
        return 0

    def sightings(self, channel: str) -> list[Sighting]:
        """What all replicas have seen on `channel`, spelled plainly. Blocks."""
        return []
