"""The examples of docs/service-security.md are sound."""

from __future__ import annotations

import re
from pathlib import Path

from kafkaroute.rules.check import check_rules
from kafkaroute.rules.passwords import hash_password
from kafkaroute.rules.secrets.refs import reference_problem
from kafkaroute.server import http, secret_keeper
from kafkaroute.server.auth import authentication, jwks
from kafkaroute.server.connection import HEAD_TIMEOUT

TEXT = (Path(__file__).parents[3] / "docs" / "service-security.md").read_text()
REST = "\nclusters: []\nprofiles: []\n"


def test_the_rules_of_the_example():
    [example] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    example, replaced = re.subn(r"scrypt\$[^\"]*", lambda _: hash_password("x"), example)
    assert replaced == 2
    rules, problems, _ = check_rules(example + REST, "docs", {})
    assert problems == []
    assert rules.authentication.bearer[0].claim == "azp"
    assert rules.callers["ops"].is_admin


def test_the_references():
    references = re.findall(r"`(\{vault://[^`…]+\})`", TEXT)
    assert len(references) == 3
    assert [reference_problem(one) for one in references] == [None] * 3


def test_the_numbers():
    assert f"{http.MAX_HEADER_BYTES // 1024} KiB | 431" in TEXT
    assert f"| query | {http.MAX_QUERY_BYTES // 1024} KiB" in TEXT
    assert f"| body | {http.MAX_BODY_BYTES // 1024} KiB, {http.BODY_TIMEOUT:.0f} s" in TEXT
    assert f"head | {HEAD_TIMEOUT:.0f} s" in TEXT
    assert f"refused again for {authentication._REFUSED_FOR:.0f} s" in TEXT
    assert f"more than {authentication._MAX_WAITING} wait" in TEXT
    assert f"or {authentication._MAX_WAITING_IN_ALL} in all" in TEXT
    assert f"at most {authentication._MAX_PASSWORD:,} characters" in TEXT
    assert authentication._REMEMBERED_FOR == 60
    assert f"every {jwks._MAX_AGE / 60:.0f} minutes" in TEXT
    assert f"at most every {jwks._MIN_INTERVAL:.0f} s" in TEXT
    assert f"looks every {secret_keeper._EVERY:.0f} s" in TEXT
