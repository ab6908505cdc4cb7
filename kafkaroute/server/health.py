"""Whether the service lives, and whether it can answer."""

from __future__ import annotations

from .http import Request, Response, answered
from .stores.store import RulesStore

__all__ = ["Probes"]


class Probes:
    def __init__(self, store: RulesStore) -> None:
        self._store = store

    async def health(self, _request: Request) -> Response:
        """200 while the process runs: what is wrong with the rules, a restart does not mend.

        Strangers may read it: problems are told by their kind, and by name in the log alone.
        """
        found = self._store.health()
        body: dict[str, object] = {"status": "degraded" if found.problems else "ok"}
        if found.version is not None:
            body["version"] = found.version
        if found.problems:
            body["problems"] = list(found.problems)
        return answered(200, body)

    async def ready(self, _request: Request) -> Response:
        """200 from the first rules on. It stays so when a database goes away: replicas that have
        rules go on answering, and a load balancer must not take all of them away at once."""
        found = self._store.health()
        if not found.ready:
            return answered(503, {"ready": False, "problems": list(found.problems)})
        return answered(200, {"ready": True})
