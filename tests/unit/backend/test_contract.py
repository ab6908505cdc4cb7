"""The contract for backends: what is a must, and what is for speed alone."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from kafkaroute.backend import contract, speed
from kafkaroute.backend.contract import Backend, BackendConsumer, BackendProducer

#: What each class of speed.py has of its own; poll() is the plain way of the consumer's.
FOR_SPEED = {
    (BackendProducer, speed.ProducerSpeed): {"native_sender"},
    (BackendConsumer, speed.ConsumerSpeed): {"ready", "fetched"},
}


def methods(cls):
    return {
        name: value
        for name, value in vars(cls).items()
        if inspect.isfunction(value) and (not name.startswith("_") or name == "__len__")
    }


@pytest.mark.parametrize(
    "cls", [Backend, BackendProducer, BackendConsumer, speed.ProducerSpeed, speed.ConsumerSpeed]
)
def test_every_method_says_what_it_does(cls):
    assert [name for name, method in methods(cls).items() if not method.__doc__] == []


@pytest.mark.parametrize(("must", "may"), FOR_SPEED)
def test_what_is_for_speed_stands_apart_and_none_of_it_is_a_must(must, may):
    extra = FOR_SPEED[must, may]
    assert issubclass(must, may)
    assert extra <= set(methods(may))
    assert not extra & set(methods(must))
    assert not extra & must.__abstractmethods__


def test_a_backend_of_a_third_party_needs_none_of_it(monkeypatch):
    """One that passes the conformance suite without."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "third_party_backend" / "src")
    from kafkaroute_memory.consumer import MemoryConsumer
    from kafkaroute_memory.producer import MemoryProducer

    assert MemoryProducer.native_sender is speed.ProducerSpeed.native_sender
    assert MemoryConsumer.ready is speed.ConsumerSpeed.ready
    assert MemoryConsumer.fetched is speed.ConsumerSpeed.fetched


def test_documents_find_the_names_in_the_contract():
    assert contract.NativeSender is speed.NativeSender
