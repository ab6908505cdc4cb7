"""A third party's backend: a distribution of its own, installed by pip and used by its name.

Nothing in kafkaroute knows it. It is installed into a folder of its own, which only the
subprocesses here have on their path.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "third_party_backend"
RULES = """
version: 1
clusters:
  - name: one
    connection: {bootstrap.servers: "memory-one"}
    rules:
      - match: {path: '/one/.*'}
        lookup: {table: {orders: orders-v1}}
  - name: two
    connection: {bootstrap.servers: "memory-two"}
    rules:
      - match: {path: '/two/.*'}
        lookup: {table: {orders: orders-v2}}
profiles:
  - {name: plain, settings: {}}
"""
APPLICATION = """
import json, sys, threading
from kafkaroute import Consumer, Producer

rules, backend = sys.argv[1:]
base = {"service_gateway_uri": f"file://{rules}", "config_profile": "plain"}
if backend != "-":
    base["backend"] = backend
channels = ["kafka://example.com/one/orders", "kafka://example.com/two/orders"]
reports = []
with Producer(base) as producer:
    for number in range(20):
        for channel in channels:
            producer.produce(
                channel, f"{number}", key=f"key-{number % 3}", headers={"n": str(number)},
                on_delivery=lambda error, message: reports.append(
                    (error, message.topic(), threading.get_ident() == threading.main_thread().ident)
                ),
            )
    assert reports == []
    left = producer.flush(5)

read = []
assigned = []
group = {"group.id": "g", "auto.offset.reset": "earliest"}
with Consumer(base | {"client_config": group}) as consumer:
    consumer.subscribe(channels, on_assign=lambda c, partitions: assigned.append(len(partitions)))
    while len(read) < 40:
        message = consumer.poll(5)
        assert message is not None, f"{len(read)} of 40"
        read.append((message.channel(), message.topic(), message.key().decode(),
                     int(message.value()), message.headers()[0][1].decode()))
with Consumer(base | {"client_config": group}) as consumer:
    consumer.subscribe(channels)
    again = consumer.poll(0.5)
print(json.dumps({
    "left": left,
    "reports": reports,
    "read": read,
    "assigned": assigned,
    "again": again is not None,
    "kafka clients": [name for name in ("confluent_kafka", "kafka") if name in sys.modules],
}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that pip installed the distribution into."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "kafkaroute-memory"
    shutil.copytree(SOURCE, source)  # builds leave files behind
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command += ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder)]
    done = subprocess.run(
        [*command, str(source)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def run(site, *arguments, **environment):
    env = {name: value for name, value in os.environ.items() if "KAFKAROUTE" not in name}
    env |= {"PYTHONPATH": str(site), **environment}
    return subprocess.run(
        [sys.executable, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


def check_answer(done):
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["left"] == 0
    topics = {"orders-v1": "kafka://example.com/one/orders"}
    topics["orders-v2"] = "kafka://example.com/two/orders"
    assert len(answer["reports"]) == 40
    assert all(error is None and topic in topics and own for error, topic, own in answer["reports"])
    for topic, channel in topics.items():
        mine = [row[2:] for row in answer["read"] if row[:2] == [channel, topic]]
        assert sorted(mine, key=lambda row: row[1]) == [
            [f"key-{number % 3}", number, str(number)] for number in range(20)
        ]
        for key in {row[0] for row in mine}:
            numbers = [row[1] for row in mine if row[0] == key]
            assert numbers == sorted(numbers)
    assert answer["assigned"] == [4, 4]
    assert answer["again"] is False
    assert answer["kafka clients"] == []


def test_it_carries_messages_end_to_end(site, rules):
    check_answer(run(site, "-c", APPLICATION, str(rules), "memory"))


def test_a_deployment_chooses_it_without_touching_the_code(site, rules):
    check_answer(run(site, "-c", APPLICATION, str(rules), "-", KAFKAROUTE_BACKEND="memory"))


def test_it_is_listed_without_being_imported(site):
    script = (
        "import sys; from kafkaroute.cli import main; code = main(['backends', '--json']);"
        "sys.exit(code or ('kafkaroute_memory' in sys.modules and 'it was imported'))"
    )
    done = run(site, "-c", script)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["memory"]["distribution"] == "kafkaroute-memory"
    assert rows["memory"]["version"] == "1.2.3"


def test_it_refuses_what_it_cannot_honour_by_name(site, rules):
    settings = rules.read_text().replace("settings: {}", "settings: {compression.type: gzip}")
    rules.write_text(settings)
    done = run(site, "-c", APPLICATION, str(rules), "memory")
    assert done.returncode != 0
    assert "UnsupportedFeature" in done.stderr
    assert "compression.type" in done.stderr


def test_without_it_the_error_lists_what_is_installed(rules, tmp_path):
    done = run(tmp_path, "-c", APPLICATION, str(rules), "memory")
    assert done.returncode != 0
    assert "BackendNotFound" in done.stderr
    assert "confluent-kafka" in done.stderr
