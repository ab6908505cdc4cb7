"""Settings: sources and their order, types, unknown keys, and nothing secret in texts."""

import traceback

import pytest

from kafkaroute import ConfigurationError, Policy, Settings

URI = "http://catalog.example/service-gateway"


def load(config=None, **environ):
    return Settings.load(config, environ={f"KAFKAROUTE_{k}": v for k, v in environ.items()})


def toml(tmp_path, text):
    path = tmp_path / "kafkaroute.toml"
    path.write_text(text)
    return str(path)


def test_the_usual_clients_keys():
    settings = Settings.from_dict(
        {
            "service_gateway_uri": URI,
            "basic_auth": ("user", "password"),
            "client_id": "client",
            "config_profile": "durableWrite",
            "ttl": 60,
            "additional_params": {"kafka": {"env": "prod"}},
        }
    )
    assert settings.basic_auth == ("user", "password")
    assert (settings.client_id, settings.config_profile) == ("client", "durableWrite")
    assert settings.additional_params == {"kafka": {"env": "prod"}}
    assert settings.ttl == 60.0


def test_defaults():
    settings = Settings.from_dict({"service_gateway_uri": URI})
    assert (settings.ttl, settings.timeout, settings.max_stale) == (300.0, 5.0, 86_400.0)
    assert settings.verify is True
    assert settings.policy == Policy()
    assert dict(settings.client_config) == {}
    for name in ("basic_auth", "client_id", "config_profile", "backend", "cert", "snapshot"):
        assert getattr(settings, name) is None


def test_list_for_tuple():
    settings = Settings.from_dict({"service_gateway_uri": URI, "basic_auth": ["user", "password"]})
    assert settings.basic_auth == ("user", "password")


# Sources.


def test_code_over_environment_over_file(tmp_path):
    path = toml(
        tmp_path,
        f'service_gateway_uri = "{URI}"\nclient_id = "file"\nbackend = "file"\nttl = 1\n',
    )
    environ = {"CONFIG": path, "CLIENT_ID": "env", "BACKEND": "env"}
    settings = load({"client_id": "code"}, **environ)
    assert (settings.client_id, settings.backend, settings.ttl) == ("code", "env", 1.0)
    assert settings.service_gateway_uri == URI


def test_environment_alone():
    settings = load(
        SERVICE_GATEWAY_URI=URI,
        BASIC_AUTH="user:pass:word",
        TTL="30",
        TIMEOUT="2.5",
        MAX_STALE="60",
        VERIFY="false",
        ADDITIONAL_PARAMS='{"kafka": {"env": "prod"}}',
        CLIENT_CONFIG='{"linger.ms": 5}',
        POLICY='{"require_tls": true}',
        BACKEND="kafka-python",
    )
    assert settings.basic_auth == ("user", "pass:word")
    assert (settings.ttl, settings.timeout, settings.max_stale) == (30.0, 2.5, 60.0)
    assert settings.verify is False
    assert settings.additional_params == {"kafka": {"env": "prod"}}
    assert settings.client_config == {"linger.ms": 5}
    assert settings.policy.require_tls
    assert settings.backend == "kafka-python"


def test_the_processs_environment_is_read(monkeypatch):
    monkeypatch.setenv("KAFKAROUTE_SERVICE_GATEWAY_URI", URI)
    monkeypatch.setenv("KAFKAROUTE_BACKEND", "kafka-python")
    assert Settings.load().backend == "kafka-python"


def test_profiles(tmp_path):
    path = toml(
        tmp_path,
        f"""
        service_gateway_uri = "{URI}"
        client_id = "default"
        ttl = 10
        [profiles.prod]
        client_id = "prod"
        policy = {{ require_tls = true }}
        [profiles.prod.client_config]
        "linger.ms" = 50
        [profiles.dev]
        backend = "kafka-python"
        """,
    )
    plain = load({"config": path})
    prod = load({"config": path, "profile": "prod"})
    dev = load({"config": path}, PROFILE="dev")
    assert (plain.client_id, plain.backend) == ("default", None)
    assert (prod.client_id, prod.ttl, prod.policy.require_tls) == ("prod", 10.0, True)
    assert prod.client_config == {"linger.ms": 50}
    assert dev.backend == "kafka-python"


def test_profile_in_code_wins_over_the_environments(tmp_path):
    path = toml(
        tmp_path,
        f'service_gateway_uri = "{URI}"\n[profiles.a]\nclient_id = "a"\n[profiles.b]\nclient_id = "b"\n',
    )
    assert load({"profile": "a"}, CONFIG=path, PROFILE="b").client_id == "a"


@pytest.mark.parametrize(
    ("text", "profile", "hint"),
    [
        ("a = [", None, "is not TOML"),
        ("[profiles.a]\n", "b", "no profile 'b'.*profiles: a"),
        ("", "b", "profiles: none"),
        ("profiles = 3", "b", "profiles: none"),
        ("[profiles]\nb = 3", "b", "'b'"),
        ("tll = 3", None, "'tll'.*did you mean 'ttl'"),
        ("ttl = 'soon'", None, "ttl in file .* must be a number of seconds"),
    ],
)
def test_bad_files(tmp_path, text, profile, hint):
    path = toml(tmp_path, text)
    config = {"config": path} | ({"profile": profile} if profile else {})
    with pytest.raises(ConfigurationError, match=hint) as caught:
        load(config)
    assert path in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot read the file"):
        load({"config": str(tmp_path / "nothing.toml")})


