"""What a sound rules file says that is probably not meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..backend.settings_keys import canonical_key, is_secret
from .model import ANY_CALLER, Cluster, Rules, Value
from .secrets.refs import is_reference
from .yaml_nodes import Node

__all__ = ["Warn", "warn_about"]

Warn = Callable[[Node, str], None]

_EVERYTHING = frozenset({".*", "(.*)"})
_REFERENCE = "{vault://env/"


def warn_about(root: Node, rules: Rules, environ: Mapping[str, str], warn: Warn) -> None:
    """Call `warn` with the place and the reason of each thing; `rules` were read from `root`."""
    sections = dict(root.entries())
    clusters = sections["clusters"].items()
    _never_reached(clusters, rules.clusters, warn)
    for node in clusters:
        _secrets(dict(node.entries())["connection"], environ, warn)
    for node in sections["profiles"].items():
        settings = dict(node.entries())["settings"]
        _secrets(settings, environ, warn)
    _profiles(sections["profiles"].items(), rules, warn)
    for node in sections["credentials"].items() if "credentials" in sections else ():
        _secrets(dict(node.entries())["values"], environ, warn)
    for node in sections["callers"].items() if "callers" in sections else ():
        _caller(dict(node.entries()), rules, environ, warn)


def _conditions(cluster: Cluster, number: int) -> frozenset[tuple[str, str]]:
    return frozenset(
        (predicate.part, predicate.pattern.pattern)
        for predicate in cluster.rules[number].predicates
        if predicate.pattern.pattern not in _EVERYTHING
    )


def _never_reached(nodes: list[Node], clusters: tuple[Cluster, ...], warn: Warn) -> None:
    """A rule that asks for all that an earlier one asks for, or more, never has its turn.

    An earlier cluster hides a later one only where no question by tags can pass it by.
    """
    seen: list[tuple[frozenset[tuple[str, str]], Cluster, Node]] = []
    for node, cluster in zip(nodes, clusters, strict=True):
        for number, rule in enumerate(dict(node.entries())["rules"].items()):
            asked = _conditions(cluster, number)
            for earlier, owner, place in seen:
                if earlier <= asked and cluster.tags.items() <= owner.tags.items():
                    warn(
                        rule,
                        f"never matches: {place.path} (line {place.line}) comes first and takes "
                        "all its channels",
                    )
                    break
            seen.append((asked, cluster, rule))


def _profiles(nodes: list[Node], rules: Rules, warn: Warn) -> None:
    """A profile is merged last, so it can undo what secures the connection."""
    secured: dict[str, set[Value]] = {}
    for values in (
        *(cluster.connection for cluster in rules.clusters),
        *(entry.values for entry in rules.credentials or ()),
    ):
        for key, value in values.items():
            secured.setdefault(canonical_key(key), set()).add(value)
    earlier: list[tuple[str, Mapping[str, str]]] = []
    for node, profile in zip(nodes, rules.profiles, strict=True):
        for key, child in dict(node.entries())["settings"].entries():
            values_before = secured.get(canonical_key(key), set()) - {profile.settings[key]}
            if canonical_key(key) == "security.protocol" and "SASL_SSL" in values_before:
                warn(child, "undoes SASL_SSL: a profile is merged after the credentials")
            elif values_before:
                warn(child, f"replaces {key!r} of the connection or the credentials")
        if any(
            name == profile.name and profile.tags.items() <= tags.items() for name, tags in earlier
        ):
            warn(node, "never chosen: an earlier profile of this name has all its tags")
        earlier.append((profile.name, profile.tags))


def _secrets(node: Node, environ: Mapping[str, str], warn: Warn) -> None:
    for key, child in node.entries():
        value = child.scalar() if child.is_scalar else None
        if is_reference(value):
            _unset(child, str(value), environ, warn)
        elif value and is_secret(key) and not key.endswith("username"):
            warn(child, "a secret in plain text: use a reference such as {vault://env/name}")


def _unset(node: Node, reference: str, environ: Mapping[str, str], warn: Warn) -> None:
    if not reference.startswith(_REFERENCE):
        return
    variable = reference.removeprefix(_REFERENCE).removesuffix("}").replace("-", "_").upper()
    if not environ.get(variable):
        state = "empty" if variable in environ else "not set"
        warn(node, f"the environment variable {variable} is {state} here")


def _caller(fields: dict[str, Node], rules: Rules, environ: Mapping[str, str], warn: Warn) -> None:
    password = fields.get("password")
    if password is not None:
        if is_reference(password.text()):
            _unset(password, password.text(), environ, warn)
        else:
            warn(
                password,
                "a password in plain text: use password_hash (`kafkaroute hash-password`) or a "
                "reference",
            )
    known = {entry.caller for entry in rules.credentials or ()}
    if rules.credentials is not None and not known & {fields["name"].text(), ANY_CALLER}:
        warn(fields["name"], "this caller has no credentials: it is answered 404")
