"""What a catalog's answer may set in a Kafka client that runs inside the application.

A catalog answers with client settings, and some settings are powers: librdkafka loads libraries
(``plugin.library.paths``), runs a shell (``sasl.kerberos.kinit.cmd``), reads files and posts them
(``sasl.oauthbearer.assertion.file``), or asks the machine's cloud for an identity
(``sasl.oauthbearer.metadata.authentication.type``). None of that is needed to say where a channel
lives, so an answer that contains it is refused as a whole, unless the application allows the key
by name. Each key of librdkafka 2.16's CONFIGURATION.md was decided on; the reasons stand below.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .backend.settings_keys import canonical_key, is_callback_key
from .errors import ConfigurationError, RouteRejected
from .peer_proof import ENCRYPTED, brings_secret, is_off, names_weak_ciphers, weakened
from .route import Route

__all__ = ["Policy", "overridden_security_keys"]

#: Refused by name.
_DENIED = frozenset(
    {
        # Loads libraries into the process.
        "plugin.library.paths",
        "ssl.providers",
        "interceptors",
        # Runs a command through the shell.
        "sasl.kerberos.kinit.cmd",
        # Trust for, and addresses of, the places that get the client's OAuth secrets.
        "https.ca.location",
        "https.ca.pem",
        # Writes a file anywhere.
        "offset.store.path",
        # Floods the log, with protocol details of the login in it.
        "debug",
        # Objects of the application, not settings.
        "opaque",
        "logger",
        "default.topic.config",
        "key.serializer",
        "key.deserializer",
        "value.serializer",
        "value.deserializer",
        # Signals to the process's own threads.
        "internal.termination.signal",
        # Java's names, for backends over a JVM: each of them names a class to load.
        "sasl.jaas.config",
        "metric.reporters",
        "security.providers",
        # confluent-kafka's schema registry client: a function to import, an address to log in at.
        "bearer.auth.custom.provider.function",
        "bearer.auth.issuer.endpoint.url",
    }
)
#: Refused by the way they begin.
_DENIED_PREFIXES = ("ssl.engine.", "test.mock.", "interceptor.", "config.providers", "internal.")
#: Refused by the way they end: names of classes.
_DENIED_SUFFIXES = (".class", ".classes")

#: Of ``sasl.oauthbearer.*`` only these: the others name files to read, addresses to call, or a
#: cloud whose identity would be sent to the broker that the answer names.
_OAUTH = "sasl.oauthbearer."
_OAUTH_ALLOWED = frozenset(
    _OAUTH + name
    for name in (
        "config",
        "method",
        "client.id",
        "client.secret",
        "client.credentials.client.id",
        "client.credentials.client.secret",
        "scope",
        "extensions",
        "grant.type",
        "sub.claim.name",
        "assertion.algorithm",
        "assertion.claim.aud",
        "assertion.claim.exp.seconds",
        "assertion.claim.iss",
        "assertion.claim.jti.include",
        "assertion.claim.nbf.seconds",
        "assertion.claim.sub",
    )
)

#: The only settings of librdkafka with an underscore that are plain values; every other one is a
#: callback or a pointer (``ssl_key``, ``default_topic_conf``, ``rebalance_cb``), as are all of
#: kafka-python's keyword arguments.
_PLAIN_UNDERSCORED = frozenset({"log_level"})

#: librdkafka writes these values into kinit's command line, which a shell then reads.
_IN_A_SHELL = frozenset(
    {"sasl.kerberos.principal", "sasl.kerberos.keytab", "sasl.kerberos.service.name"}
)
_SHELL_SAFE = re.compile(r"[A-Za-z0-9._/@:+=-]*\Z")


@dataclass(frozen=True, slots=True)
class Policy:
    """What an answer may set.

    Where the application brings a secret of its own, an answer that weakens how the peer is proven
    is refused, too (docs/security.md).

    Attributes:
        allow: settings that are allowed although they are refused by default.
        require_tls: refuse routes whose connections are not encrypted and authenticated.
    """

    allow: frozenset[str] = frozenset()
    require_tls: bool = False

    def __post_init__(self) -> None:
        allowed = frozenset(canonical_key(key) for key in self.allow)
        object.__setattr__(self, "allow", allowed)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Policy:
        """A policy from ``{"allow": [key, …], "require_tls": bool}``.

        Raises:
            ConfigurationError: unknown key, wrong type.
        """
        if unknown := sorted(str(key) for key in set(table) - {"allow", "require_tls"}):
            raise ConfigurationError(
                f"unknown policy setting {unknown[0]!r}; known: 'allow', 'require_tls'"
            )
        allow = table.get("allow", ())
        if isinstance(allow, str) or not isinstance(allow, Collection):
            raise ConfigurationError("policy setting 'allow' is a list of setting names")
        if not all(isinstance(key, str) for key in allow):
            raise ConfigurationError("policy setting 'allow' is a list of setting names")
        require_tls = table.get("require_tls", False)
        if not isinstance(require_tls, bool):
            raise ConfigurationError("policy setting 'require_tls' is true or false")
        return cls(frozenset(allow), require_tls)

    def check(self, route: Route, overrides: Mapping[str, Any] | None = None) -> None:
        """Refuse `route` where it sets what this policy forbids.

        Args:
            overrides: the application's own client settings, which win over the route's; they
                are not checked, but they may be what turns TLS on, or hold a secret.

        Raises:
            RouteRejected: names the channel and the settings, never their values.
        """
        found: list[str] = []
        own_settings = {canonical_key(key): value for key, value in (overrides or {}).items()}
        secret = brings_secret(own_settings)
        own = (route.connection, route.credentials, route.configuration)
        parts: list[tuple[str, tuple[Mapping[str, Any], ...]]] = [("", own)]
        for place in route.previous:
            names = ("connection", "credentials", "configuration")
            parts.append(("previous: ", tuple(place.get(name) or {} for name in names)))
        for label, tables in parts:
            found += [label + key for key in self._forbidden(tables)]
            if secret:
                found += [label + key for key in weakened(tables, own_settings, self.allow)]
            if self.require_tls:
                found += [
                    label + reason for reason in self._unencrypted((*tables, overrides or {}))
                ]
        if route.schema_registry is not None:
            registry = route.schema_registry
            found += ["schema_registry: " + key for key in self._forbidden((registry,))]
            url = registry.get("url", "")
            if self.require_tls and any(
                not part.strip().lower().startswith("https://") for part in url.split(",")
            ):
                found.append("schema_registry: url (not https)")
        if found:
            raise RouteRejected(
                f"the catalog's answer for {route.channel} sets what the policy forbids: "
                f"{', '.join(dict.fromkeys(found))}"
            )

    def _forbidden(self, tables: Iterable[Mapping[str, Any]]) -> list[str]:
        found = []
        for table in tables:
            for key, value in table.items():
                name = canonical_key(key)
                if name in self.allow:
                    continue
                if _is_denied(name):
                    found.append(_shown(key))
                elif name in _IN_A_SHELL and not _SHELL_SAFE.match(str(value)):
                    found.append(f"{_shown(key)} (characters that a shell would act on)")
        return found

    def _unencrypted(self, tables: Iterable[Mapping[str, Any]]) -> list[str]:
        merged: dict[str, Any] = {}
        for table in tables:
            merged.update((canonical_key(key), value) for key, value in table.items())
        found = []
        protocol = merged.get("security.protocol")
        if protocol is None:
            found.append("security.protocol (missing: plaintext)")
        elif str(protocol).strip().upper() not in ENCRYPTED:
            found.append("security.protocol (not SSL or SASL_SSL)")
        for name, value in merged.items():
            if name in self.allow:
                continue
            if is_off(name, value):
                found.append(f"{name} (off)")
            elif name == "ssl.cipher.suites" and names_weak_ciphers(value):
                found.append(f"{name} (without encryption or authentication)")
        return found


def overridden_security_keys(route: Route) -> list[str]:
    """Names of login settings that the profile (``configuration``) changes after the credentials.

    The existing service merges profiles last, so that a profile with ``security.protocol: SSL``
    silently undoes ``SASL_SSL``. That is legal, and almost never meant.
    """
    before: dict[str, Any] = {}
    for table in (route.connection, route.credentials):
        before.update((canonical_key(key), value) for key, value in table.items())
    after = {canonical_key(key): value for key, value in route.configuration.items()}
    return sorted(
        key
        for key in before.keys() & after.keys()
        if (key == "security.protocol" or key.startswith("sasl.")) and before[key] != after[key]
    )


def _is_denied(name: str) -> bool:
    if name in _DENIED or is_callback_key(name):
        return True
    if name.startswith(_DENIED_PREFIXES) or name.endswith(_DENIED_SUFFIXES):
        return True
    if name.startswith(_OAUTH):
        return name not in _OAUTH_ALLOWED
    return "_" in name and name not in _PLAIN_UNDERSCORED


def _shown(key: str) -> str:
    # A key is the catalog's text: keep it from breaking a log line.
    return key if key.isprintable() and len(key) <= 80 else repr(key[:80])
