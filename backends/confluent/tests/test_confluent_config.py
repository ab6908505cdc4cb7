"""Settings on their way into librdkafka, and log lines on their way out."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import Consumer

import kafkaroute
from kafkaroute.backend.settings_keys import boolean_of
from kafkaroute_confluent import ConfluentBackend
from kafkaroute_confluent.config import native_config
from kafkaroute_confluent.logs import LogSink, Redactor

UNREACHABLE = {"bootstrap.servers": "127.0.0.1:1"}
SECRET = "s3cr3t-of-the-test"


def _until(done: Callable[[], bool], step: Callable[[], object]) -> None:
    """Serve a client until its log lines are there: on a busy machine that takes long."""
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline, "it did not come"
        step()


def test_a_refusal_names_the_setting_and_is_a_native_exception_too() -> None:
    for consumer in (False, True):
        with pytest.raises(kafkaroute.ConfigurationError, match=r"no\.such\.key") as caught:
            ConfluentBackend().check_config({"no.such.key": "1"}, consumer=consumer)
        assert isinstance(caught.value, confluent_kafka.KafkaException)
        assert caught.value.args[0].code() == kafkaroute.KafkaError._INVALID_ARG
        assert not str(caught.value).startswith("KafkaError{")


@pytest.mark.parametrize(
    ("key", "value"),
    [("acks", "many"), ("linger.ms", "soon"), ("linger.ms", 9_999_999), ("retries", "x")],
)
def test_a_wrong_value_is_named_as_the_reader_knows_it(key: str, value: object) -> None:
    with pytest.raises(kafkaroute.ConfigurationError, match=key.replace(".", r"\.")):
        ConfluentBackend().check_config({key: value}, consumer=False)  # type: ignore[dict-item]


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(kafkaroute.ConfigurationError, match=r"enable\.idempotence"):
        ConfluentBackend().check_config({"enable.idempotence": True, "acks": "0"}, consumer=False)


def test_callbacks_must_be_callable() -> None:
    for settings in ({"error_cb": "print"}, {"logger": "stderr"}):
        with pytest.raises(kafkaroute.ConfigurationError, match=next(iter(settings))):
            ConfluentBackend().open_producer(settings)


def test_a_consumer_without_a_group_is_no_matter_of_the_check() -> None:
    backend = ConfluentBackend()
    assert backend.check_config(UNREACHABLE, consumer=True) is None  # type: ignore[func-returns-value]
    with pytest.raises(kafkaroute.KafkaException, match=r"group\.id") as caught:
        backend.open_consumer(UNREACHABLE, {})
    assert caught.value.args[0].code() == kafkaroute.KafkaError._INVALID_ARG
    assert not isinstance(caught.value, kafkaroute.ConfigurationError)


def test_the_other_sides_settings_are_dropped() -> None:
    shared = {"client.id": "c", "socket.timeout.ms": 1000}
    producers = {"acks": "all", "linger.ms": 5, "transactional.id": "t", "on_delivery": print}
    consumers = {"group.id": "g", "auto.offset.reset": "latest", "on_commit": print}
    together = {**shared, **producers, **consumers}
    assert native_config(together, consumer=False) == {**shared, **producers}
    assert native_config(together, consumer=True) == {**shared, **consumers}


def test_values_take_librdkafkas_form() -> None:
    given = {"a": True, "b": False, "c": 16384.0, "d": 0.5, "e": "TRUE", "f": 3}
    assert native_config(given, consumer=False) == {
        "a": "true",
        "b": "false",
        "c": 16384,
        "d": 0.5,
        "e": "TRUE",
        "f": 3,
    }


@pytest.mark.parametrize("value", [True, "true", "True", "1", 1])
def test_the_one_setting_that_must_be_a_python_boolean(value: object) -> None:
    key = "delivery.report.only.error"
    settings = {key: value}
    assert native_config(settings, consumer=False)[key] is True  # type: ignore[arg-type]
    ConfluentBackend().check_config(settings, consumer=False)  # type: ignore[arg-type]
    assert native_config({key: "false"}, consumer=False)[key] is False


def test_checking_is_quick_and_connects_nowhere(embedded_cluster: object) -> None:
    log = logging.getLogger("kafkaroute.confluent")
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        began = time.monotonic()
        for _ in range(20):
            ConfluentBackend().check_config(UNREACHABLE, consumer=False)
        assert time.monotonic() - began < 10  # one wait of a second each would make it 20
    finally:
        log.removeHandler(handler)
    assert records == []


def test_log_lines_go_to_logging_and_not_to_stderr(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    backend = ConfluentBackend()
    settings = {**UNREACHABLE, "group.id": "g", "acks": "all"}
    with caplog.at_level(logging.DEBUG, logger="kafkaroute.confluent"):
        producer = backend.open_producer(settings)
        producer.sender("t")(b"v")
        _until(lambda: "rdkafka#producer" in caplog.text, lambda: producer.flush(0.1))
        producer.close(0)
        consumer = backend.open_consumer(settings, {})
        consumer.subscribe(["t"], None, None, None)
        _until(lambda: "rdkafka#consumer" in caplog.text, lambda: consumer.poll(0.1))
        consumer.close()
    assert capfd.readouterr().err == ""
    names = {record.name for record in caplog.records}
    assert names == {"kafkaroute.confluent"}
    assert "CONFWARN" not in caplog.text


def test_without_any_handler_nothing_reaches_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    errors: list[kafkaroute.KafkaError] = []
    try:
        producer = ConfluentBackend().open_producer({**UNREACHABLE, "error_cb": errors.append})
        _until(lambda: bool(errors), lambda: producer.poll(0.1))  # its log line came before
        producer.poll(0.3)
        producer.close(0)
    finally:
        root.handlers = handlers
    assert capfd.readouterr().err == ""


def test_repeated_lines_are_held_back(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    sink = LogSink(Redactor({}), clock=lambda: now[0])
    with caplog.at_level(logging.DEBUG, logger="kafkaroute.confluent"):
        for now[0] in (0.0, 1.0, 29.0, 31.0):
            sink.log(logging.ERROR, "%s [%s]", "FAIL", "down")
            sink.log(logging.DEBUG, "%s", "always")
        sink.log(logging.ERROR, "%s [%s]", "FAIL", "another")
    messages = [record.getMessage() for record in caplog.records]
    assert [message for message in messages if message != "always"] == [
        "FAIL [down]",
        "FAIL [down] (2 more like it)",
        "FAIL [another]",
    ]
    assert messages.count("always") == 4


class _Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, level: int, text: str, *args: object) -> None:
        assert level in (10, 20, 30, 40, 50)
        self.lines.append(text % args)


def test_an_application_may_give_its_own_logger() -> None:
    logger = _Lines()
    producer = ConfluentBackend().open_producer({**UNREACHABLE, "logger": logger})  # type: ignore[dict-item]

    def repeated() -> bool:  # as kafkaroute's own has it only every 30 seconds
        return any("127.0.0.1:1" in line and n > 1 for line, n in Counter(logger.lines).items())

    _until(repeated, lambda: producer.poll(0.3))
    producer.close(0)


def test_secrets_are_masked_in_every_log_line() -> None:
    logger = _Lines()
    producer = ConfluentBackend().open_producer(
        {
            **UNREACHABLE,
            "client.id": f"app-of-{SECRET}",  # so that librdkafka has reason to write it
            "sasl.username": SECRET,
            "sasl.password": "ab",
            "debug": "all",
            "logger": logger,  # type: ignore[dict-item]
        }
    )
    _until(lambda: "app-of-***" in " ".join(logger.lines), lambda: producer.poll(0.1))
    producer.set_sasl_credentials("rdkafka", "other")
    until_now = len(logger.lines)
    _until(lambda: len(logger.lines) > until_now, lambda: producer.poll(0.1))
    producer.close(0)
    assert not [line for line in logger.lines if SECRET in line]
    assert "***#producer" in logger.lines[-1], "credentials set later are masked as well"


def test_secrets_are_masked_in_refusals() -> None:
    settings = {"security.protocol": SECRET, "sasl.password": SECRET}
    with pytest.raises(kafkaroute.ConfigurationError, match=r"security\.protocol") as caught:
        ConfluentBackend().open_producer(settings)
    shown = f"{caught.value} {caught.value!r} {caught.value.args} {caught.value.__context__}"
    assert SECRET not in shown or caught.value.__suppress_context__
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.args}"


def test_callbacks_of_the_application_are_called() -> None:
    errors: list[kafkaroute.KafkaError] = []
    producer = ConfluentBackend().open_producer({**UNREACHABLE, "error_cb": errors.append})
    _until(lambda: bool(errors), lambda: producer.poll(0.1))
    producer.close(0)
    assert isinstance(errors[0], kafkaroute.KafkaError)
    assert errors[0].code() == kafkaroute.KafkaError._TRANSPORT


@pytest.mark.parametrize(
    "text",
    [
        *("true", "TRUE", "True", "t", "T", "1", "false", "F", "0"),
        *("yes", "on", " true", "true ", "", "2", "tru", "no"),
    ],
)
def test_booleans_are_read_as_librdkafka_reads_them(text: str) -> None:
    settings = {"bootstrap.servers": "127.0.0.1:1", "enable.auto.commit": text, "group.id": "g"}
    try:
        Consumer({**settings, "log_level": 0}).close()
    except confluent_kafka.KafkaException:
        assert boolean_of(text) is None
    else:
        assert boolean_of(text) is not None


@pytest.mark.parametrize("group", ["", " "])
def test_a_group_without_a_name_is_refused_where_librdkafka_would_abort(group: str) -> None:
    with pytest.raises(confluent_kafka.KafkaException, match=r"group\.id") as caught:
        ConfluentBackend().open_consumer({**UNREACHABLE, "group.id": group}, {})
    assert caught.value.args[0].code() == kafkaroute.KafkaError._INVALID_ARG


@pytest.mark.parametrize("key", ["ssl.ca.location", "ssl.crl.location", "ssl.key.location"])
def test_a_pipe_is_not_read(key: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    settings = {**UNREACHABLE, "security.protocol": "SSL", key: str(tmp_path / "pipe")}
    with pytest.raises(kafkaroute.ConfigurationError, match=key):
        ConfluentBackend().open_producer(settings)
