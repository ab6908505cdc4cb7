"""What this backend uses of kafka-python beyond its documented calls, in one place.

Everything is looked up here, once per client, so that another version of the library leads to a
clear refusal and never to a wrong result.
"""

from __future__ import annotations

import os
from typing import Any

from kafkaroute.backend.settings_keys import boolean_of
from kafkaroute.errors import UnsupportedFeature

from .library import kafka_version

__all__ = ["kafka_version", "may_be_fast", "private", "require", "update_credentials"]


def may_be_fast() -> bool:
    """Whether ``fast/`` may take the library's place in what it does faster.

    ``KAFKAROUTE_KAFKA_PYTHON_FAST=0`` in the environment says no, for whoever wants to know which of
    the two a trouble comes from.
    """
    return boolean_of(os.environ.get("KAFKAROUTE_KAFKA_PYTHON_FAST", "1")) is not False


def private(owner: Any, *path: str) -> Any:
    """The attribute at `path`, or None where this version of kafka-python has none."""
    for name in path:
        owner = getattr(owner, name, None)
        if owner is None:
            return None
    return owner


def require(what: str, owner: Any, *paths: str) -> None:
    """Raise UnsupportedFeature unless every dotted path exists on `owner`."""
    for path in paths:
        target = owner
        for name in path.split("."):
            if not hasattr(target, name):
                raise UnsupportedFeature(
                    f"{what} is not possible with kafka-python {kafka_version} "
                    f"({type(owner).__name__}.{path} is gone)"
                )
            target = getattr(target, name)


def update_credentials(client: Any, username: str, password: str) -> None:
    """Give a live client another user name and password; used at the next (re-)authentication.

    Raises UnsupportedFeature on a kafka-python that keeps them elsewhere.
    """
    require("set_sasl_credentials()", client, "_manager.config", "_manager._conns")
    manager = client._manager
    fresh = {"sasl_plain_username": username, "sasl_plain_password": password}
    if not set(fresh) <= set(manager.config):
        raise UnsupportedFeature(
            f"set_sasl_credentials() is not possible with kafka-python {kafka_version}"
        )
    manager.config.update(fresh)
    for connection in list(manager._conns.values()):
        connection.config.update(fresh)
    # A refused node is remembered and not tried again, and waits out its back-off.
    for memory in ("_auth_failures", "_backoff"):
        known = getattr(manager, memory, None)
        if known is not None:
            known.clear()
    # Somebody may be sleeping out the back-off of the first connection.
    wake = private(manager, "_bootstrap_wakeup", "notify")
    net = private(manager, "_net")
    if wake is not None and net is not None:
        net.call_soon_threadsafe(wake)
