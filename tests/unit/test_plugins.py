"""Plug-ins: listed without importing, loaded once, and clear errors for whatever is wrong.

Each test installs distributions of its own: a module and a .dist-info folder on sys.path.
"""

import itertools
import json
import subprocess
import sys
import textwrap

import pytest

from kafkaroute import (
    BackendBroken,
    BackendNotFound,
    ConfigurationError,
    PluginBroken,
    PluginNotFound,
)
from kafkaroute.backend.contract import CONTRACT_VERSION
from kafkaroute.backend.registry import choose_backend, get_backend
from kafkaroute.catalog.loader import open_catalog
from kafkaroute.plugins import BACKENDS, CATALOGS, installed, load_plugin
from kafkaroute.settings import Settings

_numbers = itertools.count(1)

GOOD_BACKEND = """
    from kafkaroute.backend.contract import Backend

    class {cls}(Backend):
        name = "fake"
        {extra}
        def open_producer(self, config, *, on_failure=None, only_failures=False): ...
        def open_consumer(self, config, origins): ...
        def check_config(self, config, *, consumer): ...
        def client_version(self): return "fake 1"
"""


class Site:
    """A folder on sys.path into which distributions are put by hand."""

    def __init__(self, folder):
        self.folder = folder

    def install(self, dist, module_text, *, name, group=BACKENDS, version="1.2.3", target="Plugin"):
        """A distribution with one module and one entry point; the module's name."""
        module = f"kr_fake_plugin_{next(_numbers)}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(module_text))
        self.declare(dist, {name: f"{module}:{target}"}, group=group, version=version)
        return module

    def declare(self, dist, entries, *, group=BACKENDS, version="1.2.3"):
        info = self.folder / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return Site(tmp_path)


@pytest.fixture
def name():
    return f"fake-{next(_numbers)}"


def good(cls="Plugin", extra=""):
    return textwrap.dedent(GOOD_BACKEND).format(cls=cls, extra=extra)


def test_listing_imports_nothing(site, name):
    module = site.install("acme-backend", "raise RuntimeError('imported')", name=name)
    [plugin] = [plugin for plugin in installed(BACKENDS) if plugin.name == name]
    assert plugin.value == f"{module}:Plugin"
    assert (plugin.distribution, plugin.version) == ("acme-backend", "1.2.3")
    assert module not in sys.modules


def test_both_built_in_backends_are_listed():
    assert {"confluent-kafka", "kafka-python"} <= {plugin.name for plugin in installed(BACKENDS)}
    assert {"http", "https", "file"} <= {plugin.name for plugin in installed(CATALOGS)}


def test_a_third_partys_backend_is_loaded_once(site, name):
    site.install("acme-backend", good(), name=name)
    backend = get_backend(name)
    assert backend.client_version() == "fake 1"
    assert get_backend(name) is backend


def test_installed_while_the_process_runs(site, name):
    """stevedore remembers what it has seen; a plug-in that came later is found all the same."""
    site.install("acme-early", good(), name=f"{name}-early")
    get_backend(f"{name}-early")
    site.install("acme-late", good(), name=f"{name}-late")
    assert get_backend(f"{name}-late").client_version() == "fake 1"


