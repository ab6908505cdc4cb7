"""Which room of the core may know which, and who may write what.

Read from the source: imports for type checkers count, too.
"""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "kafkaroute"

#: From the ground up: a room imports rooms of floors below its own, or of its own floor what is
#: named in BESIDE. A file that is no room is one of its own.
FLOORS = (
    ("_version", "arguments", "compiled", "error_codes", "errors", "extras", "forking", "loose"),
    ("regular_files",),
    ("channel", "messages", "oauth", "plugins"),
    ("backend", "events", "groups"),
    ("route",),
    ("peer_proof",),
    ("places", "policy"),
    ("rules.secrets", "settings"),
    ("rules",),
    ("catalog",),
    ("catalog.cache",),
    ("catalog.http",),
    ("resolver", "router", "server"),
    ("consumer", "producer"),
    ("testing", "verify"),
    ("cli", ""),
)
#: The wings that only a change of route needs, and the one module a side that opens the door.
WINGS = {
    "producer.moving": {"producer.dispatch"},
    "consumer.moving": {"consumer.moving_calls"},
}
#: What the service may use of the client.
OF_THE_CLIENT = (
    "backend.settings_check",
    "backend.settings_keys",
    "channel",
    "errors",
    "extras",
    "regular_files",
    "rules",
)
#: Attributes that others write, each with its reason; at most five.
WRITTEN_FROM_OUTSIDE = {
    "url": "of a request of the library requests, which has no other way to leave it as it is",
    "idle_until": "written for each message, where a call would cost more than the rest",
    "channel": "of a TopicPartition, which says what it is about, as does its place",
    "error": "of a TopicPartition, as confluent-kafka's",
    "offset": "of a TopicPartition, which is the application's to change, as confluent-kafka's",
}
#: Rebuilt as a whole (docs/moves.md): its stages have many writers still.
BEING_REBUILT = "consumer.moving"


def sources(core):
    """Module name without the package's → its syntax tree."""
    found = {}
    for path in sorted(core.rglob("*.py")):
        parts = path.relative_to(core).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def arrows(core):
    """(importer, imported) for every import of one module of `core` by another."""
    trees = sources(core)
    packages = {name.rpartition(".")[0] for name in trees} | {""}
    for name, tree in trees.items():
        is_package = name in packages
        here = [core.name, *filter(None, name.split("."))]
        if not is_package or (name and (core / Path(*name.split("."))).with_suffix(".py").exists()):
            here = here[:-1]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = here[: len(here) - node.level + 1] if node.level else []
                module = ".".join([*base, *filter(None, [node.module])])
                named = [f"{module}.{alias.name}" for alias in node.names]
                # A package that a module is taken from counts only where it gives a name of its own.
                inner = [one.removeprefix(f"{core.name}.") in trees for one in named]
                wanted = named if all(inner) else [*named, module]
            else:
                continue
            for one in wanted:
                inside = one.removeprefix(f"{core.name}.")
                if inside != one and inside in trees and inside != name:
                    yield name, inside


def is_in(name, room):
    return name == room or name.startswith(f"{room}.")


def room_of(name):
    """The innermost room that is on a floor."""
    rooms = [room for floor in FLOORS for room in floor if room and is_in(name, room)]
    return max(rooms, key=len, default="")


def floor_of(room):
    [floor] = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    return floor


ARROWS = sorted(set(arrows(CORE)))


def upward(found):
    """Arrows between rooms that do not run down."""
    between = ((room_of(a), room_of(b), a, b) for a, b in found)
    return [
        (a, b)
        for upper, lower, a, b in between
        if upper != lower and floor_of(upper) <= floor_of(lower)
    ]


def circles(found):
    """Modules that import each other, directly or not."""
    known = defaultdict(set)
    for a, b in found:
        known[a].add(b)
    reached = {}

    def below(name, seen):
        for one in known[name]:
            if one not in seen:
                seen.add(one)
                below(one, seen)
        return seen

    for name in list(known):
        reached[name] = below(name, set())
    return sorted(name for name, seen in reached.items() if name in seen)


