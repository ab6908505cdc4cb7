"""`kafkaroute rules` and `kafkaroute serve` on a real PostgreSQL, as people use them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import requests

from kafkaroute.cli import main

EU = "kafka://example.com/orders/eu"
QUERY = "config_profile=any&channel=kafka%3A%2F%2Fexample.com%2Forders%2Feu"


@pytest.fixture
def run(capsys):
    def run(*args):
        code = main(["rules", *map(str, args)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_put_get_history(run, database_url, rules_path, rules_text):
    code, out, _ = run("put", database_url, rules_path, "--author", "ann", "--note", "first")
    assert code == 0
    assert out.splitlines()[-1].endswith(": version 1 is in force")
    assert run("put", database_url, rules_path)[1].splitlines()[-1].endswith("is the same document")
    rules_path.write_text(rules_text.replace("orders-eu", "second"))
    assert run("put", database_url, rules_path, "--author", "bob")[0] == 0
    assert run("get", database_url) == (0, rules_path.read_text(), "")
    assert run("get", database_url, "--version", 1) == (0, rules_text, "")
    code, out, _ = run("history", database_url)
    newest, first = out.splitlines()
    assert newest.split()[0] == "2"
    assert newest.endswith("bob")
    assert first.endswith("ann  first")


def test_what_is_not_sound_is_not_put_there(run, database_url, rules_path):
    rules_path.write_text("clusters: []\n")
    code, out, err = run("put", database_url, rules_path)
    assert code == 1
    assert "'profiles' is missing" in out
    assert "not put there" in err
    assert run("history", database_url) == (0, "", "")
    code, _, err = run("get", database_url)
    assert code == 2
    assert "no such version" in err


def test_the_version_that_a_change_was_made_for(run, database_url, rules_path, rules_text):
    assert run("put", database_url, rules_path, "--expect", 0)[0] == 0
    rules_path.write_text(rules_text + "# more\n")
    code, _, err = run("put", database_url, rules_path, "--expect", 0)
    assert code == 1
    assert "version 1 is in force, not 0" in err


def test_moves_made_through_the_service_are_kept(run, database_url, rules_path, rules_text):
    rules_path.write_text(f"{rules_text}moves: [{{channel: '{EU}', cluster: west, topic: o}}]\n")
    run("put", database_url, rules_path)
    rules_path.write_text(rules_text.replace("acks: all", "acks: 1"))
    code, out, _ = run("put", database_url, rules_path)
    assert code == 0
    assert f"kept the move of {EU}\n" in out
    assert 'topic: "o"' in run("get", database_url)[1]
    # The document's own word for the channel counts.
    rules_path.write_text(f"{rules_text}moves: [{{channel: '{EU}', cluster: west, topic: p}}]\n")
    assert "kept" not in run("put", database_url, rules_path)[1]
    rules_path.write_text(rules_text)
    assert "kept" not in run("put", database_url, rules_path, "--drop-moves")[1]
    assert run("get", database_url)[1] == rules_text


def test_a_move_to_a_cluster_that_the_document_no_longer_has(
    run, database_url, rules_path, rules_text
):
    rules_path.write_text(f"{rules_text}moves: [{{channel: '{EU}', cluster: west, topic: o}}]\n")
    run("put", database_url, rules_path)
    start, end = rules_text.index("  - name: west"), rules_text.index("profiles:")
    rules_path.write_text(rules_text[:start] + rules_text[end:])
    code, _, err = run("put", database_url, rules_path)
    assert code == 2
    assert "no cluster is named 'west'" in err


def test_a_database_that_is_not_there(run, rules_path):
    code, _, err = run("put", "postgresql://me:s3cret@127.0.0.1:1/nowhere", rules_path)
    assert code == 1
    assert err.startswith("kafkaroute: postgresql://127.0.0.1:1/nowhere cannot be reached")
    assert "s3cret" not in err


def test_serve_from_the_database(run, database_url, postgres, rules_path, rules_text):
    run("put", database_url, rules_path)
    command = [sys.executable, "-m", "kafkaroute.cli", "serve", database_url, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        try:
            line = process.stdout.readline()
            assert postgres.password not in line
            assert line.startswith(f"kafkaroute: serving postgresql://127.0.0.1:{postgres.port}/")
            url = line.split()[-1]
            deadline = time.monotonic() + 30
            while requests.get(f"{url}/readyz", timeout=30).status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            with requests.Session() as session:
                session.auth = ("billing", "billing-pass")
                first = session.get(f"{url}/?{QUERY}", timeout=30)
                assert first.json()["generation"] == 1
                rules_path.write_text(rules_text.replace("orders-eu", "second"))
                run("put", database_url, rules_path)
                headers = {"If-None-Match": first.headers["ETag"], "Prefer": "wait=20"}
                reply = session.get(f"{url}/?{QUERY}", headers=headers, timeout=25)
                assert reply.json()["channel_mapping"] == {"eu": "second"}
                # A poll that waits does not hold up the end.
                headers |= {"If-None-Match": reply.headers["ETag"], "Prefer": "wait=60"}
                with subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        (
                            "import requests\n"
                            "print('asking', flush=True)\n"
                            f"r = requests.get({url + '/?' + QUERY!r}, headers={headers!r}, "
                            "auth=('billing', 'billing-pass'), timeout=70)\n"
                            "print(r.status_code)"
                        ),
                    ],
                    stdout=subprocess.PIPE,
                    text=True,
                ) as poll:
                    assert poll.stdout.readline() == "asking\n"
                    time.sleep(2)
                    stopped = time.monotonic()
                    process.terminate()
                    assert poll.communicate(timeout=50)[0] == "304\n"
            _, err = process.communicate(timeout=50)
            assert time.monotonic() - stopped < 25
            assert process.returncode == 0
            assert "Traceback" not in err
            for secret in (postgres.password, "billing-pass", "kafka-pass-1"):
                assert secret not in err
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)
