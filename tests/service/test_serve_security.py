"""`kafkaroute serve` with TLS, client certificates, tokens and an audit log, as a process."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest
import requests
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from kafkaroute.cli import main
from kafkaroute.errors import ConfigurationError
from kafkaroute.server.auth.tls import tls_settings

BAR = "config_profile=p&channel=kafka%3A%2F%2Fh%2Forders"
REST = """
credentials:
  - {caller: "*", values: {sasl.username: "{vault://env/kafka-user}", sasl.password: "{vault://env/kafka-pass}"}}
clusters:
  - {name: c, connection: {bootstrap.servers: "b:1"}, rules: [{transform: "{key}"}]}
profiles: [{name: p, settings: {}}]
"""
SECRETS = {"KAFKA_USER": "the-kafka-user", "KAFKA_PASS": "the-kafka-pass"}


@contextlib.contextmanager
def serving(rules, text, *options):
    """(process, base URL)"""
    rules.write_text(text + REST)
    command = [sys.executable, "-m", "kafkaroute.cli", "serve", str(rules), "--port", "0"]
    with subprocess.Popen(
        [*command, "--log-level", "debug", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | SECRETS,
    ) as process:
        try:
            line = process.stdout.readline()
            assert " on http" in line, process.communicate(timeout=30)
            yield process, line.split()[-1]
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(10)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def pems(authority, tmp_path):
    """Paths: the service's certificate and key, the authority, clients of it and of another."""
    issued = authority.issue_cert("127.0.0.1")
    paths = {name: tmp_path / f"{name}.pem" for name in ("cert", "key", "ca", "client", "stranger")}
    issued.private_key_pem.write_to_path(paths["key"])
    for blob in issued.cert_chain_pems:
        blob.write_to_path(paths["cert"], append=True)
    authority.cert_pem.write_to_path(paths["ca"])
    for name, ca in (("client", authority), ("stranger", trustme.CA())):
        ca.issue_cert(common_name="billing").private_key_and_cert_chain_pem.write_to_path(
            paths[name]
        )
    return paths


def test_tls_and_client_certificates(tmp_path, pems):
    text = "authentication: {certificates: {}}\ncallers: [{name: billing}, {name: a, password: x}]"
    options = ["--tls-cert", pems["cert"], "--tls-key", pems["key"], "--tls-client-ca", pems["ca"]]
    with serving(tmp_path / "rules.yaml", text, *options) as (process, url):
        assert url.startswith("https://127.0.0.1:")

        def get(**more):
            return requests.get(f"{url}/?{BAR}", verify=str(pems["ca"]), timeout=30, **more)

        known = get(cert=str(pems["client"]))
        assert known.status_code == 200
        assert known.json()["credentials"]["sasl.password"] == "the-kafka-pass"
        assert get().status_code == 401
        assert get(auth=("a", "x")).status_code == 200
        with pytest.raises(requests.ConnectionError):
            get(cert=str(pems["stranger"]))
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(url, timeout=30)
        # A forged proxy header proves nothing.
        forged = get(headers={"Client-Cert": ":AAAA:", "X-Forwarded-For": "127.0.0.1"})
        assert forged.status_code == 401
        assert get(cert=str(pems["client"])).status_code == 200
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    for secret in SECRETS.values():
        assert secret not in err


