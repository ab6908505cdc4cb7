"""A place: where one native client's messages go or come from; what two of them have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .backend.settings_keys import ConfigValue
from .events import Spot
from .messages import ClusterMetadata, KafkaError
from .route import Route

__all__ = ["Place", "check_place", "login_change", "spot_of"]

_LOGIN = ("sasl.username", "sasl.password")


class Place:
    """One native client's identity: the backend and the merged configuration.

    Messages and partitions carry it. In another process it identifies nothing, and its configuration
    holds secrets and callables: it is pickled as None.
    """

    __slots__ = ("_key", "backend", "config")

    def __init__(self, backend: str, config: Mapping[str, ConfigValue]) -> None:
        self.backend = backend
        self.config = config
        self._key = (backend, frozenset(config.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _of_another_process, ()

    def __copy__(self) -> Place:
        return self

    def __deepcopy__(self, _memo: object) -> Place:
        return self  # it does not change

    def __repr__(self) -> str:
        # The configuration holds secrets; where it points to is enough to tell places apart.
        return f"<Place {self.config.get('bootstrap.servers')} by {self.backend}>"


def _of_another_process() -> None:
    """What a Place is where it was not made."""


def spot_of(
    place: Place,
    topic: str,
    *,
    route: Route | None = None,
    cluster_id: str | None = None,
) -> Spot:
    """`topic` at `place`, as people name it.

    Args:
        route: the answer that names it, where there is one.
        cluster_id: what the cluster itself told; else the route's.
    """
    servers = str(place.config.get("bootstrap.servers", ""))
    if route is None:
        return Spot(servers, topic, cluster_id)
    return Spot(servers, topic, cluster_id or route.cluster_id, route.generation)


def login_change(old: Place, new: Place) -> tuple[str, str] | None:
    """User name and password of `new` if these are all that differs from `old`."""
    if old.backend != new.backend:
        return None
    rest = [
        {key: value for key, value in place.config.items() if key not in _LOGIN}
        for place in (old, new)
    ]
    user, password = (new.config.get(key) for key in _LOGIN)
    if rest[0] != rest[1] or user is None or password is None:
        return None
    return str(user), str(password)


def check_place(
    answer: ClusterMetadata, topic: str, cluster_id: str | None, *, to_read: bool
) -> KafkaError | None:
    """What is wrong with a cluster's `answer` about `topic`; None where it is usable.

    Args:
        cluster_id: the one that the catalog promised, or None.
        to_read: the topic must be there; to write, it is enough that the cluster does not refuse
            it, which may create it with the first message.
    """
    if cluster_id is not None and answer.cluster_id not in {None, cluster_id}:
        text = f"the cluster is {answer.cluster_id}, not {cluster_id} as the catalog says"
        return KafkaError(KafkaError._CONFLICT, text)
    known = answer.topics.get(topic)
    if known is not None and known.error is not None:
        return known.error
    if to_read and (known is None or not known.partitions):
        return KafkaError(KafkaError._UNKNOWN_TOPIC, f"there is no topic {topic} there")
    return None
