"""Settings: canonical names, numbers as text, and a clear refusal of what cannot be honoured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ...backend.contract import CONTRACT_VERSION, Backend, Capability
from ...errors import ConfigurationError, KafkaException, UnsupportedFeature
from ...messages import KafkaError
from .kit import UNREACHABLE, Kit

__all__ = ["ConfigurationTests"]

#: Settings that catalogs send. A backend honours each of them or refuses it by name.
_COMMON: Mapping[str, object] = {
    "client.id": "conformance",
    "message.max.bytes": 500000,
    "socket.timeout.ms": 30000,
    "socket.keepalive.enable": True,
    "socket.nagle.disable": True,
    "socket.send.buffer.bytes": 0,
    "socket.receive.buffer.bytes": 0,
    "socket.connection.setup.timeout.ms": 10000,
    "connections.max.idle.ms": 0,
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 1000,
    "retry.backoff.ms": 50,
    "retry.backoff.max.ms": 500,
    "metadata.max.age.ms": 60000,
    "topic.metadata.refresh.interval.ms": 60000,
    "broker.address.family": "v4",
    "client.dns.lookup": "use_all_dns_ips",
    "statistics.interval.ms": 1000,
    "receive.message.max.bytes": 100000000,
}
_PRODUCER: Mapping[str, object] = {
    "acks": "all",
    "retries": 5,
    "linger.ms": 10,
    "batch.size": 100000,
    "batch.num.messages": 1000,
    "queue.buffering.max.messages": 1000,
    "queue.buffering.max.kbytes": 10000,
    "compression.type": "gzip",
    "message.timeout.ms": 60000,
    "request.timeout.ms": 20000,
    "max.in.flight.requests.per.connection": 5,
    "enable.idempotence": True,
    "transaction.timeout.ms": 30000,
    "partitioner": "murmur2_random",
    "sticky.partitioning.linger.ms": 10,
    "delivery.report.only.error": False,
    "compression.level": 5,
}
_CONSUMER: Mapping[str, object] = {
    "auto.offset.reset": "latest",
    "enable.auto.commit": False,
    "auto.commit.interval.ms": 1000,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
    "check.crcs": True,
    "session.timeout.ms": 10000,
    "heartbeat.interval.ms": 1000,
    "max.poll.interval.ms": 60000,
    "fetch.min.bytes": 1,
    "fetch.max.bytes": 10000000,
    "fetch.wait.max.ms": 100,
    "max.partition.fetch.bytes": 1000000,
    "queued.min.messages": 1000,
    "queued.max.messages.kbytes": 10000,
    "fetch.error.backoff.ms": 100,
    "partition.assignment.strategy": "range,roundrobin",
    "group.instance.id": "one",
    "client.rack": "r1",
    "group.protocol": "classic",
}


def _as_text(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else str(value)


class ConfigurationTests:
    def test_backend_describes_itself(self, kit: Kit) -> None:
        backend = kit.backend
        assert isinstance(backend, Backend)
        assert backend.name
        assert backend.contract_version == CONTRACT_VERSION
        assert backend.capabilities <= frozenset(Capability)
        assert any(character.isdigit() for character in backend.client_version())

    @pytest.mark.parametrize("as_given", [_as_text, lambda value: value], ids=["text", "typed"])
    @pytest.mark.parametrize("consumer", [False, True], ids=["producer", "consumer"])
    def test_settings_of_catalogs_are_honoured_or_refused_by_name(
        self, kit: Kit, consumer: bool, as_given: Callable[[object], Any]
    ) -> None:
        for key, value in {**_COMMON, **(_CONSUMER if consumer else _PRODUCER)}.items():
            group = {"group.id": "g"} if consumer else {}
            config = {"bootstrap.servers": UNREACHABLE, **group, key: as_given(value)}
            try:
                kit.backend.check_config(config, consumer=consumer)
            except UnsupportedFeature as refused:
                assert key in str(refused), f"{key}: {refused}"

    def test_settings_of_the_other_kind_are_left_alone(self, kit: Kit) -> None:
        # One answer of the catalog serves producers and consumers.
        topic = kit.topic()
        both = {
            "linger.ms": 1,
            "acks": "all",
            "compression.type": "gzip",
            "message.timeout.ms": 30000,
            "group.id": kit.name("g"),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.min.bytes": 1,
            "max.poll.interval.ms": 60000,
        }
        producer = kit.producer(both)
        producer.sender(topic)(b"v")
        assert producer.flush(10) == 0
        consumer = kit.consumer(both)
        messages = kit.join(consumer, [topic])
        messages += kit.read(consumer, 1 - len(messages))
        assert [message.value() for message in messages] == [b"v"]

    def test_settings_together_open_clients(self, kit: Kit) -> None:
        accepted: dict[bool, dict[str, Any]] = {True: {}, False: {}}
        for consumer, settings in ((False, _PRODUCER), (True, _CONSUMER)):
            for key, value in {**_COMMON, **settings}.items():
                alone = {"bootstrap.servers": UNREACHABLE, key: value}
                if consumer:
                    alone["group.id"] = "g"
                try:
                    kit.backend.check_config(alone, consumer=consumer)  # type: ignore[arg-type]
                except UnsupportedFeature:
                    continue
                accepted[consumer][key] = _as_text(value)
        topic = kit.topic()
        producer = kit.producer(accepted[False])
        producer.sender(topic)(b"v")
        assert producer.flush(10) == 0
        reading = {**accepted[True], "auto.offset.reset": "earliest"}
        reading.pop("enable.partition.eof", None)
        reader = kit.consumer(reading)
        messages = kit.join(reader, [topic])
        messages += kit.read(reader, 1 - len(messages))
        assert [message.value() for message in messages] == [b"v"]

    @pytest.mark.parametrize("consumer", [False, True], ids=["producer", "consumer"])
    def test_unknown_setting_is_named(self, kit: Kit, consumer: bool) -> None:
        config = kit.config({"group.id": "g"} if consumer else {})
        config["no.such.setting"] = "1"
        with pytest.raises(ConfigurationError, match=r"no\.such\.setting"):
            kit.backend.check_config(config, consumer=consumer)
        with pytest.raises(ConfigurationError, match=r"no\.such\.setting"):
            if consumer:
                kit.backend.open_consumer(config, {})
            else:
                kit.backend.open_producer(config)

    @pytest.mark.parametrize(
        ("key", "value"),
        [("linger.ms", "soon"), ("acks", "most"), ("compression.type", "zip")],
    )
    def test_wrong_value_names_its_setting(self, kit: Kit, key: str, value: str) -> None:
        with pytest.raises((ConfigurationError, KafkaException)) as caught:
            kit.producer({key: value})
        assert key in str(caught.value)

    def test_wrong_value_of_a_consumer_names_its_setting(self, kit: Kit) -> None:
        with pytest.raises((ConfigurationError, KafkaException)) as caught:
            kit.consumer({"auto.offset.reset": "middle"})
        assert "auto.offset.reset" in str(caught.value)

    def test_group_id_is_needed(self, kit: Kit) -> None:
        config = kit.config()
        with pytest.raises(KafkaException) as caught:
            kit.backend.open_consumer(config, {})
        error = caught.value.args[0]
        assert isinstance(error, KafkaError)
        assert error.code() == KafkaError._INVALID_ARG
        assert "group.id" in str(error)

    def test_secrets_are_not_shown(self, kit: Kit) -> None:
        secret = "dont-show-this"
        with pytest.raises(ConfigurationError) as caught:
            kit.producer({"sasl.username": secret, "sasl.password": secret, "no.such.setting": "1"})
        shown = [str(caught.value), repr(caught.value)]
        producer = kit.stranded_producer({"ssl.key.password": secret, "client.id": "c"})
        shown += [repr(producer), str(producer)]
        assert not [text for text in shown if secret in text]

    def test_checking_opens_nothing(self, kit: Kit) -> None:
        config = {"bootstrap.servers": UNREACHABLE}
        took = []
        for _ in range(4):
            began = time.monotonic()
            kit.backend.check_config({**config, "group.id": "g"}, consumer=True)
            kit.backend.check_config(config, consumer=False)
            took.append(time.monotonic() - began)
        assert min(took) < 0.5, took