def test_profile_without_a_file():
    with pytest.raises(ConfigurationError, match="profile 'prod' is named, but no"):
        load({"service_gateway_uri": URI, "profile": "prod"})


@pytest.mark.parametrize("make", [Settings.from_dict, load], ids=["from_dict", "load"])
def test_the_catalog_is_required(make):
    with pytest.raises(ConfigurationError, match="service_gateway_uri is missing"):
        make({"ttl": 3})


def test_settings_pass_through():
    settings = Settings.from_dict({"service_gateway_uri": URI})
    assert load(settings, CLIENT_ID="env") is settings


# What is wrong is told, with the source.


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("basic_aut", "did you mean 'basic_auth'"),
        ("service_gateway_url", "did you mean 'service_gateway_uri'"),
        ("bootstrap.servers", "under client_config"),
        ("zzzz", "known: service_gateway_uri"),
    ],
)
def test_unknown_keys(key, hint):
    with pytest.raises(ConfigurationError, match=hint) as caught:
        load({"service_gateway_uri": URI, key: "x"})
    assert repr(key) in str(caught.value)


def test_unknown_variable():
    with pytest.raises(ConfigurationError, match=r"KAFKAROUTE_BAKEND.*did you mean 'backend'"):
        load({"service_gateway_uri": URI}, BAKEND="x")


def test_variables_of_the_test_suite_are_none_of_ours():
    settings = load({"service_gateway_uri": URI}, TEST_CLUSTERS="a;b", REQUIRE_KAFKA="1")
    assert settings.backend is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("service_gateway_uri", ""),
        ("service_gateway_uri", 7),
        ("service_gateway_uri", None),
        ("service_gateway_uri", "catalog.example"),
        ("basic_auth", "user"),
        ("basic_auth", ("user",)),
        ("basic_auth", ("user", 7)),
        ("basic_auth", ("a", "b", "c")),
        ("client_id", ""),
        ("client_id", 7),
        ("config_profile", ["a"]),
        ("ttl", 0),
        ("ttl", -1),
        ("ttl", "x"),
        ("ttl", True),
        ("ttl", float("nan")),
        ("ttl", None),
        ("timeout", 0),
        ("timeout", float("nan")),
        ("timeout", "nan"),
        ("timeout", float("inf")),
        ("max_stale", -1),
        ("max_stale", float("nan")),
        ("additional_params", "x"),
        ("additional_params", "[1]"),
        ("additional_params", {1: 2}),
        ("backend", ""),
        ("client_config", {"linger.ms": None}),
        ("client_config", {"linger.ms": [1]}),
        ("client_config", 3),
        ("verify", 3),
        ("cert", ("a",)),
        ("cert", ("a", 3)),
        ("policy", "x"),
        ("policy", {"alow": []}),
        ("policy", {"allow": "debug"}),
        ("snapshot", ""),
        ("snapshot", 3),
    ],
)
def test_wrong_types(key, value):
    with pytest.raises(ConfigurationError) as caught:
        load({"service_gateway_uri": URI} | {key: value})
    text = str(caught.value)
    assert key in text or key == "policy"


def test_the_source_of_a_wrong_value_is_named():
    with pytest.raises(ConfigurationError, match="ttl in environment variable KAFKAROUTE_TTL"):
        load({"service_gateway_uri": URI}, TTL="soon")
    with pytest.raises(ConfigurationError, match="ttl in config"):
        load({"service_gateway_uri": URI, "ttl": "soon"})


def test_aliases_become_canonical_in_client_config():
    settings = Settings.from_dict(
        {"service_gateway_uri": URI, "client_config": {"sasl.mechanism": "PLAIN"}}
    )
    assert settings.client_config == {"sasl.mechanisms": "PLAIN"}


def test_callables_in_client_config():
    callback = print
    settings = Settings.from_dict(
        {"service_gateway_uri": URI, "client_config": {"error_cb": callback}}
    )
    assert settings.client_config["error_cb"] is callback


def test_paths_may_be_paths(tmp_path):
    settings = Settings.from_dict({"service_gateway_uri": URI, "snapshot": tmp_path / "s.json"})
    assert settings.snapshot == str(tmp_path / "s.json")


def test_settings_do_not_follow_the_callers_dicts():
    own = {"linger.ms": 5}
    settings = Settings.from_dict({"service_gateway_uri": URI, "client_config": own})
    own["linger.ms"] = 6
    assert settings.client_config["linger.ms"] == 5
    with pytest.raises(TypeError):
        settings.client_config["linger.ms"] = 7


# Secrets.


@pytest.mark.parametrize(
    "config",
    [
        {"basic_auth": "hunter2-without-colon"},
        {"basic_auth": ("hunter2", 3)},
        {"client_config": '{"sasl.password": "hunter2"'},
        {"client_config": {"sasl.password": ["hunter2"]}},
        {"additional_params": '["hunter2"]'},
        {"ttl": "hunter2"},
    ],
)
def test_bad_values_are_not_repeated(config):
    with pytest.raises(ConfigurationError) as caught:
        load({"service_gateway_uri": URI} | config)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "hunter2" not in told.replace(repr(config), "")


def test_repr_holds_no_secret():
    settings = Settings.from_dict(
        {
            "service_gateway_uri": "http://alice:hunter3@hunter@catalog.example/x",
            "basic_auth": ("alice", "hunter2"),
            "client_config": {"sasl.password": "hunter4"},
            "additional_params": {"token": "hunter5"},
        }
    )
    told = repr(settings) + str(settings)
    assert "hunter" not in told
    assert "alice" not in told
