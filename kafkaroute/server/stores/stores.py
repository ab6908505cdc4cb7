"""Which store keeps the rules, chosen by the name they are given by."""

from __future__ import annotations

from ...errors import ConfigurationError
from .store import RulesStore

__all__ = ["is_database", "open_store"]

_DATABASES = ("postgresql://", "postgres://")


def is_database(rules: str) -> bool:
    return rules.startswith(_DATABASES)


def open_store(rules: str, *, history: str | None = None) -> RulesStore:
    """The store of a rules file, or of a database named by a URL.

    Raises:
        ConfigurationError: the file is wrong, or what the store needs is not installed.
    """
    if is_database(rules):
        if history is not None:
            raise ConfigurationError("a database keeps its history itself: --history is for files")
        from .postgres import Database  # says what is missing
        from .postgres_store import PostgresStore

        return PostgresStore(Database(rules))
    from .file_store import FileStore

    return FileStore(rules, history=history)
