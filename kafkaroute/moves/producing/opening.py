"""Whether a new place can be written, found out before anything else changes."""

from __future__ import annotations

from ...errors import KafkarouteError
from ...route import Route
from .link import Link

__all__ = ["refusal_of"]

#: Seconds that a new place has to answer one question.
_TIMEOUT = 2.0


def refusal_of(link: Link, route: Route) -> str | None:
    """Why `link` cannot take over `route` now; None when its cluster answers for the topic."""
    try:
        link.client.poll(0)  # log lines and errors want to be served
        answer = link.client.list_topics(route.topic, _TIMEOUT)
    except KafkarouteError as error:
        return f"no answer: {error}"
    if route.cluster_id is not None and answer.cluster_id not in (None, route.cluster_id):
        return f"the cluster is {answer.cluster_id}, the route says {route.cluster_id}"
    topic = answer.topics.get(route.topic)
    if topic is not None and topic.error is not None:
        return f"topic {route.topic}: {topic.error.name()}"
    return None
