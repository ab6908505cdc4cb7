"""From merged canonical settings to what confluent-kafka's constructors take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kafkaroute.backend.settings_check import unfit_setting
from kafkaroute.backend.settings_keys import ConfigValue, boolean_of
from kafkaroute.errors import ConfigurationError

from .entrances import Entrance, reraise
from .errors import construction_error, refused_setting
from .logs import LogSink, Redactor, SilentSink

__all__ = ["check", "construct", "native_config"]

#: Marked "P" in librdkafka's CONFIGURATION.md (2.16), aliases included, and confluent-kafka's
#: callbacks of a producer. One catalog answer serves producers and consumers, and librdkafka
#: ignores what belongs to the other side, with a warning each: they are dropped here instead.
_PRODUCER_ONLY = frozenset(
    """
    acks batch.num.messages batch.size compression.codec compression.level compression.type
    delivery.report.only.error delivery.timeout.ms enable.gapless.guarantee enable.idempotence
    linger.ms message.send.max.retries message.timeout.ms partitioner produce.offset.report
    queue.buffering.backpressure.threshold queue.buffering.max.kbytes
    queue.buffering.max.messages queue.buffering.max.ms queuing.strategy request.required.acks
    request.timeout.ms retries sticky.partitioning.linger.ms transaction.timeout.ms
    transactional.id on_delivery
    """.split()  # noqa: SIM905  # wrapped lines read better than 30 literals
)
#: Marked "C" there, and confluent-kafka's callbacks of a consumer.
_CONSUMER_ONLY = frozenset(
    """
    auto.commit.enable auto.commit.interval.ms auto.offset.reset check.crcs
    consume.callback.max.messages coordinator.query.interval.ms enable.auto.commit
    enable.auto.offset.store enable.partition.eof fetch.error.backoff.ms fetch.max.bytes
    fetch.message.max.bytes fetch.min.bytes fetch.queue.backoff.ms fetch.wait.max.ms group.id
    group.instance.id group.protocol group.protocol.type group.remote.assignor
    heartbeat.interval.ms isolation.level max.partition.fetch.bytes max.poll.interval.ms
    max.poll.records offset.store.method offset.store.path offset.store.sync.interval.ms
    partition.assignment.strategy queued.max.messages.kbytes queued.min.messages
    session.timeout.ms on_commit
    """.split()  # noqa: SIM905  # wrapped lines read better than 30 literals
)
#: confluent-kafka itself acts on this one, and takes it as a Python bool only.
_PYTHON_BOOLEAN = "delivery.report.only.error"
#: Left out of a check: these connect, start brokers, load code or wait for a token.
_ACTIVE = frozenset(
    {
        "bootstrap.servers",
        "metadata.broker.list",
        "test.mock.num.brokers",
        "plugin.library.paths",
        "sasl.oauthbearer.method",
        "oauth_cb",
    }
)


def native_config(config: Mapping[str, ConfigValue], *, consumer: bool) -> dict[str, Any]:
    """`config` without the other side's settings, and with values that librdkafka can read.

    Raises ConfigurationError: a value would end or freeze the process."""
    if (wrong := unfit_setting(config)) is not None:
        raise refused_setting(wrong)
    foreign = _PRODUCER_ONLY if consumer else _CONSUMER_ONLY
    return {key: _value(key, value) for key, value in config.items() if key not in foreign}


def _value(key: str, value: ConfigValue) -> Any:
    if key == _PYTHON_BOOLEAN:
        return boolean_of(value)  # as librdkafka reads booleans
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON may say 16384.0, which librdkafka takes for no integer
    return value


def construct(
    client: Callable[[dict[str, Any]], Any],
    config: Mapping[str, ConfigValue],
    redact: Redactor,
    *,
    consumer: bool,
    failed: Callable[[BaseException], Any] = reraise,
) -> Any:
    """A native client whose log lines go to Python's logging.

    `failed` is told what the logger raises, or a signal's handler on the way into it.

    Raises:
        ConfigurationError: librdkafka refuses a setting; the text names it.
        KafkaException: ``_INVALID_ARG`` when ``group.id`` is missing, and other refusals.
    """
    settings = native_config(config, consumer=consumer)
    logger = settings.pop("logger", None)
    if logger is not None and not callable(getattr(logger, "log", None)):
        raise ConfigurationError("logger has no method log()")
    settings["logger"] = Entrance(LogSink(redact, logger).log, failed)
    return _construct(client, settings, redact)


def check(
    client: Callable[[dict[str, Any]], Any], config: Mapping[str, ConfigValue], *, consumer: bool
) -> None:
    """Let librdkafka validate `config`, in a client that knows no broker (about 0.5 ms).

    Files that TLS settings name are read. Raises as :func:`construct`.
    """
    settings = {
        key: value
        for key, value in native_config(config, consumer=consumer).items()
        if key not in _ACTIVE
    }
    if consumer:
        settings.setdefault("group.id", "check")
    settings["logger"] = SilentSink()
    _construct(client, settings, Redactor(config)).close()


def _construct(
    client: Callable[[dict[str, Any]], Any], settings: dict[str, Any], redact: Redactor
) -> Any:
    try:
        return client(settings)
    except Exception as error:
        # Not chained: the original's text is not redacted.
        raise construction_error(error, redact) from None
