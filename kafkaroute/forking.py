"""What happens in the child of a fork.

Native Kafka clients do not survive a fork: their threads stay in the parent, so the child's copy
never delivers anything (librdkafka's INTRODUCTION.md; seen with kafka-python, too). A Producer or
Consumer registered here is told in the child and opens clients of its own.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["abandon", "on_fork"]


class _Forkable(Protocol):
    def _after_fork_in_child(self) -> None: ...


_registered: WeakSet[_Forkable] = WeakSet()
#: Clients of the parent. Freeing one here could wait for threads that do not exist, so the child
#: keeps them for its life.
_abandoned: list[object] = []


def on_fork(owner: _Forkable) -> None:
    """Call `owner._after_fork_in_child()` in every child forked from now on."""
    _registered.add(owner)


def abandon(client: object) -> None:
    """Keep the parent's client alive and unused in the child."""
    _abandoned.append(client)


def _in_child() -> None:
    for owner in list(_registered):
        owner._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
