"""The setting `oauth`: its keys, where it comes from, and that it tells no secret."""

import json
import traceback

import pytest

from kafkaroute import ConfigurationError, Settings
from kafkaroute.oauth import OAuth

URI = "https://catalog.example/x"
TABLE = {"token_url": "https://i.example/t", "client_id": "me", "client_secret": "hunter2"}


def test_from_code_environment_and_file(tmp_path):
    expected = OAuth("https://i.example/t", "me", "hunter2", scope="a b")
    table = TABLE | {"scope": "a b"}
    assert Settings.from_dict({"service_gateway_uri": URI, "oauth": table}).oauth == expected
    environ = {"KAFKAROUTE_OAUTH": json.dumps(table), "KAFKAROUTE_SERVICE_GATEWAY_URI": URI}
    assert Settings.load(environ=environ).oauth == expected
    path = tmp_path / "k.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    path.write_text("\n".join([f'service_gateway_uri = "{URI}"', "[oauth]", *lines]))
    assert Settings.load({"config": str(path)}, environ={}).oauth == expected
    given = Settings.from_dict({"service_gateway_uri": URI, "oauth": expected})
    assert given.oauth is expected


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"client_secre": "hunter2"}, "did you mean 'client_secret'"),
        ({"zzz": "hunter2"}, "known: token_url"),
        ({"client_secret": ["hunter2"]}, "client_secret must be"),
        ({"client_secret": ""}, "client_secret must be"),
        ({"scope": "hunter2\r\n"}, "scope must be"),
        ({"auth_method": "hunter2"}, "client_secret_basic or client_secret_post"),
        ({"token_url": "ftp://hunter2/"}, "no http or https address"),
        ({"token_url": "https://u:hunter2@i/"}, "no user"),
        ({"token_url": "https://i/#hunter2"}, "no fragment"),
    ],
)
def test_bad_tables_are_told_without_their_values(table, told):
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_dict({"service_gateway_uri": URI, "oauth": TABLE | table})
    assert told in str(caught.value)
    text = "".join(traceback.format_exception_only(caught.value))
    assert "hunter2" not in text


@pytest.mark.parametrize("missing", ["token_url", "client_id", "client_secret"])
def test_what_is_missing_is_named(missing):
    table = {key: value for key, value in TABLE.items() if key != missing}
    with pytest.raises(ConfigurationError, match=f"{missing} is missing"):
        OAuth.from_dict(table)


def test_repr_holds_no_secret():
    settings = Settings.from_dict({"service_gateway_uri": URI, "oauth": TABLE})
    assert "hunter2" not in repr(settings) + repr(settings.oauth) + str(settings.oauth)
    assert "me" in repr(settings.oauth)
