"""Secret references such as ``{vault://env/cc-user1}``, resolved when an answer is made."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping

__all__ = ["is_reference", "reference_problem", "resolve_reference"]

_log = logging.getLogger("kafkaroute.catalog.rules")
_REFERENCE = re.compile(r"\{vault://([^/{}]*)/([^{}]*)\}")
_ENV_NAME = re.compile(r"[A-Za-z0-9_-]+")
_reported: set[str] = set()


def is_reference(value: object) -> bool:
    """True where `value` means a secret kept elsewhere."""
    return isinstance(value, str) and value.startswith("{vault://")


def reference_problem(value: str) -> str | None:
    """What is wrong with a reference, or None."""
    match = _REFERENCE.fullmatch(value)
    if match is None:
        return "a secret reference looks like {vault://env/name}"
    store, name = match.groups()
    if store != "env":
        return f"unknown secret store {store!r}; known: env"
    if not _ENV_NAME.fullmatch(name):
        return f"{name!r} names no environment variable"
    return None


def resolve_reference(value: str, environ: Mapping[str, str] | None = None) -> str:
    """The secret. One that is not set is an empty string, as the existing service answers.

    ``{vault://env/cc-user1}`` reads the environment variable ``CC_USER1``.
    """
    match = _REFERENCE.fullmatch(value)
    assert match is not None, "references are checked when the rules are loaded"
    variable = match.group(2).replace("-", "_").upper()
    found = (os.environ if environ is None else environ).get(variable)
    if found is None:
        if variable not in _reported:
            _reported.add(variable)
            _log.warning("the secret %s is not set: it is answered as an empty string", variable)
        return ""
    return found
