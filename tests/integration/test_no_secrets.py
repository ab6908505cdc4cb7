"""No secret in any log at DEBUG, in the text of an exception or in a repr."""

import logging
import time
import traceback

import pytest

import kafkaroute
from kafkaroute import Consumer, KafkarouteError, Producer, Settings
from kafkaroute.places import Place
from kafkaroute.testing.catalog_stub import CatalogStub

CATALOG_USER, CATALOG_PASSWORD = "catalog-user-q7", "catalog-pw-x81z"
CHANNEL = "kafka://secrets.example/orders"


class Ear(logging.Handler):
    """Keeps every record of every logger, as a formatter would write it."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []
        self.heard = set()

    def emit(self, record):
        self.heard.add(record.name.partition(".")[0])
        self.lines.append(logging.Formatter().format(record))
        self.lines.append(repr(record.args))


@pytest.fixture
def ear():
    ear, root = Ear(), logging.getLogger()
    before = root.level
    touched = [
        (logger, logger.level)
        for logger in list(logging.Logger.manager.loggerDict.values())
        if isinstance(logger, logging.Logger) and logger.level
    ]
    for logger, _ in touched:
        logger.setLevel(logging.DEBUG)
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    yield ear
    root.removeHandler(ear)
    root.setLevel(before)
    for logger, level in touched:
        logger.setLevel(level)


@pytest.fixture
def stub():
    with CatalogStub(basic_auth=(CATALOG_USER, CATALOG_PASSWORD)) as stub:
        yield stub


def told(error):
    """All that an exception shows: text, repr, the traceback with its causes."""
    shown = "".join(traceback.format_exception(error))
    return [str(error), repr(error), shown, *map(str, error.args), *map(repr, error.args)]


def assert_silent(secrets, texts):
    for text in texts:
        for secret in secrets:
            assert secret not in text, f"a secret is told in: {text.replace(secret, '<HERE>')}"


@pytest.mark.kafka
@pytest.mark.parametrize("backend", ["confluent-kafka", "kafka-python"])
@pytest.mark.parametrize("broker_password", ["right", "wr0ng-broker-pw"])
def test_through_success_and_refusal_by_the_broker(
    backend, broker_password, real_cluster, stub, ear, capfd
):
    own = real_cluster.client_config("scram-sha-512")
    connection = {key: own.pop(key) for key in list(own) if not key.startswith("sasl.")}
    if broker_password != "right":
        own["sasl.password"] = broker_password
    topic = real_cluster.new_topic(1)
    stub.put(CHANNEL, topic=topic, connection=connection, credentials=own)
    settings = stub.settings(
        backend=backend,
        client_config={"message.timeout.ms": 3000, "group.id": topic, "fetch.wait.max.ms": 50},
    )
    told_by = [repr(Settings.from_dict(settings)), str(Settings.from_dict(settings))]
    reports = []
    with Producer(settings) as producer, Consumer(settings) as consumer:
        route = kafkaroute.resolve(CHANNEL, settings)
        place = Place(backend, route.client_config())
        producer.produce(CHANNEL, b"v", on_delivery=lambda error, _: reports.append(error))
        producer.flush(10)
        consumer.subscribe([CHANNEL])
        until = time.monotonic() + 3
        while time.monotonic() < until:
            message = consumer.poll(0.2)
            if message is not None:
                told_by += [repr(message), repr(message.error())]
        for thing in (producer, consumer, route, place, producer._router, producer._router.cache):
            told_by += [repr(thing), str(thing)]
        told_by.append(str(route.masked()))
        told_by.append(repr(producer._router.cache.state(CHANNEL)))
    assert [error is None for error in reports] == [broker_password == "right"]
    told_by += map(repr, reports)
    secrets = {CATALOG_USER, CATALOG_PASSWORD, own["sasl.password"], own["sasl.username"]}
    # What is not heard cannot be searched.
    expected = {"urllib3"}
    if backend == "kafka-python":
        expected.add("kafka")
    if broker_password != "right":
        expected.add("kafkaroute")  # it says why the client is not connected
    assert ear.heard >= expected
    assert_silent(secrets, [*told_by, *ear.lines, *capfd.readouterr()])


SECRET = "s3cr3t-in-answer"


@pytest.mark.parametrize(
    "route",
    [
        pytest.param({"connection": {"bootstrap.servers": ""}}, id="no servers"),
        pytest.param({"credentials": {"sasl.password": SECRET, "x": None}}, id="null"),
        pytest.param({"credentials": {"sasl.password": [SECRET]}}, id="list for text"),
        pytest.param(
            {"configuration": {"sasl.kerberos.kinit.cmd": SECRET}}, id="refused by the policy"
        ),
        pytest.param({"configuration": {"ssl.engine.location": SECRET}}, id="library"),
    ],
)
def test_of_a_bad_answer(route, stub, ear):
    credentials = {"sasl.username": "kafka-user-55", "sasl.password": SECRET}
    parts = {"connection": {"bootstrap.servers": "127.0.0.1:1"}, "credentials": credentials}
    stub.put(CHANNEL, topic="t", **(parts | route))
    with pytest.raises(KafkarouteError) as caught:
        kafkaroute.resolve(CHANNEL, stub.settings())
    secrets = {CATALOG_USER, CATALOG_PASSWORD, SECRET, "kafka-user-55"}
    assert_silent(secrets, [*told(caught.value), *ear.lines])


def test_of_wrong_catalog_credentials(stub, ear):
    stub.put(CHANNEL, topic="t", connection={"bootstrap.servers": "127.0.0.1:1"})
    wrong = ("who-is-this-9", "wr0ng-catalog-pw")
    with pytest.raises(KafkarouteError) as caught:
        kafkaroute.resolve(CHANNEL, stub.settings(basic_auth=wrong))
    assert_silent(wrong, [*told(caught.value), *ear.lines])


@pytest.mark.parametrize(
    "config",
    [
        {"basic_auth": ("user-77", ["pw-77"])},
        {"basic_auth": "pw-77"},
        {"client_config": {"sasl.password": ["pw-77"]}},
        {"client_config": "pw-77"},
        {"additional_params": "pw-77"},
    ],
)
def test_of_a_bad_configuration(config):
    with pytest.raises(KafkarouteError) as caught:
        Settings.from_dict({"service_gateway_uri": "http://127.0.0.1:1", **config})
    # The traceback shows this file's source, so only what the exception itself says counts.
    assert_silent({"pw-77", "user-77"}, [str(caught.value), repr(caught.value)])


@pytest.mark.parametrize("backend", ["confluent-kafka", "kafka-python"])
def test_of_a_setting_that_the_backend_refuses(backend, stub, ear):
    stub.put(
        CHANNEL,
        topic="t",
        connection={"bootstrap.servers": "127.0.0.1:1"},
        credentials={"sasl.username": "kafka-user-55", "sasl.password": SECRET},
        configuration={"linger.ms": "no number"},
    )
    with (
        Producer(stub.settings(backend=backend)) as producer,
        pytest.raises(KafkarouteError) as caught,
    ):
        producer.produce(CHANNEL, b"v")
    texts = [*told(caught.value), *ear.lines]
    assert_silent({"kafka-user-55", SECRET, CATALOG_PASSWORD}, texts)
    assert "linger.ms" in str(caught.value)
