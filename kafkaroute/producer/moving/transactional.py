"""Moving a transactional client: between two transactions, and after the consumer it serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from ..client import Client
from ..table import Table
from .opening import cluster_id_of

__all__ = ["between_transactions"]

#: How often is looked whether the consumer has left, while the application begins nothing.
_LOOK_AGAIN = 0.1


def between_transactions(
    table: Table,
    client: Client,
    targets: Iterable[Client],
    swap: Callable[[], None],
    stop: threading.Event,
) -> bool:
    """Run `swap` when no transaction is open, and wait for that; False when the Producer closes.

    The old client is closed before another one of the same ``transactional.id`` is initialised: on
    one cluster, that fences the old one. What it has delivered but not reported keeps it open.
    """
    transactions = table.transactions
    assert transactions is not None
    done = threading.Event()
    here = cluster_id_of(client)
    there = {cluster_id_of(target) for target in targets} - {here}
    give_up = time.monotonic() + 2 * table.settings.ttl + table.settings.timeout

    def permitted() -> bool:
        return not stop.is_set() and all(
            transactions.may_leave(here, cluster, give_up) for cluster in there
        )

    def leave() -> None:
        swap()
        idle = not len(client.native) and table.release(client)
        if idle:
            client.native.close(0)
        done.set()

    transactions.between(permitted, leave)
    while not done.wait(_LOOK_AGAIN):
        if stop.is_set():
            return False
        transactions.run_waiting()
    return True