def test_a_proxy_that_verified_the_certificate(tmp_path, authority):
    import base64

    issued = authority.issue_cert(common_name="billing")
    der = base64.b64encode(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()))
    header = {"Client-Cert": f":{der.decode()}:"}
    text = (
        "authentication: {certificates: {header: Client-Cert, proxies: [%s]}}\n"
        "callers: [{name: billing}]"
    )
    with serving(tmp_path / "near.yaml", text % "127.0.0.1") as (_, url):
        assert requests.get(f"{url}/?{BAR}", headers=header, timeout=30).status_code == 200
        # What the header says of where it came from does not change who the peer is.
        also = header | {"X-Forwarded-For": "192.0.2.1"}
        assert requests.get(f"{url}/?{BAR}", headers=also, timeout=30).status_code == 200
    with serving(tmp_path / "far.yaml", text % "192.0.2.1") as (_, url):
        forged = header | {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
        assert requests.get(f"{url}/?{BAR}", headers=forged, timeout=30).status_code == 401


@contextlib.contextmanager
def issuer(keys):
    """The URL of a key set; what is in the list `keys` when it is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"keys": keys}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/keys"
        server.shutdown()
        thread.join()


def test_tokens_and_the_audit_log(tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    keys = [RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "one"}]
    audit = tmp_path / "audit.jsonl"

    def token(**changed):
        claims = {"iss": "i", "aud": "kafkaroute", "sub": "billing", "exp": time.time() + 60}
        made = jwt.encode(claims | changed, key, algorithm="RS256", headers={"kid": "one"})
        return {"Authorization": f"Bearer {made}"}

    with issuer(keys) as jwks:
        text = (
            f"authentication: {{bearer: [{{issuer: i, audience: kafkaroute, jwks: '{jwks}'}}]}}\n"
            "callers: [{name: billing}]"
        )
        rules = tmp_path / "rules.yaml"
        with serving(rules, text, "--audit", audit) as (process, url):
            good, expired = token(), token(exp=time.time() - 100)
            found = requests.get(f"{url}/?{BAR}&client_id=me", headers=good, timeout=30)
            assert found.status_code == 200
            refused = requests.get(f"{url}/?{BAR}", headers=expired, timeout=30)
            assert refused.status_code == 401
            assert refused.json() == {"message": "Unauthorized: the token has expired"}
            assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
            assert "Basic" not in refused.headers["WWW-Authenticate"]
            process.terminate()
            _, err = process.communicate(timeout=30)
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(one["status"], one["caller"]) for one in lines] == [(200, "billing"), (401, None)]
    assert lines[0]["channels"] == [{"channel": "kafka://h/orders", "generation": 1}]
    everything = err + audit.read_text()
    assert "Traceback" not in err
    for secret in (*SECRETS.values(), good["Authorization"][7:], expired["Authorization"][7:]):
        assert secret not in everything


@pytest.mark.parametrize(
    ("cert", "key", "ca", "problem"),
    [
        (None, "key", None, "--tls-key and --tls-client-ca need --tls-cert"),
        (None, None, "ca", "--tls-key and --tls-client-ca need --tls-cert"),
        ("none", None, None, "No such file"),
        ("ca", "key", None, "no usable PEM certificate and key (KEY_VALUES_MISMATCH)"),
        ("cert", None, None, "no usable PEM certificate and key"),
        ("cert", "key", "none", "--tls-client-ca"),
        ("cert", "key", "key", "--tls-client-ca"),
        ("cert", "locked", None, "a key with a password is not read"),
    ],
)
def test_tls_files_that_do_not_work_are_told_at_the_start(pems, tmp_path, cert, key, ca, problem):
    from cryptography.hazmat.primitives import serialization

    plain = serialization.load_pem_private_key(pems["key"].read_bytes(), None)
    pems["locked"] = tmp_path / "locked.pem"
    pems["locked"].write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"pw"),
        )
    )
    paths = [None if one is None else str(pems.get(one, tmp_path / one)) for one in (cert, key, ca)]
    with pytest.raises(ConfigurationError) as caught:
        tls_settings(*paths)
    assert problem in str(caught.value)


def test_an_audit_file_that_cannot_be_written_is_told_at_the_start(tmp_path, capsys):
    rules = tmp_path / "rules.yaml"
    rules.write_text(REST.replace('"*"', "'*'"))
    assert main(["serve", str(rules), "--audit", str(tmp_path / "none" / "a")]) == 1
    assert "No such file" in capsys.readouterr().err
    assert not Path(tmp_path / "none").exists()
