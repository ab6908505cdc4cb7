"""The API's description agrees with the service, and no question that it allows breaks it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from importlib.resources import files
from pathlib import Path

import hypothesis
import pytest
import schemathesis
import uvicorn
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kafkaroute.server.app import CatalogApp
from kafkaroute.server.connection import served_by
from kafkaroute.server.stores.file_store import FileStore

DATA = Path(__file__).parents[1] / "data"
DOCUMENT = json.loads(files("kafkaroute.server").joinpath("openapi.json").read_text())
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]

# It looks whether the generator of `random` moved while it made an example, and blames the example;
# here it is the background threads of whatever else runs in this process, for their jitter.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The base URL of a running service, and its rules file."""
    rules = tmp_path_factory.mktemp("openapi") / "rules.yaml"
    text = (DATA / "contract-rules.yaml").read_text()
    rules.write_text(text.replace("password: pass1}", "password: pass1, admin: true}"))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(**served_by(CatalogApp(FileStore(rules))))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


def test_every_endpoint_is_described_and_no_other(tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text((DATA / "open-rules.yaml").read_text())
    app = CatalogApp(FileStore(rules))
    real = {
        (endpoint.path or "/", method.lower())
        for endpoint in app._routes._by_path.values()
        for method in endpoint.methods
    }
    assert real == set(OPERATIONS)
    open_to_anyone = {
        endpoint.path
        for endpoint in app._routes._by_path.values()
        if endpoint.access.value == "anyone"
    }
    described = {
        path for path, method in OPERATIONS if DOCUMENT["paths"][path][method].get("security") == []
    }
    assert open_to_anyone == described


def test_it_is_served(service):
    import requests

    answer = requests.get(f"{service}/openapi.json", timeout=5)
    assert answer.status_code == 200
    assert answer.json() == DOCUMENT


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("authorized", [True, False])
def test_no_question_breaks_it(service, path, method, authorized):
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=service)
    operation = schema[path][method]
    statuses = set()

    @hypothesis.given(
        case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
        | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    )
    @hypothesis.settings(
        max_examples=40,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def ask(case):
        auth = ("user1", "pass1") if authorized else None
        response = case.call(timeout=10, auth=auth)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    ask()
    public = DOCUMENT["paths"][path][method].get("security") == []
    if not authorized and not public:
        assert statuses <= {401, 400, 403, 404, 405, 413, 414, 415, 431}
        assert 200 not in statuses
    elif public:
        assert 200 in statuses


def test_questions_that_are_answered_fit_their_description(service):
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=service)
    bar = "kafka://example.com/bar"
    asked = [
        ("/", "GET", {"query": {"config_profile": "durableWrite", "channel": bar}}, 200),
        ("/v1/moves", "GET", {"query": {}}, 200),
        ("/v1/moves", "GET", {"query": {"channel": bar}}, 200),
        ("/v1/moves", "POST", {"body": {"channel": bar, "topic": "t", "dry_run": True}}, 200),
        ("/v1/moves", "POST", {"body": {"channel": bar, "topic": "t2"}}, 200),
        ("/", "GET", {"query": {"config_profile": "durableWrite", "channel": bar}}, 200),
        ("/v1/moves", "POST", {"body": {"channel": bar, "cluster": "none"}}, 404),
        ("/v1/moves", "POST", {"body": {"channel": bar, "cluster": "dev"}}, 409),
    ]
    for path, method, parts, status in asked:
        more = {"media_type": "application/json"} if "body" in parts else {}
        case = schema[path][method.lower()].Case(**parts, **more)
        response = case.call(timeout=10, auth=("user1", "pass1"))
        assert response.status_code == status, response.text
        case.validate_response(response, checks=CHECKS)
