"""The JSON Schema for editors says what the loader says."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from kafkaroute.cli import main
from kafkaroute.rules import check as rules_check
from kafkaroute.rules.loader import parse_rules
from kafkaroute.rules.yaml_nodes import Node

DATA = Path(__file__).parents[1] / "data"
DOCS = Path(__file__).parents[3] / "docs" / "rules.md"
SCHEMA = json.loads(files("kafkaroute.rules").joinpath("rules.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CONTRACT = (DATA / "contract-rules.yaml").read_text()

#: Leads the loader into every mapping whose keys it knows.
EVERYTHING = """
version: 1
cache: {max_age: 1, stale_if_error: 2}
authentication:
  bearer: [{issuer: i, audience: a, jwks: "https://h/jwks"}]
  certificates: {}
callers: [{name: a, password: b}]
credentials: [{caller: a, values: {}, schema_registry: {}}]
moves: [{channel: "kafka://h/a", cluster: c, topic: t}]
history: {previous_for: 60}
clusters:
  - name: c
    connection: {bootstrap.servers: "b:1"}
    schema_registry: {url: "https://r"}
    rules:
      - {match: {host: a}, lookup: {table: {a: {topic: t}}}}
      - {transform: {template: x}}
profiles: [{name: p, settings: {a: {value: 1, type: number}}}]
"""


def example():
    [found] = re.findall(r"```yaml\n(version:.*?)```", DOCS.read_text(), re.DOTALL)
    return found


def test_the_large_example_passes_check_as_it_is_printed(tmp_path, capsys):
    (tmp_path / "rules.yaml").write_text(example())
    assert main(["check", str(tmp_path / "rules.yaml")]) == 0
    assert ": sound: " in capsys.readouterr().out


def known_to_the_loader(monkeypatch, read):
    """Path → (keys, required keys) of every mapping that `read` looks into."""
    found = {}
    original = Node.fields

    def recording(self, *known, required=()):
        place = re.sub(r"\[\d+\]", "[]", self.path)
        place = re.sub(r"\.table\..*", ".table.*", place)
        place = re.sub(r"\.settings\..*", ".settings.*", place)
        keys, needed = found.get(place, (set(), set()))
        found[place] = (keys | set(known), needed | set(required))
        return original(self, *known, required=required)

    with monkeypatch.context() as patch:
        patch.setattr(Node, "fields", recording)
        read()
    return found


def in_the_schema():
    """The same, from the schema."""
    found = {}

    def walk(node, place):
        if "$ref" in node:
            return walk(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]], place)
        for branch in node.get("anyOf", ()):
            walk(branch, place)
        if "properties" in node:
            assert node["additionalProperties"] is False, place
            found[place] = (set(node["properties"]), set(node.get("required", ())))
            for key, child in node["properties"].items():
                walk(child, f"{place}.{key}" if place else key)
        elif isinstance(node.get("additionalProperties"), dict):
            walk(node["additionalProperties"], f"{place}.*")
        if "items" in node:
            walk(node["items"], f"{place}[]")
        return None

    walk(SCHEMA, "")
    return found


def test_schema_and_loader_know_the_same_keys(monkeypatch):
    loader = known_to_the_loader(monkeypatch, lambda: parse_rules(EVERYTHING))
    assert loader == in_the_schema()
    assert len(loader) == 17


def test_check_and_loader_know_the_same_keys(monkeypatch):
    """Else `check` would call a sound file broken."""
    found = {}
    original = rules_check._Findings.fields

    def recording(self, node, *known, required=()):
        place = re.sub(r"\.table\..*", ".table.*", re.sub(r"\[\d+\]", "[]", node.path))
        found[place] = (set(known), set(required))
        return original(self, node, *known, required=required)

    loader = known_to_the_loader(monkeypatch, lambda: parse_rules(EVERYTHING))
    monkeypatch.setattr(rules_check._Findings, "fields", recording)
    assert rules_check.check_rules(EVERYTHING, "r.yaml", {}).problems == []
    # A typed setting is read by the loader itself.
    assert found == {place: keys for place, keys in loader.items() if ".settings.*" not in place}


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
