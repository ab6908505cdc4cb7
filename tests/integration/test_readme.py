"""The README's examples, as they stand there, against a catalog and a cluster."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kafkaroute.testing.catalog_stub import CatalogStub

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


class Enough(Exception):
    pass


def test_the_examples_produce_and_consume(embedded_cluster, monkeypatch):
    produce, consume = EXAMPLES
    assert len(produce.splitlines()) <= 12
    monkeypatch.setenv("KAFKAROUTE_BACKEND", "confluent-kafka")
    for topic in ("readme-orders", "readme-refunds"):
        embedded_cluster.create_topic(topic, 2)
    # The password is left out in the README.
    with CatalogStub(basic_auth=("orders-app", "…")) as stub:
        for name in ("orders", "refunds"):
            stub.put(
                f"kafka://example.com/{name}",
                topic=f"readme-{name}",
                connection=embedded_cluster.client_config(),
                configuration={"auto.offset.reset": "earliest"},
            )
        names: dict[str, object] = {}
        exec(produce.replace("https://catalog.example.com/kafka", stub.uri), names)
        seen = []

        def note(*what: object) -> None:
            seen.append(what)
            raise Enough

        names["print"] = note
        with pytest.raises(Enough):
            exec(consume, names)
    assert seen == [("kafka://example.com/orders", b"customer-7", b"42 widgets")]


def test_no_placeholder_is_left():
    assert "@@" not in README