def test_missing_lists_what_is_there(name):
    with pytest.raises(BackendNotFound) as caught:
        get_backend(name)
    text = str(caught.value)
    assert repr(name) in text
    assert "confluent-kafka, " in text
    assert "kafka-python" in text
    assert "pip install" not in text
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize(
    ("backend", "extra"), [("confluent-kafka", "confluent"), ("kafka-python", "kafka-python")]
)
def test_missing_built_in_tells_how_to_install_it(monkeypatch, backend, extra):
    from kafkaroute import plugins

    monkeypatch.setattr(plugins, "entry_points", lambda **wanted: [])
    with pytest.raises(BackendNotFound) as caught:
        plugins._the_one(BACKENDS, backend)
    assert f"pip install 'kafkaroute[{extra}]'" in str(caught.value)
    assert "installed: none" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import kr_no_such_client_library", "No module named 'kr_no_such_client_library'"),
        ("raise RuntimeError('out of luck')", "RuntimeError: out of luck"),
        ("assert False, 'asserted'", "AssertionError: asserted"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:\n    pass", "SyntaxError"),
        ("Other = 1", "Plugin"),
    ],
    ids=["import", "runtime", "assertion", "exit", "syntax", "attribute"],
)
def test_broken_names_the_distribution_and_the_cause(site, name, text, cause):
    module = site.install("acme-broken", text, name=name, version="9.8")
    with pytest.raises(BackendBroken) as caught:
        get_backend(name)
    told = str(caught.value)
    assert "acme-broken 9.8" in told
    assert f"{module}:Plugin" in told
    assert cause in told
    assert caught.value.__cause__ is not None


def test_a_broken_neighbour_harms_nobody(site, name):
    site.install("acme-broken", "raise RuntimeError", name=f"{name}-broken")
    site.install("acme-good", good(), name=f"{name}-good")
    assert get_backend(f"{name}-good").client_version() == "fake 1"


def test_a_failure_is_not_remembered(site, name):
    module = site.install("acme-broken", "raise RuntimeError('not yet')", name=name)
    with pytest.raises(BackendBroken):
        get_backend(name)
    (site.folder / f"{module}.py").write_text(good() + "\n# repaired, of another length")
    assert get_backend(name).client_version() == "fake 1"


def test_duplicates_are_refused_by_both_names(site, name):
    site.install("acme-one", good(), name=name, version="1.0")
    site.install("acme-two", good(), name=name, version="2.0")
    with pytest.raises(BackendBroken, match="more than once") as caught:
        get_backend(name)
    assert "acme-one 1.0" in str(caught.value)
    assert "acme-two 2.0" in str(caught.value)


def test_an_unused_duplicate_harms_nobody(site, name):
    site.install("acme-one", good(), name=f"{name}-x")
    site.install("acme-two", good(), name=f"{name}-x")
    site.install("acme-three", good(), name=name)
    assert get_backend(name).client_version() == "fake 1"


@pytest.mark.parametrize(("delta", "age"), [(-1, "older"), (1, "newer")])
def test_another_contract(site, name, delta, age):
    version = CONTRACT_VERSION + delta
    site.install("acme-old", good(extra=f"contract_version = {version}"), name=name)
    with pytest.raises(BackendBroken, match=f"contract {version}, {age}") as caught:
        get_backend(name)
    assert "acme-old 1.2.3" in str(caught.value)
    assert "upgrade" in str(caught.value)


def test_not_a_backend(site, name):
    site.install("acme-odd", "class Plugin: pass", name=name)
    with pytest.raises(BackendBroken, match=r"acme-odd 1\.2\.3 is no .*Backend"):
        get_backend(name)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (good(extra="def __init__(self): raise OSError('no library')"), "OSError: no library"),
        (
            "from kafkaroute.backend.contract import Backend\nclass Plugin(Backend): pass",
            "abstract",
        ),
        ("Plugin = 3", "TypeError"),
    ],
    ids=["raises", "abstract", "not callable"],
)
def test_cannot_be_set_up(site, name, text, cause):
    site.install("acme-stuck", text, name=name)
    with pytest.raises(BackendBroken, match=cause) as caught:
        get_backend(name)
    assert "acme-stuck 1.2.3" in str(caught.value)


def test_the_configured_name_wins():
    assert choose_backend("anything") == "anything"


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["kafka-python"], "kafka-python"),
        (["acme"], "acme"),
        (["acme", "confluent-kafka", "kafka-python"], "confluent-kafka"),
    ],
)
def test_choice_among_what_is_installed(monkeypatch, names, chosen):
    from kafkaroute.backend import registry
    from kafkaroute.plugins import Plugin

    monkeypatch.setattr(
        registry, "installed", lambda group: [Plugin(n, "m:a", "d", "1") for n in names]
    )
    assert choose_backend(None) == chosen


