"""The demo's catalog: which airport's channel lives on which cluster, before and after a move."""

from __future__ import annotations

import json
from collections.abc import Mapping

#: The caller, and where the service finds its password.
USER = "flights"
PASSWORD_VARIABLE = "DEMO_PASSWORD"
#: The airport whose channel moves from cluster a to cluster b while it is used.
MOVES = "LGA"
#: Airport → cluster, or clusters.
HOMES = {"EWR": "a", "JFK": "a", MOVES: "a → b"}


def topics(prefix: str = "departures") -> dict[str, list[str]]:
    """Cluster → the topics that the rules below name there; they must exist beforehand, since a
    consumer looks for new topics only every few minutes."""
    at_a = [f"{prefix}.{name}" for name in ("newark", "kennedy", "laguardia")]
    return {"a": at_a, "b": [f"{prefix}.LGA"]}


_RULES = """\
callers:
  - {{name: {user}, password: "{{vault://env/demo-password}}"}}
credentials:
  - caller: {user}
    values: {{security.protocol: PLAINTEXT}}
clusters:
  - name: a
    connection: {connection_a}
    rules:
      - match: {{host: 'airports\\.example', path: '/departures/({at_a})'}}
        lookup:
          table: {{EWR: {prefix}.newark, JFK: {prefix}.kennedy, LGA: {prefix}.laguardia}}
  - name: b
    connection: {connection_b}
    rules:
      - match: {{host: 'airports\\.example', path: '/departures/[A-Z]+'}}
        transform: "{prefix}.{{key}}"
profiles:
  - name: flightsOut
    settings:
      acks: all
      enable.idempotence: true
      compression.type: gzip
      linger.ms: 50
  - name: flightsIn
    settings:
      auto.offset.reset: earliest
      fetch.wait.max.ms: 100
"""


def rules_text(
    connections: Mapping[str, Mapping[str, object]],
    prefix: str = "departures",
    *,
    moved: bool = False,
) -> str:
    """A rules file for the clusters `a` and `b`, before or after the move; topics begin with
    `prefix`."""
    return _RULES.format(
        user=USER,
        prefix=prefix,
        at_a="EWR|JFK" if moved else f"EWR|JFK|{MOVES}",
        # JSON is YAML.
        connection_a=json.dumps(connections["a"]),
        connection_b=json.dumps(connections["b"]),
    )
