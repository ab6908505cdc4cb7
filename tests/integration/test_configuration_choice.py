"""A deployment chooses: backend by environment or file, precedence of client settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kafkaroute import Producer
from kafkaroute.testing.catalog_stub import CatalogStub
from kafkaroute.testing.embedded import KAFKA_PYTHON_SETTINGS

CHANNEL = "kafka://choice.example/orders"
#: One application, which names no backend, no catalog and no cluster.
APPLICATION = """
import sys
from kafkaroute import Producer
with Producer() as producer:
    producer.produce("kafka://choice.example/orders", sys.argv[1])
    assert producer.flush(20) == 0
print(",".join(sorted({"confluent_kafka", "kafka"} & set(sys.modules))))
"""


@pytest.fixture
def stub(embedded_cluster):
    with CatalogStub() as stub:
        topic = embedded_cluster.new_topic(1)
        # What kafka-python must be told about the embedded cluster does confluent-kafka's
        # producer no harm: one answer for both.
        connection = embedded_cluster.client_config() | KAFKA_PYTHON_SETTINGS
        stub.put(CHANNEL, topic=topic, connection=connection)
        yield stub


def run(environment, value="v"):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KAFKAROUTE_")}
    done = subprocess.run(
        [sys.executable, "-c", APPLICATION, value],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("backend", "imported"), [("confluent-kafka", "confluent_kafka"), ("kafka-python", "kafka")]
)
def test_the_environment_chooses_the_backend(stub, backend, imported):
    assert run({**environment(stub), "KAFKAROUTE_BACKEND": backend}) == imported


def environment(stub):
    return {
        "KAFKAROUTE_SERVICE_GATEWAY_URI": stub.uri,
        "KAFKAROUTE_CONFIG_PROFILE": "default",
        **(
            {"KAFKAROUTE_BASIC_AUTH": ":".join(stub.basic_auth)}
            if stub.basic_auth is not None
            else {}
        ),
    }


def test_a_profile_of_the_file_chooses_and_the_environment_wins(stub, tmp_path: Path):
    file = tmp_path / "kafkaroute.toml"
    file.write_text(
        'backend = "confluent-kafka"\n[profiles.pure]\nbackend = "kafka-python"\n',
        encoding="utf-8",
    )
    base = {**environment(stub), "KAFKAROUTE_CONFIG": str(file)}
    assert run(base) == "confluent_kafka"
    assert run({**base, "KAFKAROUTE_PROFILE": "pure"}) == "kafka"
    chosen = {"KAFKAROUTE_PROFILE": "pure", "KAFKAROUTE_BACKEND": "confluent-kafka"}
    assert run({**base, **chosen}) == "confluent_kafka"


@pytest.mark.parametrize("backend", ["confluent-kafka", "kafka-python"])
def test_client_config_wins_over_the_catalog_and_client_id_over_all(stub, backend, monkeypatch):
    opened = []
    stub.put(
        CHANNEL,
        topic="t",
        connection={"bootstrap.servers": "127.0.0.1:1", "client.id": "from-connection"},
        credentials={"security.protocol": "PLAINTEXT", "linger.ms": 1},
        configuration={"linger.ms": 2, "queue.buffering.max.ms": 3, "acks": "all"},
    )
    from kafkaroute.backend.registry import get_backend

    chosen = type(get_backend(backend))
    native = chosen.open_producer

    def spy(self, config, **how):
        opened.append(dict(config))
        return native(self, config, **how)

    monkeypatch.setattr(chosen, "open_producer", spy)
    settings = stub.settings(
        backend=backend,
        client_id="from-the-application",
        client_config={"request.required.acks": 1, "client.id": "from-client-config"},
    )
    producer = Producer(settings)
    producer.preload([CHANNEL])
    producer.close(0)
    # Aliases count as the setting that they stand for.
    assert opened == [
        {
            "bootstrap.servers": "127.0.0.1:1",
            "security.protocol": "PLAINTEXT",
            "linger.ms": 3,
            "acks": 1,
            "client.id": "from-the-application",
        }
    ]
