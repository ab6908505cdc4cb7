"""What documents name can be imported, at the address that they name."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "backends").glob("*/README.md"),
        *(ROOT / "examples").rglob("*.py"),
        ROOT / "tests/integration/README.md",
    ]
)
#: Names of loggers, entry-point groups and files, which are no modules.
NO_MODULES = {
    "kafkaroute.backends",
    "kafkaroute.catalogs",
    "kafkaroute.secrets",
    "kafkaroute.confluent",
    "kafkaroute.moves",
    "kafkaroute.toml",
}
#: Documented once, at these addresses: applications and plug-ins of others still use them.
ONCE = [
    "kafkaroute.producer.Producer",
    "kafkaroute.producer.KafkaException",
    "kafkaroute.consumer.Consumer",
    "kafkaroute.consumer.KafkaException",
    "kafkaroute.catalog.http.HttpCatalog",
    "kafkaroute.catalog.file.FileCatalog",
    "kafkaroute.catalog.secret_stores.SecretStore",
    "kafkaroute.catalog.Catalog",
    "kafkaroute.catalog.Lookup",
    "kafkaroute.settings.Settings",
    "kafkaroute.channel.Channel",
    "kafkaroute.route.Route",
    "kafkaroute.policy.Policy",
    "kafkaroute.errors.BackendNotFound",
    "kafkaroute.errors.BackendBroken",
    "kafkaroute.backend.contract.Backend",
    "kafkaroute.backend.settings_keys.canonical_key",
    "kafkaroute.resolver.resolve",
    "kafkaroute.testing.conformance",
    "kafkaroute.testing.plugin",
    "kafkaroute.testing.embedded",
    "kafkaroute.verify",
    "kafkaroute.cli.main",
]


def found(name):
    """The module or attribute that `name` names."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            one = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            continue
        for attribute in parts[length:]:
            one = getattr(one, attribute)
        return one
    raise ModuleNotFoundError(name)


def mentioned():
    """Every dotted name of the core in the documents, and what they import from it."""
    names = set()
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        names |= {
            name.rstrip(".")
            for name in re.findall(r"(?<![\w./-])kafkaroute(?:\.[A-Za-z_]\w*)+", text)
        }
        for module, imported in re.findall(r"from (kafkaroute[\w.]*) import ([\w, ]+)", text):
            names |= {f"{module}.{one.strip()}" for one in imported.split(",") if one.strip()}
    return sorted(names - NO_MODULES)


@pytest.mark.parametrize("name", [*ONCE, *mentioned()])
def test_a_documented_name_is_there(name):
    assert found(name) is not None


def test_entry_points_lead_somewhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    targets = [*project["scripts"].values()]
    targets += [value for group in project["entry-points"].values() for value in group.values()]
    for target in targets:
        module, _, attribute = target.partition(":")
        assert getattr(importlib.import_module(module), attribute)


def test_what_is_not_there_is_found_out():
    with pytest.raises(AttributeError):
        found("kafkaroute.producer.Nothing")
    with pytest.raises(AttributeError):
        found("kafkaroute.nowhere.Nothing")
