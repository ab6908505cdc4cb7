"""Finds a backend by name and checks that it fits this version of the contract."""

from __future__ import annotations

from threading import Lock

from ..errors import BackendBroken, ConfigurationError
from ..plugins import BACKENDS, BUILT_IN, installed, load_plugin
from .contract import CONTRACT_VERSION, Backend

__all__ = ["choose_backend", "get_backend"]

_instances: dict[str, Backend] = {}
_lock = Lock()


def choose_backend(name: str | None) -> str:
    """The backend's name: the configured one, else the only one installed, else the one that
    :data:`kafkaroute.plugins.BUILT_IN` prefers.

    Raises:
        ConfigurationError: none is configured, and none or several others are installed.
    """
    if name:
        return name
    names = sorted({plugin.name for plugin in installed(BACKENDS)})
    if len(names) == 1:
        return names[0]
    if (preferred := next(iter(BUILT_IN))) in names:
        return preferred
    if not names:
        extras = " or ".join(f"'kafkaroute[{extra}]'" for extra in BUILT_IN.values())
        raise ConfigurationError(f"no backend is installed: pip install {extras}")
    raise ConfigurationError(
        f"choose a backend (setting 'backend' or KAFKAROUTE_BACKEND): {', '.join(names)}"
    )


def get_backend(name: str) -> Backend:
    """The backend `name`, imported on first use, one instance a process.

    Raises:
        BackendNotFound, BackendBroken: see :func:`kafkaroute.plugins.load_plugin`.
    """
    with _lock:
        backend = _instances.get(name)
        if backend is None:
            backend = _instances[name] = _instantiate(name)
        return backend


def _instantiate(name: str) -> Backend:
    factory = load_plugin(BACKENDS, name)
    owner = next(
        (f"{p.distribution} {p.version}" for p in installed(BACKENDS) if p.name == name), "?"
    )
    try:
        backend = factory()
    except Exception as error:
        raise BackendBroken(
            f"backend {name!r} of {owner} cannot be set up: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(backend, Backend):
        raise BackendBroken(
            f"backend {name!r} of {owner} is no kafkaroute.backend.contract.Backend "
            f"but {type(backend).__name__}"
        )
    if backend.contract_version != CONTRACT_VERSION:
        age = "older" if backend.contract_version < CONTRACT_VERSION else "newer"
        raise BackendBroken(
            f"backend {name!r} of {owner} was written for contract {backend.contract_version}, "
            f"{age} than this kafkaroute's {CONTRACT_VERSION}: "
            f"upgrade {'it' if age == 'older' else 'kafkaroute'}"
        )
    return backend
