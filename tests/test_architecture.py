"""What the parts of the workspace may know of each other."""

import ast
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "kafkaroute"
BACKENDS = {
    "kafkaroute_confluent": ROOT / "backends/confluent/src/kafkaroute_confluent",
    "kafkaroute_kafka_python": ROOT / "backends/kafka_python/src/kafkaroute_kafka_python",
}
THIRD_PARTY = ROOT / "tests/third_party_backend/src/kafkaroute_memory"
KAFKA_CLIENTS = {"confluent_kafka", "kafka", "aiokafka"}
#: Administers real test clusters; imports confluent-kafka inside its functions only.
MAY_USE_A_CLIENT = {CORE / "testing/admin.py"}
#: Public modules of the core, as docs/backends.md lists them.
PUBLIC = {
    "kafkaroute",
    "kafkaroute.errors",
    "kafkaroute.messages",
    "kafkaroute.error_codes",
    "kafkaroute.backend.contract",
    "kafkaroute.backend.settings_check",
    "kafkaroute.backend.settings_keys",
    "kafkaroute.testing",
}
PUBLIC_PARENTS = {"kafkaroute.backend"}
#: Not needed by an application that only imports the package.
HEAVY = KAFKA_CLIENTS | {
    *("requests", "yaml", "re2", "stevedore", "urllib3", "pytest", "uvicorn"),
    *("jwt", "jinja2", "cryptography", "hvac"),
}
MAX_LINES = 400


def python_files(*folders):
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    assert files, folders
    return files


ALL_SOURCES = python_files(CORE, *BACKENDS.values())
TESTS = [ROOT / "tests", *(ROOT / "backends").glob("*/tests")]


def name_of(path):
    return str(path.relative_to(ROOT))


def violations(files, check):
    """File → what `check` finds wrong with it."""
    found = {name_of(path): check(path) for path in files}
    return {name: wrong for name, wrong in found.items() if wrong}


def imports(path, package_root):
    """(line, absolute module name, whether at the top level) of each import in `path`."""
    tree = ast.parse(path.read_text(), str(path))
    package = [package_root.name, *path.relative_to(package_root).parts[:-1]]
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from package import module` names a module, too.
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield node.lineno, name, id(node) in top


def is_below(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def package_of(path):
    return next(root for root in (CORE, *BACKENDS.values(), THIRD_PARTY) if root in path.parents)


def test_core_imports_no_kafka_client_and_no_backend():
    def check(path):
        return [
            (line, name)
            for line, name, at_top in imports(path, CORE)
            if is_below(name, KAFKA_CLIENTS | set(BACKENDS))
            and (at_top or path not in MAY_USE_A_CLIENT)
        ]

    assert violations(python_files(CORE), check) == {}


def test_backends_import_only_public_names_of_the_core():
    def is_private(name):
        if not is_below(name, {"kafkaroute"}) or name in PUBLIC | PUBLIC_PARENTS:
            return False
        module, _, attribute = name.rpartition(".")
        return module not in PUBLIC or attribute not in import_module(module).__all__

    def check(path):
        found = imports(path, package_of(path))
        return [(line, name) for line, name, _ in found if is_private(name)]

    assert violations(python_files(*BACKENDS.values(), THIRD_PARTY), check) == {}
    assert is_private("kafkaroute.router")
    assert is_private("kafkaroute.router.Router")
    assert is_private("kafkaroute.messages.kafka_errors_table")
    assert not is_private("kafkaroute.messages.Message")


def test_backends_do_not_know_each_other():
    def check(path):
        own = package_of(path)
        others = set(BACKENDS) - {own.name}
        return [(line, name) for line, name, _ in imports(path, own) if is_below(name, others)]

    assert violations(python_files(*BACKENDS.values()), check) == {}


def test_no_source_imports_tests():
    forbidden = {"tests", "conftest", "benchmarks", "examples"}

    def check(path):
        found = imports(path, package_of(path))
        return [(line, name) for line, name, _ in found if is_below(name, forbidden)]

    assert violations(ALL_SOURCES, check) == {}


def test_only_the_test_tools_need_pytest():
    def check(path):
        test_tools = {"pytest", "kafkaroute.testing"}
        found = imports(path, CORE)
        return [(line, name) for line, name, _ in found if is_below(name, test_tools)]

    core = [path for path in python_files(CORE) if CORE / "testing" not in path.parents]
    assert violations(core, check) == {}


@pytest.mark.parametrize("files", [ALL_SOURCES, python_files(*TESTS)], ids=["sources", "tests"])
def test_files_are_short(files):
    def check(path):
        lines = len(path.read_text().splitlines())
        return lines if lines > MAX_LINES else None

    assert violations(files, check) == {}


def test_all_versions_agree():
    spaces = {}
    exec((CORE / "_version.py").read_text(), spaces)
    version = spaces["__version__"]
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        requirement
        for extra in ("confluent", "kafka-python")
        for requirement in core["optional-dependencies"][extra]
    }
    found = {}
    for folder in ("confluent", "kafka_python"):
        project = tomllib.loads((ROOT / "backends" / folder / "pyproject.toml").read_text())[
            "project"
        ]
        found[project["name"]] = project["version"]
        assert f"kafkaroute=={version}" in project["dependencies"]
        assert f"{project['name']}=={version}" in pinned
        assert project["requires-python"] == core["requires-python"]
    assert found == {"kafkaroute-confluent": version, "kafkaroute-kafka-python": version}


def modules_after(statement):
    """Names of the modules loaded in a fresh interpreter after `statement`."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=110
    )
    return set(done.stdout.split())


def test_a_bare_import_stays_light():
    assert modules_after("import kafkaroute") & HEAVY == set()


@pytest.mark.parametrize(
    "statement",
    [
        "from kafkaroute import Producer, Consumer, Settings, KafkaException, resolve",
        "from kafkaroute.backend import contract, registry",
        "from kafkaroute.cli import main",
        "from kafkaroute.testing import cluster, embedded",
    ],
)
def test_the_core_loads_no_client_until_a_route_needs_one(statement):
    assert modules_after(statement) & (KAFKA_CLIENTS | set(BACKENDS)) == set()


def test_public_names_exist():
    import kafkaroute

    missing = [name for name in kafkaroute.__all__ if not hasattr(kafkaroute, name)]
    assert missing == []


def test_the_scan_sees_what_it_must(tmp_path):
    """The tests above can fail."""
    package = tmp_path / "pack"
    (package / "sub").mkdir(parents=True)
    source = package / "sub" / "module.py"
    source.write_text(
        "import kafka.errors\n"
        "from confluent_kafka import Producer\n"
        "from .. import other\n"
        "from .near import thing\n"
        "def late():\n"
        "    from tests import helper\n"
    )
    found = {(name, at_top) for _, name, at_top in imports(source, package)}
    assert {
        ("kafka.errors", True),
        ("confluent_kafka", True),
        ("pack.other", True),
        ("pack.sub.near", True),
        ("tests.helper", False),
    } <= found
    assert is_below("kafka.errors", KAFKA_CLIENTS)
    assert not is_below("kafkaroute.errors", KAFKA_CLIENTS)
