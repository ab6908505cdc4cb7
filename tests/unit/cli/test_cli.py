"""The command line: output, exit codes, errors without tracebacks."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from kafkaroute import __version__
from kafkaroute.cli import main
from kafkaroute.producer import sender as lane

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("CC_USER1", "kafka-user")
    monkeypatch.setenv("CC_PASS1", "kafka-pass")
    monkeypatch.setenv("KAFKAROUTE_BASIC_AUTH", "user1:pass1")


@pytest.fixture
def catalog(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text((DATA / "contract-rules.yaml").read_text())
    return path.as_uri()


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"kafkaroute {__version__}\n"


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in ("serve", "resolve", "backends", "hash-password"):
        assert command in out


@pytest.mark.parametrize("argv", [[], ["bogus"], ["resolve"], ["serve", "x", "--port", "http"]])
def test_wrong_usage(argv, capsys):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("usage: ")


def test_resolve_as_json(catalog, capsys):
    argv = ["--catalog", catalog, "--config-profile", "durableWrite", "--json"]
    assert main(["resolve", "kafka://example.com/baz", *argv]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "channel": "kafka://example.com/baz",
        "topic": "c0t4",
        "connection": {"bootstrap.servers": "b1.example.net:9092"},
        "credentials": {
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": "***",
            "sasl.password": "***",
        },
        "configuration": {"acks": "all", "retries": 3, "enable.idempotence": True},
        "generation": 7,
        "cluster_id": "abcdefghijklmnopqrstuv",
        "start_at": "earliest",
    }


def test_resolve_for_people(catalog, capsys, tmp_path):
    config = tmp_path / "kafkaroute.toml"
    config.write_text(
        f'service_gateway_uri = "{catalog}"\n[profiles.loud]\nconfig_profile = "durableWrite"\n'
    )
    argv = ["--config", str(config), "--profile", "loud", "--intent", "produce"]
    assert main(["resolve", "kafka://example.com/bar", *argv]) == 0
    out, err = capsys.readouterr()
    assert "topic          c0t3\n" in out
    assert '  bootstrap.servers = "b1.example.net:9092"\n' in out
    assert '  sasl.password = "***"\n' in out
    assert "kafka-pass" not in out
    assert not err


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["resolve", "kafka://example.com/bar"], 2, "service_gateway_uri is missing"),
        (["resolve", "bar", "--catalog", "CATALOG"], 1, "has no scheme"),
        (
            [
                "resolve",
                "kafka://example.com/nope",
                "--catalog",
                "CATALOG",
                "--config-profile",
                "durableWrite",
            ],
            1,
            "knows no topic for channel kafka://example.com/nope",
        ),
        (["resolve", "kafka://a/b", "--config", "absent.toml"], 2, "cannot read the file absent"),
        (["resolve", "kafka://a/b", "--catalog", "ftp://x"], 1, "no catalog scheme 'ftp'"),
        (["serve", "absent.yaml", "--port", "0"], 2, "cannot read the rules file absent.yaml"),
        (["serve", "absent.yaml", "--port", "70000"], 2, "--port must be 0 to 65535"),
    ],
)
def test_errors_are_one_line(argv, code, words, catalog, capsys):
    assert main([catalog if word == "CATALOG" else word for word in argv]) == code
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("kafkaroute: ")
    assert words in err
    assert "Traceback" not in err
    assert "pass1" not in err


def test_serve_on_a_taken_port(catalog, capsys):
    import socket
    from urllib.parse import urlsplit

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", urlsplit(catalog).path, "--port", port]) == 1
    assert f"cannot listen on 127.0.0.1 port {port}: " in capsys.readouterr().err


def test_backends_lists_without_importing(capsys):
    """In a process of its own: this one may have imported them already."""
    code = (
        "import sys; from kafkaroute.cli import main; code = main(['backends']);"
        "bad = [m for m in sys.modules if m.split('.')[0] in"
        " ('kafkaroute_confluent', 'kafkaroute_kafka_python', 'confluent_kafka', 'kafka')];"
        "sys.exit(f'imported {bad}' if bad else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["confluent-kafka", "kafkaroute-confluent"],
        ["kafka-python", "kafkaroute-kafka-python"],
        ["kafkaroute", __version__],
    ]
    build = "compiled" if lane.__file__.endswith(tuple(EXTENSION_SUFFIXES)) else "pure Python"
    assert [line.endswith(f": {build}") for line in lines] == [True] * 3
    assert "over confluent-kafka 2." in lines[0]
    assert "(librdkafka 2." in lines[0]
    assert "over kafka-python " in lines[1]
    assert main(["backends", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["confluent-kafka", "kafka-python"]
    assert set(rows[0]) == {
        *("name", "distribution", "version", "value", "compiled", "client", "problem")
    }
    assert [row["problem"] for row in rows] == [None, None]
    assert [row["compiled"] for row in rows] == [build == "compiled"] * 2


def test_no_backend_installed(capsys, monkeypatch):
    monkeypatch.setattr("kafkaroute.cli.backends.installed", lambda _group: [])
    assert main(["backends"]) == 0
    assert "pip install 'kafkaroute[confluent]'" in capsys.readouterr().out


def test_hash_password(capsys, monkeypatch):
    from kafkaroute.rules.passwords import hash_problem

    monkeypatch.setattr(sys, "stdin", io.StringIO("open sesame\n"))
    assert main(["hash-password"]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed.startswith("scrypt$")
    assert hash_problem(printed) is None
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert main(["hash-password"]) == 2
    assert "password is empty" in capsys.readouterr().err


def test_the_installed_script():
    script = Path(sys.executable).with_name("kafkaroute")
    done = subprocess.run(
        [script, "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, f"kafkaroute {__version__}\n")