def through_the_wall(found):
    """Arrows into a wing that do not come through its door."""
    return [
        (a, b)
        for wing, doors in WINGS.items()
        for a, b in found
        if is_in(b, wing) and not is_in(a, wing) and a not in doors
    ]


def test_every_module_has_a_floor():
    rooms = {room for floor in FLOORS for room in floor}
    homeless = [
        name for name in sources(CORE) if name and not any(is_in(name, r) for r in rooms if r)
    ]
    assert homeless == []


def test_no_import_runs_up():
    assert upward(ARROWS) == []


def test_no_circles():
    assert circles(ARROWS) == []


def test_cache_and_wire_know_no_rules():
    rooms = ("catalog.cache", "catalog.http")
    crossing = [
        (a, b)
        for a, b in ARROWS
        if any(is_in(a, room) and is_in(b, "rules") for room in rooms)
        or any(is_in(b, room) and is_in(a, "rules") for room in rooms)
    ]
    assert crossing == []


def test_the_service_needs_only_rules_of_the_client():
    foreign = [
        (a, b)
        for a, b in ARROWS
        if is_in(a, "server") and not any(is_in(b, room) for room in ("server", *OF_THE_CLIENT))
    ]
    assert foreign == []


def test_wings_are_entered_by_one_door():
    assert through_the_wall(ARROWS) == []


def writes(core):
    """(module, attribute, line) where a class of another module is written to. Not in the test
    tools, whose stubs are parts of tests."""
    trees = {name: tree for name, tree in sources(core).items() if not is_in(name, "testing")}
    owners, found = owners_in(trees), []
    for name, tree in trees.items():
        classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        for node in ast.walk(tree):
            if is_write(node) and not is_own(node) and owners[node.attr] - {name}:
                found.append((name, node.attr, node.lineno))
            elif is_setattr(node) and node.args[0].id not in classes:
                found.append((name, "setattr", node.lineno))
    own = {(name, attr) for attr, names in owners.items() for name in names}
    return [one for one in found if one[:2] not in own]


def owners_in(trees):
    """Attribute → the modules with a class that has it."""
    owners = defaultdict(set)
    for name, tree in trees.items():
        for one in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            for inner in ast.walk(one):
                if is_write(inner) and is_own(inner):
                    owners[inner.attr].add(name)
            for field in one.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    owners[field.target.id].add(name)
    return owners


def is_write(node):
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)


def is_setattr(node):
    called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setattr"
    return called and isinstance(node.args[0], ast.Name)


def is_own(node):
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


def test_nobody_writes_to_what_is_not_his():
    found = [one for one in writes(CORE) if not is_in(one[0], BEING_REBUILT)]
    assert [one for one in found if one[1] not in WRITTEN_FROM_OUTSIDE] == []
    assert {attribute for _, attribute, _ in found} == set(WRITTEN_FROM_OUTSIDE), "none is stale"
    assert len(WRITTEN_FROM_OUTSIDE) <= 5


@pytest.fixture
def house(tmp_path):
    """A house in which every rule is broken."""
    core = tmp_path / "kafkaroute"
    files = {
        "__init__.py": "",
        "errors.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .route import Route\n",
        "route.py": "class Route:\n    def __init__(self):\n        self.topic = ''\n",
        "producer/__init__.py": "",
        "producer/table.py": "from .moving.mover import Mover\nfrom ..route import Route\n\n"
        "def spoil(route):\n    route.topic = 'x'\n    setattr(route, 'topic', 'y')\n",
        "producer/moving/__init__.py": "",
        "producer/moving/mover.py": "from .. import table\nclass Mover: ...\n",
    }
    for name, text in files.items():
        (core / name).parent.mkdir(parents=True, exist_ok=True)
        (core / name).write_text(text)
    return core


def test_the_rules_can_be_broken(house):
    found = sorted(set(arrows(house)))
    assert upward(found) == [("errors", "route")]
    assert circles(found) == ["producer.moving.mover", "producer.table"]
    assert through_the_wall(found) == [("producer.table", "producer.moving.mover")]
    assert writes(house) == [("producer.table", "topic", 5), ("producer.table", "setattr", 6)]
