"""The JSON Schema for editors says what reading says: both follow from one description."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from kafkaroute.cli import main
from kafkaroute.rules import check as rules_check
from kafkaroute.rules.loader import json_schema, parse_rules

DATA = Path(__file__).parents[1] / "data"
DOCS = Path(__file__).parents[3] / "docs" / "rules.md"
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CONTRACT = (DATA / "contract-rules.yaml").read_text()


def example():
    [found] = re.findall(r"```yaml\n(version:.*?)```", DOCS.read_text(), re.DOTALL)
    return found


def test_the_large_example_passes_check_as_it_is_printed(tmp_path, capsys):
    (tmp_path / "rules.yaml").write_text(example())
    assert main(["check", str(tmp_path / "rules.yaml")]) == 0
    assert ": sound: " in capsys.readouterr().out


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_command_prints_it(capsys):
    assert main(["check", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


@pytest.mark.parametrize("name", ["contract-rules.yaml", "open-rules.yaml"])
def test_sound_files_validate(name):
    VALIDATOR.validate(yaml.safe_load((DATA / name).read_text()))


def test_the_documented_example_validates_and_loads():
    text = example()
    VALIDATOR.validate(yaml.safe_load(text))
    assert [cluster.name for cluster in parse_rules(text).clusters] == ["east"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("clusters:", "clutsers:"),
        ("bar: c0t3", "bar: 'c0 t3'"),
        ("bar: c0t3", "bar: {tpoic: x}"),
        ("generation: 7", "generation: seven"),
        ("start_at: earliest", "start_at: noon"),
        ("{segment: 2, table", "{segment: 0, table"),
        ("{segment: 2, table", "{segment: 2, pattern: x, table"),
        ("{segment: 2, table", "{part: path, table"),
        ("acks: all", "acks: [all]"),
        ("type: number", "type: float"),
        ("password: pass2", "pasword: pass2"),
        ("password: pass2", "password: pass2, password_hash: scrypt$"),
        ("name: user2", "name: 'user:2'"),
        ("tags: {env: dev}", "tags: {env: no}"),
        ("connection: {bootstrap.servers:", "connection: {servers:"),
        ('transform: "deep', 'tranform: "deep'),
    ],
)
def test_what_the_loader_refuses_the_schema_refuses(old, new):
    text = CONTRACT.replace(old, new, 1)
    assert text != CONTRACT
    assert rules_check.check_rules(text, "r.yaml", {}).rules is None
    assert not VALIDATOR.is_valid(yaml.safe_load(text))
