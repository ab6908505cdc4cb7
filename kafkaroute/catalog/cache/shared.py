"""One RouteCache for all Producers (or Consumers) of a process that ask the same question.

So a process asks (channels / TTL) questions a second, however many Producers it has.
"""

from __future__ import annotations

import json
import os
from dataclasses import astuple
from threading import Lock

from ...peer_proof import brings_secret
from ...settings import Settings
from ..loader import open_catalog
from .cache import RouteCache
from .snapshot import Snapshot

__all__ = ["acquire_cache", "release_cache"]

_lock = Lock()
_caches: dict[str, RouteCache] = {}
_users: dict[str, int] = {}


def _question(settings: Settings, intent: str) -> str:
    """Everything that makes two caches different; never shown, it holds a password."""
    s = settings
    return json.dumps(
        [
            s.service_gateway_uri,
            s.basic_auth,
            astuple(s.oauth) if s.oauth is not None else None,
            s.client_id,
            s.config_profile,
            s.ttl,
            dict(s.additional_params),
            s.timeout,
            s.max_stale,
            s.max_ttl,
            s.long_poll,
            s.verify,
            s.cert,
            [sorted(s.policy.allow), s.policy.require_tls],
            # What the policy looks at.
            dict(s.client_config)
            if s.policy.require_tls or brings_secret(s.client_config)
            else None,
            s.snapshot,
            intent,
        ],
        sort_keys=True,
        default=str,
    )


def acquire_cache(settings: Settings, intent: str) -> RouteCache:
    """The shared cache for these settings; give it back with :func:`release_cache`."""
    question = _question(settings, intent)
    with _lock:
        cache = _caches.get(question)
        if cache is None:
            cache = _caches[question] = RouteCache(
                open_catalog(settings),
                intent=intent,
                ttl=settings.ttl,
                max_stale=settings.max_stale,
                max_ttl=settings.max_ttl,
                timeout=settings.timeout,
                long_poll=settings.long_poll,
                snapshot=Snapshot(settings.snapshot) if settings.snapshot else None,
                check=lambda route: settings.policy.check(route, settings.client_config),
            )
        _users[question] = _users.get(question, 0) + 1
        return cache


def release_cache(cache: RouteCache) -> None:
    """One user less; the last one closes the cache."""
    with _lock:
        question = next((q for q, shared in _caches.items() if shared is cache), None)
        if question is None:
            return
        _users[question] -= 1
        if _users[question]:
            return
        del _caches[question], _users[question]
    cache.close()


def _in_child() -> None:
    global _lock  # noqa: PLW0603  # the parent's lock may be held by a thread that is not here
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
