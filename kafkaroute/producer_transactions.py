"""The Producer's calls for transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .messages import TopicPartition
from .moves.producing.dispatch import Dispatch
from .transactions import Transactions

__all__ = ["TransactionCalls"]


class TransactionCalls:
    """What a Producer with a ``transactional.id`` can do."""

    _dispatch: Dispatch
    _transactions: Transactions | None

    def init_transactions(self, timeout: float = -1) -> None:
        """Make this Producer transactional (``transactional.id`` must be configured).

        Each native client is initialised when a transaction first uses it, because only then is
        known which cluster that is; `timeout` (seconds) bounds that call.
        """
        dispatch = self._dispatch
        with dispatch.lock:
            dispatch.check_open()
            if self._transactions is None:
                settings = dispatch.settings
                transactions = Transactions(
                    lambda: [link.client for link in dispatch.router.clients()],
                    patience=2 * settings.ttl + settings.timeout,
                    drain_timeout=settings.drain_timeout,
                )
                self._transactions = transactions
                dispatch.bind = lambda link, channel: transactions.bind(link.client, channel)
                dispatch.transactions = transactions
        self._transactions.init(timeout)  # asks clusters: not under the lock
        self._forget_senders()

    def _transaction(self) -> Transactions:
        self._dispatch.check_open()
        if self._transactions is None:
            raise Transactions.misuse("call init_transactions() first")
        return self._transactions

    def begin_transaction(self) -> None:
        """Open a transaction; the first produce() decides which cluster it lives on.

        A produce() to a channel of another cluster inside it is a KafkaException ``_STATE``.
        """
        self._transaction().begin()

    def send_offsets_to_transaction(
        self, positions: Sequence[TopicPartition], group_metadata: Any, timeout: float = -1
    ) -> None:
        """Commit a consumer's offsets with the transaction.

        Args:
            positions: what Consumer.position() returned, or partitions of your own.
            group_metadata: what Consumer.consumer_group_metadata() returned.
            timeout: seconds.

        Raises:
            KafkaException: ``_STATE``, with txn_requires_abort(), while the consumer and this
                Producer move from cluster to cluster one after the other.
            UnsupportedFeature: they live on different clusters.
        """
        self._transaction().send_offsets(positions, group_metadata, timeout)

    def commit_transaction(self, timeout: float = -1) -> None:
        """Flush and commit; `timeout` in seconds."""
        self._transaction().commit(timeout)
        self._forget_senders()

    def abort_transaction(self, timeout: float = -1) -> None:
        """Abort; undelivered messages fail with ``_PURGE_QUEUE``. `timeout` in seconds."""
        self._transaction().abort(timeout)
        self._forget_senders()

    def _forget_senders(self) -> None:
        """The next transaction may live on another cluster, so its channels are bound anew."""
        with self._dispatch.lock:
            self._dispatch.senders.clear()
