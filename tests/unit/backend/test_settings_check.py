"""Settings that would end or freeze a process, found before a native client is made."""

import os

import pytest

from kafkaroute.backend.settings_check import unfit_setting


@pytest.mark.parametrize("value", ["", " ", "\t\n"])
def test_a_group_needs_a_name(value):
    assert unfit_setting({"group.id": value}) == "group.id is empty: a group needs a name"
    assert unfit_setting({"group.id": "g"}) is None


def test_what_is_cut_at_a_nul_is_refused():
    wrong = unfit_setting({"acks": "all", "sasl.password": "secret\0more"})
    assert wrong is not None
    assert wrong.startswith("sasl.password holds a NUL")
    assert "secret" not in wrong


def test_a_client_id_that_librdkafka_cuts_in_the_middle_of_a_character():
    assert "client.id" in (unfit_setting({"client.id": "ü" * 49}) or "")
    assert unfit_setting({"client.id": "ü" * 48}) is None
    assert unfit_setting({"client.id": "u" * 5000}) is None


def test_servers_that_librdkafka_cuts_in_the_middle_of_a_character():
    long, short = "ü" * 29, "ü" * 28
    assert "bootstrap.servers" in (unfit_setting({"bootstrap.servers": f"a:1,{long}"}) or "")
    assert unfit_setting({"bootstrap.servers": f"{short},{short},{short}"}) is None
    assert unfit_setting({"bootstrap.servers": "u" * 5000}) is None


@pytest.mark.parametrize("key", ["group.id", "client.id", "sasl.password"])
def test_half_a_character_is_no_text(key):
    assert unfit_setting({key: "\ud83d"}) == f"{key} holds half a character (a lone surrogate)"
    assert unfit_setting({"\ud83d": key}) == (
        "a setting's name holds half a character (a lone surrogate)"
    )


@pytest.mark.parametrize("key", ["ssl.ca.location", "ssl.crl.location", "ssl.key.location"])
def test_only_files_are_read(key, tmp_path):
    pipe, file, big = tmp_path / "pipe", tmp_path / "file", tmp_path / "big"
    os.mkfifo(pipe)
    file.write_text("x")
    with big.open("wb") as out:
        out.truncate(17 * 1024 * 1024)
    assert unfit_setting({key: str(pipe)}) == f"{key} names a pipe or a device, not a file"
    assert unfit_setting({key: "/dev/null"}) == f"{key} names a pipe or a device, not a file"
    assert unfit_setting({key: str(big)}) == f"{key} names a file of more than 16 MB"
    assert unfit_setting({key: str(file)}) is None
    assert unfit_setting({key: str(tmp_path / "none")}) is None  # the client tells it better
    read, write = os.pipe()
    try:
        assert "a pipe" in (unfit_setting({key: f"/proc/self/fd/{read}"}) or "")
    finally:
        os.close(read)
        os.close(write)


def test_authorities_may_lie_in_a_directory(tmp_path):
    assert unfit_setting({"ssl.ca.location": str(tmp_path)}) is None
    wrong = unfit_setting({"ssl.key.location": str(tmp_path)})
    assert wrong == "ssl.key.location names a directory, not a file"


def test_settings_that_are_no_text_are_left_alone():
    assert unfit_setting({"group.id": 7, "on_delivery": print, "acks": -1}) is None
