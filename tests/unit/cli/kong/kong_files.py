"""Kong declarative files, as text."""

from __future__ import annotations

from pathlib import Path

import yaml

from kafkaroute.rules.answer import answer
from kafkaroute.rules.loader import parse_rules

DATA = Path(__file__).parents[2] / "data"
KONG = (DATA / "kong.yml").read_text()
PROFILE = ("config_profile", "durableWrite")
BAR = ("channel", "kafka://example.com/bar")
REQUIRED = "config_profile and channel query parameters are required"
TWO_HOSTS = "All channels must have the same scheme and host"


# Where the plug-in may stand.

CONFIG = {
    "inventory": {
        "kafka": [
            {
                "name": "only",
                "connection": {"bootstrap.servers": "b:1"},
                "routing_rules": [
                    {
                        "resolve_subject_by": {
                            "type": "lookup",
                            "lookup_key_function": "function(uri) return uri.path[1] end",
                            "lookup_table": {"bar": "t1"},
                        }
                    }
                ],
            }
        ]
    },
    "configuration_profiles": [{"name": "durableWrite", "configs": {"acks": "all"}}],
    "credentials": [{"consumer": "app", "name": "n", "value": {"sasl.username": "u"}}],
}
USERS = {"consumers": [{"username": "app", "basicauth_credentials": [{"username": "u1"}]}]}
USERS["consumers"][0]["basicauth_credentials"][0]["password"] = "p"
PLUGIN = {"name": "service-gateway", "config": CONFIG}


def changed(**more):
    return yaml.safe_dump({**USERS, "plugins": [{**PLUGIN, "config": {**CONFIG, **more}}]})


def with_rule(**rule):
    base = CONFIG["inventory"]["kafka"][0]
    later = {**base, "name": "later", "connection": {"bootstrap.servers": "c:1"}}
    first = {**base, "routing_rules": [{**base["routing_rules"][0], **rule}]}
    return changed(inventory={"kafka": [first, later]})


def topics(text, *channels):
    rules = parse_rules(text)
    found = []
    for channel in channels:
        status, body = answer(rules, "u1", [PROFILE, ("channel", f"kafka://h/{channel}")])
        found.append(dict(body["channel_mapping"]) if status == 200 else status)
    return found
