"""`check` has the installed backends look into the profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaroute.cli import main
from kafkaroute.errors import ConfigurationError, UnsupportedFeature
from kafkaroute.plugins import BACKENDS, load_plugin
from kafkaroute.rules.check import check_rules

OPEN = (Path(__file__).parents[1] / "data" / "open-rules.yaml").read_text()
CONFLUENT, KAFKA_PYTHON = "confluent-kafka", "kafka-python"


def profile(*settings):
    block = "\n".join(("  - name: default", "    settings:", *(f"      {s}" for s in settings)))
    text = OPEN.replace("  - {name: default, settings: {linger.ms: 5}}", block)
    assert text != OPEN
    return text


def look(*settings, backends=(CONFLUENT, KAFKA_PYTHON)):
    made = [load_plugin(BACKENDS, name)() for name in backends]
    checked = check_rules(profile(*settings), "r.yaml", {}, made)
    return checked.problems, checked.warnings


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("enable.idempotance: true", "did you mean enable.idempotence?"),
        ("linger.ms: ten", "linger.ms"),
        ("auto.offset.reset: earlies", "auto.offset.reset"),
        ("group.id: ' '", "group.id is empty"),
        ("topic.acks: many", "acks"),
        ('client.id: "a\\0b"', "client.id holds a NUL character"),
        ("compression.codec: brotli", "compression"),
        ("security.protocol: SSSL", "security.protocol"),
    ],
)
def test_what_every_backend_refuses_is_a_problem_with_its_line(setting, words):
    key = setting.partition(":")[0]
    problems, warnings = look("acks: all", setting)
    assert warnings == []
    [problem] = problems
    assert problem.startswith(f"r.yaml:11: profiles[0].settings.{key}: ")
    assert words in problem


def test_what_one_backend_refuses_is_a_warning_that_names_it():
    problems, warnings = look("statistics.interval.ms: 1000", "acks: all")
    assert problems == []
    [warning] = warnings
    assert warning.startswith("r.yaml:10: profiles[0].settings.statistics.interval.ms: ")
    assert "the kafka-python backend refuses it: " in warning
    assert look("statistics.interval.ms: 1000", backends=[CONFLUENT]) == ([], [])
    problems, _ = look("statistics.interval.ms: 1000", backends=[KAFKA_PYTHON])
    assert len(problems) == 1, "it is the only one installed"


def test_every_setting_that_is_wrong_is_found():
    problems, _ = look("linger.ms: ten", "acks: all", "enable.idempotance: true", "retries: many")
    assert [problem.split(":")[1] for problem in problems] == ["10", "12", "13"]


@pytest.mark.parametrize(
    "settings",
    [
        ["security.protocol: SASL_SSL"],
        ["security.protocol: SASL_PLAINTEXT", "sasl.mechanism: SCRAM-SHA-512"],
        ["ssl.ca.location: /not/on/this/machine.pem", "security.protocol: SSL"],
        ["ssl.keystore.location: /dev/stdin"],
        ["session.timeout.ms: 2900", "heartbeat.interval.ms: 500"],
        ["enable.idempotence: true", "acks: all", "max.in.flight: 5"],
        ["bootstrap.servers: 'elsewhere:9092'"],
        ["transactional.id: t"],
    ],
)
def test_what_other_settings_or_files_decide_is_no_problem(settings):
    assert look(*settings)[0] == []


class Refusing:
    """Refuses by name, and says so as it is told to."""

    def __init__(self, name, refusals, error=ConfigurationError):
        self.name = name
        self.asked = []
        self._refusals = refusals
        self._error = error

    def check_config(self, config, *, consumer):
        self.asked.append((dict(config), consumer))
        for key, text in self._refusals.items():
            if key in config:
                raise self._error(text)


def test_a_refusal_that_names_nothing_of_the_profile_ends_it():
    backend = Refusing("b", {"linger.ms": "something is wrong with the weather"})
    checked = check_rules(profile("linger.ms: 5"), "r.yaml", {}, [backend])
    assert (checked.problems, checked.warnings) == ([], [])
    assert len(backend.asked) == 1


def test_a_refusal_may_use_another_spelling_and_several_lines():
    backend = Refusing("b", {"linger.ms": "bad\n  linger.ms"}, UnsupportedFeature)
    checked = check_rules(profile("topic.queue.buffering.max.ms: 5"), "r.yaml", {}, [backend])
    assert checked.problems == [
        "r.yaml:10: profiles[0].settings.topic.queue.buffering.max.ms: bad linger.ms"
    ]


def test_files_are_left_out_and_nobody_is_connected_to():
    backend = Refusing("b", {})
    check_rules(profile("ssl.ca.location: /x", "linger.ms: 5"), "r.yaml", {}, [backend])
    for config, consumer in backend.asked:
        assert "ssl.ca.location" not in config
        assert config["bootstrap.servers"] == "127.0.0.1:9"
        assert ("group.id" in config) == consumer


def test_the_command_asks_what_is_installed(tmp_path, capsys):
    path = tmp_path / "rules.yaml"
    path.write_text(profile("linger.ms: ten", "statistics.interval.ms: 1000"))
    assert main(["check", str(path)]) == 1
    out, _ = capsys.readouterr()
    assert f"{path}:10: profiles[0].settings.linger.ms: " in out
    path.write_text(profile("statistics.interval.ms: 1000"))
    assert main(["check", str(path)]) == 0
    assert "the kafka-python backend refuses it" in capsys.readouterr().out
    assert main(["check", "--strict", str(path)]) == 1
