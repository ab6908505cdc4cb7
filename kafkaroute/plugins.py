"""How plug-ins are listed without importing them, and one is imported when it is needed."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from threading import Lock
from typing import Any

from .errors import BackendBroken, BackendNotFound, PluginBroken, PluginNotFound

__all__ = ["BACKENDS", "BUILT_IN", "CATALOGS", "SECRETS", "Plugin", "installed", "load_plugin"]

BACKENDS = "kafkaroute.backends"
CATALOGS = "kafkaroute.catalogs"
SECRETS = "kafkaroute.secrets"

#: Built-in backends, which are distributions of their own: name → extra of kafkaroute. The first is
#: taken where several backends are installed and none is configured.
BUILT_IN = {"confluent-kafka": "confluent", "kafka-python": "kafka-python"}
_KINDS = {BACKENDS: "backend", CATALOGS: "catalog scheme", SECRETS: "secret store"}
_loading = Lock()


@dataclass(frozen=True, slots=True)
class Plugin:
    """One installed entry point; `value` is ``module:attribute``, not yet imported."""

    name: str
    value: str
    distribution: str
    version: str


def installed(group: str) -> list[Plugin]:
    """Every entry point of `group`, by name; imports none of them."""
    found = {_plugin(entry) for entry in entry_points(group=group)}
    return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution))


def _plugin(entry: EntryPoint) -> Plugin:
    dist = entry.dist
    return Plugin(
        entry.name,
        entry.value,
        dist.name if dist is not None else "unknown distribution",
        dist.version if dist is not None else "?",
    )


def _broken(group: str) -> type[PluginBroken]:
    return BackendBroken if group == BACKENDS else PluginBroken


def _the_one(group: str, name: str) -> EntryPoint:
    kind = _KINDS.get(group, "plug-in")
    candidates = list(entry_points(group=group, name=name))
    if not candidates:
        names = ", ".join(sorted({plugin.name for plugin in installed(group)})) or "none"
        text = f"no {kind} {name!r} is installed; installed: {names}"
        if group == BACKENDS and (extra := BUILT_IN.get(name)):
            text += f". Install it with: pip install {shlex.quote(f'kafkaroute[{extra}]')}"
        raise (BackendNotFound if group == BACKENDS else PluginNotFound)(text)
    if len({entry.value for entry in candidates}) > 1:
        owners = ", ".join(sorted({_owner(entry) for entry in candidates}))
        raise _broken(group)(
            f"{kind} {name!r} is provided more than once: {owners}; uninstall all but one"
        )
    return candidates[0]


def _owner(entry: EntryPoint) -> str:
    plugin = _plugin(entry)
    return f"{plugin.distribution} {plugin.version}"


@cache
def _load(group: str, name: str) -> Any:
    entry = _the_one(group, name)
    # Deferred: stevedore costs more to import than the rest of the core.
    from stevedore.named import NamedExtensionManager

    class OnlyThis(NamedExtensionManager):  # type: ignore[misc]  # no types installed
        """stevedore remembers what was installed when it first looked (in this process, and in a
        file of the user's), so a plug-in that came later would be missing."""

        def list_entry_points(self) -> list[EntryPoint]:
            return [entry]

    def refuse(_manager: object, _entry: object, error: BaseException) -> None:
        # Without this stevedore logs the cause and goes on with nothing.
        raise _broken(group)(
            f"{_KINDS.get(group, 'plug-in')} {name!r} of {_owner(entry)} "
            f"({entry.value}) does not load: {type(error).__name__}: {error}"
        ) from error

    try:
        manager = OnlyThis(group, [name], on_load_failure_callback=refuse)
    except (AssertionError, SystemExit) as error:  # stevedore lets these pass
        refuse(None, entry, error)
    return manager[name].plugin


def load_plugin(group: str, name: str) -> Any:
    """Import the plug-in `name` of the entry-point group `group` and return it (once a process).

    Raises:
        PluginNotFound: not installed; lists what is, and how to install a built-in one.
        PluginBroken: it does not import, or two distributions provide it.
            Of a backend: BackendNotFound and BackendBroken.
    """
    with _loading:
        return _load(group, name)
