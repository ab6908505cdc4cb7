"""The same place, reached in another way."""

from __future__ import annotations

from ..stage import TTL, WINDOW, Stage
from .registry import PRODUCER_PAUSE_AFTER_REFUSAL, Script, bounds, scenario


@scenario(
    "6",
    "SCRAM password rotated, the old one refused",
    alone=True,
    bounds=lambda _: bounds(producer_pause=PRODUCER_PAUSE_AFTER_REFUSAL),
)
def rotation(stage: Stage) -> Script:
    topic = stage.topic("A")
    channel = stage.channel("A", topic, security="scram-sha-512")
    yield
    stage.lead_in()
    stage.clusters["A"].alter_scram_password("scram-sha-512", "rotated-" + stage.channels[0][-8:])
    stage.run.mark("password changed on the broker")
    stage.run.sleep(0.1)
    stage.move(channel, "A", topic, "catalog: new password", security="scram-sha-512")
    stage.run.sleep(TTL + 5 + stage.size.tail)


@scenario(
    "7",
    "other SASL mechanism",
    bounds=lambda _: bounds(producer_pause=PRODUCER_PAUSE_AFTER_REFUSAL),
)
def mechanism(stage: Stage) -> Script:
    topic = stage.topic("A")
    channel = stage.channel("A", topic, security="scram-sha-256")
    yield
    stage.lead_in()
    stage.move(channel, "A", topic, "catalog: PLAIN", security="plain")
    stage.run.sleep(TTL + WINDOW + stage.size.tail)


@scenario("8", "other profile: acks, linger")
def profile(stage: Stage) -> Script:
    topic = stage.topic("A")
    channel = stage.channel("A", topic)
    yield
    stage.lead_in()
    stage.profiles["out"] |= {"acks": "all", "linger.ms": 20}
    stage.profiles["in"] |= {"fetch.min.bytes": 10}
    stage.move(channel, "A", topic, "catalog: other profile")
    stage.run.sleep(TTL + WINDOW + stage.size.tail)


@scenario("15b", "the same cluster under another bootstrap list")
def other_bootstrap_list(stage: Stage) -> Script:
    topic = stage.topic("A")
    channel = stage.channel("A", topic)
    servers = stage.clusters["A"].bootstrap_servers
    yield
    stage.lead_in()
    other = f"{servers},localhost:{servers.rpartition(':')[2]}"
    stage.move(channel, "A", topic, "catalog: other list", bootstrap=other)
    stage.run.sleep(TTL + WINDOW + 2 + stage.size.tail)
