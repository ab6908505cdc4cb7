"""Reads the secrets of the rules in force before answers need them."""

from __future__ import annotations

import asyncio
import logging

from ..rules.secrets.refs import prefetch
from .failures import told_without_texts
from .stores.store import RulesStore

__all__ = ["keep_secrets"]

_log = logging.getLogger("kafkaroute.server")
#: Seconds between two looks at which secrets are due: a changed one is answered at most this
#: long and its store's own life after the change.
_EVERY = 15.0


async def keep_secrets(store: RulesStore, every: float = _EVERY) -> None:
    """Let every secret be read again when it is due, for ever."""
    while True:
        state = store.state
        if state is not None:
            try:
                await asyncio.to_thread(prefetch, state.rules.values_with_secrets())
            except Exception as error:
                _log.error("reading secrets failed: %s", told_without_texts(error))
        await asyncio.sleep(every)
