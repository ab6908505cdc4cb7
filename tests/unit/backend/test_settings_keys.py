"""Settings as librdkafka has them: one name for all spellings, booleans, defaults."""

import pytest

from kafkaroute.backend.settings_keys import boolean_of, canonical_key, is_on, is_secret, number_of
from kafkaroute.route import Route


@pytest.mark.parametrize(
    "spelling",
    [
        "acks",
        "request.required.acks",
        "topic.acks",
        "ACKS",
        " acks ",
        "Topic.Request.Required.Acks",
    ],
)
def test_every_spelling_is_one_setting(spelling):
    assert canonical_key(spelling) == "acks"
    route = Route("kafka://example.com/x", "t", {"bootstrap.servers": "a:1"}, {}, {spelling: 0})
    assert route.client_config({"acks": "all"})["acks"] == "all"
    assert route.client_config({})["acks"] == 0
    assert set(route.client_config({"acks": "all"})) == {"bootstrap.servers", "acks"}
    assert route.client_config({spelling: "all"})["acks"] == "all"


def test_a_setting_whose_name_begins_as_the_prefix_keeps_it():
    for name in ("topic.metadata.refresh.interval.ms", "topic.blacklist"):
        assert canonical_key(name) == name


def test_two_names_of_a_compression_are_one():
    assert canonical_key("topic.compression.codec") == "compression.type"


@pytest.mark.parametrize("text", ["true", "TRUE", "t", "T", "1", True, 1])
def test_what_is_on(text):
    assert boolean_of(text) is True
    assert is_on({"enable.auto.commit": text}, "enable.auto.commit")


@pytest.mark.parametrize("text", ["false", "F", "0", False, 0])
def test_what_is_off(text):
    assert boolean_of(text) is False
    assert not is_on({"enable.auto.commit": text}, "enable.auto.commit")


def test_what_is_neither_counts_as_the_default():
    assert boolean_of("yes") is None
    assert is_on({"enable.auto.commit": "yes"}, "enable.auto.commit")
    assert not is_on({}, "delivery.report.only.error")
    assert number_of({}, "session.timeout.ms") == 45_000
    assert number_of({"session.timeout.ms": "6000"}, "session.timeout.ms") == 6000


@pytest.mark.parametrize(
    "key",
    [
        "sasl.username",
        " sasl.username",
        "topic.sasl.username",
        "topic.SASL.password",
        "ssl.key.pem ",
        " ssl_key",
    ],
)
def test_a_secret_is_one_in_every_spelling(key):
    assert is_secret(key)


def test_an_address_is_no_secret():
    assert not is_secret(" sasl.oauthbearer.token.endpoint.url")
    assert not is_secret("bootstrap.servers")
