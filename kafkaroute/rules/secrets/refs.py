"""Secret references such as ``{vault://env/cc-user1}``, resolved when an answer is made."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from functools import cache, lru_cache

from ...errors import PluginError
from ...plugins import SECRETS, installed, load_plugin
from .cache import SecretCache
from .stores import SecretStore, SecretUnavailable

__all__ = ["is_reference", "prefetch", "reference_problem", "resolve_reference", "secret_changes"]

_log = logging.getLogger("kafkaroute.catalog.rules")
_REFERENCE = re.compile(r"\{vault://([^/{}]*)/([^{}]*)\}")
_MAX_REPORTED = 10_000
_reported: set[str] = set()
_cache = SecretCache()


def is_reference(value: object) -> bool:
    """True where `value` means a secret kept elsewhere."""
    return isinstance(value, str) and value.startswith("{vault://")


def reference_problem(value: str) -> str | None:
    """What is wrong with a reference, or None. Reads no secret."""
    match = _REFERENCE.fullmatch(value)
    if match is None:
        return "a secret reference looks like {vault://env/name}"
    name, rest = match.groups()
    if name not in _known():
        return f"unknown secret store {name!r}; known: {', '.join(_known())}"
    try:
        _store(name).split(rest)
    except (ValueError, PluginError) as error:
        return str(error)
    return None


def resolve_reference(value: str) -> str:
    """The secret. One that is not set is an empty string, as the existing service answers.

    ``{vault://env/cc-user1}`` reads the environment variable ``CC_USER1``.

    Raises:
        SecretUnavailable: its store cannot tell now; names the reference.
    """
    store, document, key = _parsed(value)
    try:
        found = _cache.read(store, document).get(key)
    except SecretUnavailable as error:
        raise SecretUnavailable(f"{value} cannot be read: {error}") from None
    if found is None:
        if value not in _reported and len(_reported) < _MAX_REPORTED:
            _reported.add(value)
            _log.warning("the secret %s is not set: it is answered as an empty string", value)
        return ""
    return found


def secret_changes() -> int:
    """Grows when a secret that was read is another now."""
    return _cache.changes


def prefetch(values: Iterable[object]) -> None:
    """Read the references among `values` now, so that no answer has to wait for them. Blocks.

    What cannot be read is logged, and tried again when an answer needs it.
    """
    failed: list[str] = []
    for value in values:
        if not is_reference(value):
            continue
        try:
            resolve_reference(str(value))
        except SecretUnavailable as error:
            failed.append(str(error))
    if failed:
        _log.warning("%d secrets cannot be read now; the first: %s", len(failed), failed[0])


@cache
def _known() -> tuple[str, ...]:
    return tuple(sorted({plugin.name for plugin in installed(SECRETS)}))


@lru_cache(maxsize=100_000)
def _parsed(value: str) -> tuple[SecretStore, str, str]:
    match = _REFERENCE.fullmatch(value)
    assert match is not None, "references are checked when the rules are loaded"
    store = _store(match.group(1))
    return store, *store.split(match.group(2))


@cache
def _store(name: str) -> SecretStore:
    found: SecretStore = load_plugin(SECRETS, name)()
    return found