@pytest.mark.parametrize(
    ("names", "hint"), [([], r"kafkaroute\[confluent\]"), (["acme", "kafka-python"], "acme, kafka")]
)
def test_no_choice(monkeypatch, names, hint):
    from kafkaroute.backend import registry
    from kafkaroute.plugins import Plugin

    monkeypatch.setattr(
        registry, "installed", lambda group: [Plugin(n, "m:a", "d", "1") for n in names]
    )
    with pytest.raises(ConfigurationError, match=hint):
        choose_backend(None)


# Catalogs are plug-ins, too.


def test_a_third_partys_catalog(site, name):
    text = """
        from kafkaroute.catalog.contract import Catalog
        from kafkaroute.route import Route

        class Plugin(Catalog):
            def __init__(self, settings): self.settings = settings
            def lookup(self, question):
                return Route(question.channel.uri, "t", {"bootstrap.servers": "b:1"})
    """
    scheme = name.replace("-", "")
    site.install("acme-catalog", text, name=scheme, group=CATALOGS)
    settings = Settings.from_dict({"service_gateway_uri": f"{scheme}://anything"})
    catalog = open_catalog(settings)
    assert catalog.settings is settings
    catalog.close()


def test_unknown_catalog_scheme():
    settings = Settings.from_dict({"service_gateway_uri": "gopher://catalog"})
    with pytest.raises(PluginNotFound, match=r"no catalog scheme 'gopher'.*http") as caught:
        open_catalog(settings)
    assert not isinstance(caught.value, BackendNotFound)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8080/kafka", "localhost:8080", "catalog.example.com:1"]
)
def test_an_address_without_a_scheme_is_told_what_to_write(address):
    settings = Settings.from_dict({"service_gateway_uri": address})
    with pytest.raises(ConfigurationError, match=f"write http://{address}"):
        open_catalog(settings)


def test_a_file_whose_name_begins_with_a_digit_has_a_scheme():
    with pytest.raises(ConfigurationError, match="no such file|cannot read|No such file"):
        open_catalog(Settings.from_dict({"service_gateway_uri": "file:2026-rules.yaml"}))


def test_not_a_catalog(site, name):
    scheme = name.replace("-", "")
    site.install("acme-odd", "class Plugin: pass", name=scheme, group=CATALOGS)
    settings = Settings.from_dict({"service_gateway_uri": f"{scheme}://anything"})
    with pytest.raises(PluginBroken, match=f"{scheme}.*no subclass"):
        open_catalog(settings)


# What an import costs: nothing of what is not used.


def imported_by(code):
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


HEAVY = {"confluent_kafka", "kafka", "requests", "urllib3", "stevedore", "yaml", "uvicorn", "rich"}


def test_a_bare_import_loads_no_client_and_no_plugin_machinery():
    assert not HEAVY & imported_by("import kafkaroute")
    assert not HEAVY & imported_by(
        "from kafkaroute import Producer, Consumer, Settings, KafkaError"
    )


def test_listing_loads_no_client():
    seen = imported_by(
        "from kafkaroute.plugins import installed, BACKENDS\nassert installed(BACKENDS)"
    )
    assert not HEAVY & seen


@pytest.mark.parametrize(
    ("backend", "module", "other"),
    [("confluent-kafka", "confluent_kafka", "kafka"), ("kafka-python", "kafka", "confluent_kafka")],
)
def test_one_backend_does_not_import_the_other(backend, module, other):
    seen = imported_by(
        f"from kafkaroute.backend.registry import get_backend\n"
        f"get_backend({backend!r}).open_producer({{'bootstrap.servers': '127.0.0.1:1'}}).close(0)"
    )
    assert module in seen
    assert other not in seen


def test_load_plugin_answers_the_same_object(site, name):
    site.install("acme-backend", good(), name=name)
    assert load_plugin(BACKENDS, name) is load_plugin(BACKENDS, name)
