"""The client's catalog against the reference service over sockets: who asks, and for what."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from kafkaroute import Settings, resolve
from kafkaroute.catalog.contract import Lookup
from kafkaroute.catalog.http import HttpCatalog
from kafkaroute.channel import Channel
from kafkaroute.errors import CatalogUnauthorized, CatalogUnavailable, ChannelNotFound
from kafkaroute.server.app import CatalogApp
from kafkaroute.server.auth.tls import tls_settings
from kafkaroute.server.stores.file_store import FileStore

ORDERS = "kafka://h/orders"
REST = """
clusters:
  - {name: c, connection: {bootstrap.servers: "b:1"}, rules: [{transform: "{key}"}]}
profiles: [{name: p, settings: {}}]
"""


@pytest.fixture
def serving(client):
    @contextlib.contextmanager
    def serve(path, text, *pems):
        path.write_text(text)
        tls = tls_settings(*pems) if pems else {}
        with client.on_a_port(CatalogApp(FileStore(path)), **tls) as url:
            yield url

    return serve


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def pems(authority, tmp_path):
    """Paths: the service's certificate and key, the authority, clients of it and of another."""
    issued = authority.issue_cert("127.0.0.1")
    names = ("cert", "key", "ca", "client", "client_cert", "client_key", "stranger")
    paths = {name: tmp_path / f"{name}.pem" for name in names}
    issued.private_key_pem.write_to_path(paths["key"])
    issued.cert_chain_pems[0].write_to_path(paths["cert"])
    authority.cert_pem.write_to_path(paths["ca"])
    client = authority.issue_cert(common_name="billing")
    client.private_key_and_cert_chain_pem.write_to_path(paths["client"])
    client.private_key_pem.write_to_path(paths["client_key"])
    client.cert_chain_pems[0].write_to_path(paths["client_cert"])
    stranger = trustme.CA().issue_cert(common_name="billing")
    stranger.private_key_and_cert_chain_pem.write_to_path(paths["stranger"])
    return {name: str(path) for name, path in paths.items()}


def ask(url, channel=ORDERS, intent="", **settings):
    settings = {"service_gateway_uri": url, "config_profile": "p"} | settings
    catalog = HttpCatalog(Settings.from_dict(settings))
    try:
        return catalog.lookup(Lookup(Channel.parse(channel), intent, timeout=10))
    finally:
        catalog.close()


def test_client_certificates(tmp_path, pems, serving):
    text = "authentication: {certificates: {}}\ncallers: [{name: billing}]" + REST
    with serving(tmp_path / "r.yaml", text, pems["cert"], pems["key"], pems["ca"]) as url:
        trust = {"verify": pems["ca"]}
        assert ask(url, cert=pems["client"], **trust).topic == "orders"
        pair = (pems["client_cert"], pems["client_key"])
        assert ask(url, cert=pair, **trust).topic == "orders"
        with pytest.raises(CatalogUnauthorized, match="401; no basic_auth"):
            ask(url, **trust)
        with pytest.raises(CatalogUnavailable):
            ask(url, cert=pems["stranger"], timeout=2, **trust)
        with pytest.raises(CatalogUnavailable, match="TLS to catalog"):
            ask(url, cert=pems["client"])


@contextlib.contextmanager
def issuer(pems, key):
    """A token endpoint that speaks TLS and wants a client certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            claims = {"iss": "i", "aud": "kafkaroute", "sub": "billing", "exp": time.time() + 60}
            token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "one"})
            body = json.dumps({"access_token": token, "token_type": "bearer", "expires_in": 60})
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pems["ca"])
    context.load_cert_chain(pems["cert"], pems["key"])
    context.verify_mode = ssl.CERT_REQUIRED
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # clients that it refuses
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}/token"
        server.shutdown()
        thread.join()


def test_tokens_of_an_issuer_behind_tls(tmp_path, pems, serving):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    keys = tmp_path / "keys.json"
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "one"}
    keys.write_text(json.dumps({"keys": [public]}))
    text = (
        f"authentication: {{bearer: [{{issuer: i, audience: kafkaroute, jwks: '{keys.as_uri()}'}}]}}"
        "\ncallers: [{name: billing}]" + REST
    )
    with issuer(pems, key) as token_url, serving(tmp_path / "r.yaml", text) as url:
        oauth = {"token_url": token_url, "client_id": "me", "client_secret": "hunter2"}
        trusting = {"verify": pems["ca"], "cert": pems["client"]}
        assert ask(url, oauth=oauth, **trusting).topic == "orders"
        with pytest.raises(CatalogUnavailable, match="TLS to token endpoint https://127.0.0.1"):
            ask(url, oauth=oauth, cert=pems["client"])
        with pytest.raises(CatalogUnauthorized):
            ask(url)


def test_intent_and_client_id_choose_the_route(tmp_path, serving):
    text = """
clusters:
  - name: writers
    connection: {bootstrap.servers: "w:1"}
    rules: [{match: {intent: produce, client_id: 'canary-.*'}, transform: "{key}-canary"}]
  - name: readers
    connection: {bootstrap.servers: "r:1"}
    rules: [{match: {intent: consume}, transform: "{key}"}]
profiles: [{name: p, settings: {}}]
"""
    with serving(tmp_path / "r.yaml", text) as url:
        assert ask(url, intent="produce", client_id="canary-1").topic == "orders-canary"
        assert ask(url, intent="consume", client_id="canary-1").topic == "orders"
        assert ask(url, intent="consume").topic == "orders"
        with pytest.raises(ChannelNotFound):
            ask(url, intent="produce", client_id="other")
        config = {"service_gateway_uri": url, "config_profile": "p", "client_id": "canary-2"}
        assert resolve(ORDERS, config, "produce").topic == "orders-canary"
