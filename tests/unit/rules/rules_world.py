"""Rules from the data folder, and questions to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaroute.rules.answer import answer
from kafkaroute.rules.loader import parse_rules

DATA = Path(__file__).parents[1] / "data"
RULES = (DATA / "contract-rules.yaml").read_text()
OPEN_RULES = (DATA / "open-rules.yaml").read_text()

PROFILE = ("config_profile", "durableWrite")
REQUIRED = "config_profile and channel query parameters are required"


@pytest.fixture(scope="module")
def rules():
    return parse_rules(RULES)


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("CC_USER1", "kafka-user")
    monkeypatch.setenv("CC_PASS1", "kafka-pass")


def ask(rules, *channels, extra=(), profile=PROFILE, caller="user1"):
    if len(channels) == 1:
        pairs = [("channel", channels[0])]
    else:
        pairs = [(f"channel[{n}]", channel) for n, channel in enumerate(channels)]
    return answer(rules, caller, [profile, *pairs, *extra])
