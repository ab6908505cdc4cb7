"""Values that YAML can write and nobody can use: told with their place, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kafkaroute.errors import ConfigurationError
from kafkaroute.rules.answer import answer
from kafkaroute.rules.check import check_rules
from kafkaroute.rules.loader import parse_rules

OPEN = (Path(__file__).parents[1] / "data" / "open-rules.yaml").read_text()
THOUSANDS_OF_DIGITS = "9" * 5000

#: Where a value stands in OPEN, with something before and after it.
PLACES = {
    "setting": ("{linger.ms: 5}", "{{linger.ms: {}}}"),
    "typed": ("{linger.ms: 5}", "{{linger.ms: {{value: {}, type: number}}}}"),
    "key": ("{linger.ms: 5}", "{{{}: 5}}"),
    "topic": ("orders-v1", "{}"),
    "generation": ("orders-v1", "{{topic: t, generation: {}}}"),
    "start_at": ("orders-v1", "{{topic: t, start_at: {}}}"),
    "segment": ("{table:", "{{segment: {}, table:"),
    "cluster": ("- name: only", "- name: {}"),
    "max_age": ("profiles:", "cache: {{max_age: {}}}\nprofiles:"),
    "previous_for": ("profiles:", "history: {{previous_for: {}}}\nprofiles:"),
    "version": ("clusters:", "version: {}\nclusters:"),
    "moved at": (
        "profiles:",
        "moves: [{{channel: 'kafka://h/a', cluster: only, topic: t, at: {}}}]\nprofiles:",
    ),
}
ODD = [
    *(".inf", "-.inf", ".nan", "1.0e+400", "-1", "0x" + "f" * 5000, THOUSANDS_OF_DIGITS),
    *("18446744073709551616", "!!bool x", '!!int ""', "!!timestamp x", "!!float x", "!!null x"),
    *("!!binary x", "!!python/name:os.x", "!!set {a}", "!!omap [a: 1]", "2024-13-41", "~", '""'),
    *('"\\ud800"', "'" + "x" * 5000 + "'", "[a, [b]]", "{a: {b: c}}", "*nowhere", "&a [*a]"),
    *("? [a]\n    : b", "<<", "<<: 3", "!!str 5", "0b2", "1:99:99", "08"),
]
#: Problems of these are problems of the value, whatever it is.
ANSWERED = [("config_profile", "default"), ("channel", "kafka://example.com/orders")]


@pytest.mark.parametrize("value", ODD, ids=lambda value: value[:20])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_called_sound_is_answered_and_the_rest_is_told(place, value):
    old, new = PLACES[place]
    assert old in OPEN
    text = OPEN.replace(old, new.format(value))
    rules, problems, _ = check_rules(text, "r.yaml", {})
    if rules is None:
        assert problems
        for problem in problems:
            assert problem.startswith("r.yaml"), problem
            assert len(problem) < 6000
        with pytest.raises(ConfigurationError):
            parse_rules(text, "r.yaml")
        return
    given = answer(rules, None, ANSWERED)
    assert given.status in {200, 400, 404}
    json.dumps(given.body, allow_nan=False, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("setting", ".inf", "settings.linger.ms: expected a finite number"),
        ("setting", "0x" + "f" * 17, "settings.linger.ms: cannot be read: a whole number has at"),
        ("setting", "!!bool x", "settings.linger.ms: cannot be read: it is no bool"),
        ("typed", "'1e400'", "settings.linger.ms.value: expected a number"),
        ("typed", "'nan'", "settings.linger.ms.value: expected a number"),
        ("key", "!!int ''", "profiles[0].settings: cannot be read: it is no int"),
        ("max_age", "1.0e+300", "cache.max_age: expected a number of seconds, at most 3153600000"),
        ("max_age", ".nan", "cache.max_age: expected a number of seconds"),
        ("previous_for", "1.0e+12", "history.previous_for: expected a number of seconds, at most"),
        ("cluster", '"\\ud800"', "clusters[0].name: "),
    ],
)
def test_what_is_said(place, value, words):
    old, new = PLACES[place]
    problems = check_rules(OPEN.replace(old, new.format(value)), "r.yaml", {}).problems
    assert any(words in problem for problem in problems) or "not valid YAML" in problems[0]


@pytest.mark.parametrize(
    "template", ["{segment:" + "9" * 5000 + "}", "{" + "9" * 5000 + "}", "{segment:٣}", "{²}"]
)
def test_placeholders_with_odd_numbers(template):
    rule = f'- {{match: {{path: "(x)"}}, transform: {{template: "{template}", pattern: "(x)"}}}}'
    text = OPEN.replace("- lookup: {table: {orders: orders-v1}}", rule)
    assert text != OPEN
    (problem,) = check_rules(text, "r.yaml", {}).problems
    assert "transform.template: " in problem


@pytest.mark.parametrize("depth", [500, 100_000])
@pytest.mark.parametrize("nest", ["[", "{a: ", "- ", "? "])
def test_what_is_nested_deeply(nest, depth):
    rules, problems, _ = check_rules("clusters: " + nest * depth, "r.yaml", {})
    assert rules is None
    assert problems[0].startswith("r.yaml")


def test_merges_of_merges():
    lines = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: *a{n - 1}}}" for n in range(1, 3000)]
    text = "\n".join([*lines, "clusters: [*a2999]", "profiles: []"])
    rules, problems, _ = check_rules(text, "r.yaml", {})
    assert rules is None
    assert all(problem.startswith("r.yaml:") for problem in problems)
