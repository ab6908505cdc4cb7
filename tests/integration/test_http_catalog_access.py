"""HttpCatalog against a real HTTP server: who asks, proxies, and TLS."""

import base64
import ssl

import pytest
import trustme

from kafkaroute.catalog.http import HttpCatalog
from kafkaroute.errors import (
    CatalogAnswerInvalid,
    CatalogUnauthorized,
    CatalogUnavailable,
    ConfigurationError,
)
from kafkaroute.settings import Settings
from kafkaroute.testing.catalog_stub import CatalogStub, Fault

from . import http_catalog_world
from .http_catalog_world import BAR, CONNECTION, ask

opened = http_catalog_world.opened
stub = http_catalog_world.stub


# --- who asks -----------------------------------------------------------------------------------


def test_basic_auth_reaches_the_service_in_utf8(opened):
    with CatalogStub(basic_auth=("jürgen", "pä:ss")) as stub:
        stub.put(BAR, topic="t", connection=CONNECTION)
        assert ask(opened(stub)).topic == "t"


def test_credentials_in_the_uri_are_used_and_never_shown(stub):
    uri = stub.uri.replace("://", "://user:pass%77ord@")
    catalog = HttpCatalog(Settings.from_dict({"service_gateway_uri": uri, "config_profile": "p"}))
    assert ask(catalog).topic == "c0t3"
    stub.fault = Fault.STATUS_400
    with pytest.raises(CatalogAnswerInvalid) as caught:
        ask(catalog)
    catalog.close()
    for text in (str(caught.value), repr(catalog), str(dict(catalog.describe())), catalog.scope()):
        assert "user:" not in text
        assert "password" not in text
    assert "@" not in stub.requests[0].path


def test_netrc_is_not_read(stub, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password password\n")
    monkeypatch.setenv("NETRC", str(netrc))
    catalog = HttpCatalog(
        Settings.from_dict({"service_gateway_uri": stub.uri, "config_profile": "p"})
    )
    with pytest.raises(CatalogUnauthorized, match="no basic_auth is configured"):
        ask(catalog)
    catalog.close()
    assert "Authorization" not in stub.requests[0].headers


def test_wrong_credentials_are_named_but_not_told(stub, opened):
    catalog = opened(stub, basic_auth=("mallory-name", "guessed-pw"))
    with pytest.raises(CatalogUnauthorized, match="401") as caught:
        ask(catalog)
    assert "mallory-name" not in str(caught.value)
    assert "guessed-pw" not in str(caught.value)
    assert len(stub.requests) == 1  # not retried


def test_a_proxy_of_the_environment_is_used(stub, monkeypatch):
    # The stub stands in for the proxy: a forwarding proxy gets the absolute address.
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{stub.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    settings = stub.settings(service_gateway_uri="http://catalog.invalid/gateway")
    catalog = HttpCatalog(Settings.from_dict(settings))
    assert ask(catalog).topic == "c0t3"
    catalog.close()
    assert stub.requests[0].path == "http://catalog.invalid/gateway"


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls_stub(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with CatalogStub(ssl_context=context) as stub:
        stub.put(BAR, topic="tls", connection=CONNECTION)
        yield stub


@pytest.fixture
def bundle(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def test_custom_authority(tls_stub, opened, bundle):
    catalog = opened(tls_stub, verify=bundle)
    assert ask(catalog).topic == "tls"
    assert ask(catalog).topic == "tls"
    assert {request.connection for request in tls_stub.requests} == {1}


def test_an_authority_of_the_environment(tls_stub, opened, bundle, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    assert ask(opened(tls_stub)).topic == "tls"


def test_an_unknown_authority_is_refused_at_once(tls_stub, opened):
    with pytest.raises(CatalogUnavailable, match=r"TLS to catalog .* failed"):
        ask(opened(tls_stub))
    assert tls_stub.requests == []


def test_verify_false_connects_and_warns_once(tls_stub, opened, caplog):
    catalog = opened(tls_stub, verify=False)
    ask(catalog)
    ask(catalog)
    assert [record.levelname for record in caplog.records if "verif" in record.message] == [
        "WARNING"
    ]


def test_client_certificate(authority, opened, bundle, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    client = authority.issue_cert("app@example.com")
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    client.cert_chain_pems[0].write_to_path(str(cert))
    client.private_key_pem.write_to_path(str(key))
    with CatalogStub(ssl_context=context) as stub:
        stub.put(BAR, topic="mtls", connection=CONNECTION)
        assert ask(opened(stub, verify=bundle, cert=(str(cert), str(key)))).topic == "mtls"
        with pytest.raises(CatalogUnavailable):
            ask(opened(stub, verify=bundle), timeout=1)


@pytest.mark.parametrize("setting", [{"verify": "/nonexistent/ca"}, {"cert": "/nonexistent/c"}])
def test_a_missing_certificate_file_is_told_at_the_start(stub, opened, setting):
    with pytest.raises(ConfigurationError, match="/nonexistent/c"):
        opened(stub, **setting)


def test_the_header_is_what_basic_auth_says(stub, opened):
    ask(opened(stub))
    expected = base64.b64encode(b"user:password").decode()
    assert stub.requests[0].headers["Authorization"] == f"Basic {expected}"
    assert stub.requests[0].headers["Accept-Encoding"] == "identity"
