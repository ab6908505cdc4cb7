"""The `file` catalog: rules evaluated in process."""

from __future__ import annotations

import builtins
import os
from pathlib import Path

import pytest

from kafkaroute.catalog.contract import Lookup
from kafkaroute.catalog.file import FileCatalog
from kafkaroute.channel import Channel
from kafkaroute.errors import (
    CatalogAnswerInvalid,
    CatalogUnauthorized,
    ChannelNotFound,
    ConfigurationError,
)
from kafkaroute.settings import Settings

DATA = Path(__file__).parents[1] / "data"
RULES = (DATA / "contract-rules.yaml").read_text()
OPEN_RULES = (DATA / "open-rules.yaml").read_text()
USER = ("user1", "pass1")
#: A caller whom the rules know but who has no Kafka credentials.
STRANGER = ("user2", "pass2")


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("CC_USER1", "kafka-user")
    monkeypatch.setenv("CC_PASS1", "kafka-pass")


@pytest.fixture
def rules_path(tmp_path):
    path = tmp_path / "the rules.yaml"
    path.write_text(RULES)
    return path


def catalog(path, **more):
    settings = {
        "service_gateway_uri": path.as_uri(),
        "basic_auth": USER,
        "config_profile": "durableWrite",
    } | more
    return FileCatalog(Settings.from_dict(settings))


def ask(found, channel="kafka://example.com/bar", etag=None):
    return found.lookup(Lookup(Channel.parse(channel), etag=etag))


def test_a_route(rules_path):
    route = ask(catalog(rules_path))
    assert route.topic == "c0t3"
    assert route.connection == {"bootstrap.servers": "b1.example.net:9092"}
    assert route.credentials["sasl.password"] == "kafka-pass"
    assert route.configuration["retries"] == 3
    assert route.cluster_id == "abcdefghijklmnopqrstuv"
    assert FileCatalog.local


def test_additional_params_choose_by_tags(rules_path):
    params = {"kafka": {"env": "dev"}, "config_profile": {"type": "producer", "env": "dev"}}
    route = ask(catalog(rules_path, additional_params=params))
    assert route.topic == "devbar"
    assert route.configuration == {"acks": 1, "retries": 5}


def test_unchanged_then_changed(rules_path):
    found = catalog(rules_path)
    first = ask(found)
    assert ask(found, etag=first.etag) is None
    rules_path.write_text(RULES.replace("c0t3", "c0t3-new"))
    os.utime(rules_path, ns=(1, 1))
    second = ask(found, etag=first.etag)
    assert second.topic == "c0t3-new"
    assert second != first


def test_a_broken_edit_keeps_the_last_good_route(rules_path, caplog):
    found = catalog(rules_path)
    first = ask(found)
    rules_path.write_text("clusters: nonsense")
    assert ask(found) == first
    assert "the last sound rules stay in force" in caplog.text


def test_relative_path(rules_path, monkeypatch):
    monkeypatch.chdir(rules_path.parent)
    settings = Settings.from_dict(
        {
            "service_gateway_uri": f"file:{rules_path.name}",
            "basic_auth": USER,
            "config_profile": "durableWrite",
        }
    )
    assert ask(FileCatalog(settings)).topic == "c0t3"


def test_cache_lives(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(OPEN_RULES + "cache: {max_age: 30, stale_if_error: 3600}\n")
    found = catalog(path, basic_auth=None, config_profile="default")
    route = ask(found, "kafka://any.net/orders")
    assert (route.max_age, route.stale_if_error) == (30.0, 3600.0)


@pytest.mark.parametrize("auth", [None, ("user1", "s3cr3t"), ("n0b0dy", "pass1")])
def test_wrong_caller(rules_path, auth):
    with pytest.raises(CatalogUnauthorized) as caught:
        ask(catalog(rules_path, basic_auth=auth))
    assert not any(word in str(caught.value) for word in ("user1", "s3cr3t", "n0b0dy", "pass1"))


@pytest.mark.parametrize("channel", ["kafka://example.com/nope", "kafka://no.net/bar"])
def test_no_place(rules_path, channel):
    found = catalog(rules_path, additional_params={"kafka": {"env": "prod"}})
    with pytest.raises(ChannelNotFound, match=channel):
        ask(found, channel)


def test_other_refusals_name_their_cause(rules_path):
    with pytest.raises(ChannelNotFound, match="Configuration profile not found: bogus"):
        ask(catalog(rules_path, config_profile="bogus"))
    with pytest.raises(ChannelNotFound, match="Credential not found"):
        ask(catalog(rules_path, basic_auth=STRANGER))
    with pytest.raises(CatalogAnswerInvalid, match="config_profile and channel"):
        ask(catalog(rules_path, config_profile=None))


def test_an_unset_secret_is_refused(rules_path, monkeypatch):
    monkeypatch.delenv("CC_PASS1")
    with pytest.raises(CatalogAnswerInvalid, match=r"sasl\.password"):
        ask(catalog(rules_path))


@pytest.mark.parametrize("uri", ["file://elsewhere/rules.yaml", "file:", "file://"])
def test_uris_that_name_no_file_here(uri):
    with pytest.raises(ConfigurationError, match="names"):
        FileCatalog(Settings.from_dict({"service_gateway_uri": uri}))


@pytest.mark.parametrize("package", ["yaml", "re2"])
def test_missing_packages_say_how_to_get_them(rules_path, monkeypatch, package):
    import sys

    for name in list(sys.modules):
        if name.startswith("kafkaroute.rules."):
            monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"pip install 'kafkaroute\[file\]'"):
        catalog(rules_path)


def test_rules_may_look_at_who_asks_what_for(rules_path):
    rules_path.write_text(
        """
clusters:
  - name: c
    connection: {bootstrap.servers: "c:1"}
    rules:
      - {match: {intent: produce}, transform: "{key}-in"}
      - {match: {client_id: canary}, transform: "{key}-canary"}
      - transform: "{key}"
profiles: [{name: durableWrite, settings: {}}]
"""
    )
    channel = Channel.parse("kafka://h/a")

    def topic(found, intent):
        return found.lookup(Lookup(channel, intent=intent)).topic

    plain, canary = catalog(rules_path), catalog(rules_path, client_id="canary")
    assert [topic(plain, intent) for intent in ("produce", "consume", "")] == ["a-in", "a", "a"]
    assert topic(canary, "consume") == "a-canary"
    assert plain.scope() != canary.scope()
    own = catalog(rules_path, additional_params={"client_id": "canary", "intent": "x"})
    assert topic(own, "produce") == "a-canary"
