# SPDX-License-Identifier: GPL-2.0-only
"""Settings: which source wins, where each value came from, and what is no setting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xm_tmem.errors import BadInput
from xm_tmem.settings import MAX_CONFIG_BYTES, SETTINGS, Settings, config_files, load, parse_yaml


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return str(path)


def test_without_files_and_variables_all_is_built_in() -> None:
    loaded = load({"XM_CONFIG": os.devnull})
    assert set(loaded.origins) == {setting.key for setting in SETTINGS}
    assert set(loaded.origins.values()) == {"built-in"}
    assert (loaded.connect, loaded.output, loaded.timeout, loaded.confirm) == ((), "auto", 10.0, True)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "output: yaml\nunits: pages\n")
    loaded = load({"XM_CONFIG": path, "XM_OUTPUT": "csv", "XM_UNITS": ""})
    assert (loaded.output, loaded.origins["output"]) == ("csv", "$XM_OUTPUT")
    assert (loaded.units, loaded.origins["units"]) == ("pages", path)


def test_a_key_without_a_value_leaves_the_setting_alone(tmp_path: Path) -> None:
    loaded = load({"XM_CONFIG": written(tmp_path, "output:\nunits: MiB\n")})
    assert (loaded.output, loaded.origins["output"], loaded.units) == ("auto", "built-in", "MiB")


def test_the_users_file_is_looked_for_after_the_systems() -> None:
    assert config_files({"HOME": "/h"}) == ("/etc/xm/config.yaml", "/h/.config/xm/config.yaml")
    assert config_files({"HOME": "/h", "XDG_CONFIG_HOME": "/c"})[1] == "/c/xm/config.yaml"
    assert config_files({"HOME": "/h", "XM_CONFIG": "/x"}) == ("/x",)


def test_connections_are_those_asked_for_or_those_configured_with_groups_spelt_out(tmp_path: Path) -> None:
    text = "connect: rack\ngroups:\n  rack: ['model:a', 'model:b']\n  one: 'model:c'\n"
    loaded = load({"XM_CONFIG": written(tmp_path, text)})
    assert loaded.connections() == ("model:a", "model:b")
    assert loaded.connections(("model:b", "rack", "one", "model:z")) == (
        "model:b",
        "model:a",
        "model:c",
        "model:z",
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour: never", "colour"),
        ("output: xml", "xml"),
        ("timeout: 0", "0"),
        ("timeout: .nan", "seconds"),
        ("timeout: .inf", "seconds"),
        ("timeout: 1e99", "seconds"),
        ("confirm: perhaps", "perhaps"),
        ("connect: [1]", "connection"),
        ("groups: [a]", "NAME"),
        ("groups: {a: 3}", "connection"),
        ("ssh: [a]", "text"),
        ("3: 4", "3"),
        ("- connect", "setting"),
        ("connect: {", "config.yaml:1"),
        ("a: b: c", "config.yaml:1"),
        ("x: !!python/name:os.system ''", "config.yaml"),
        ("\x00", "config.yaml"),
    ],
)
def test_what_is_no_setting_is_told_with_the_file(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        load({"XM_CONFIG": path})
    assert path in str(caught.value)
    assert told in str(caught.value)


def test_a_bad_variable_is_told_with_its_name() -> None:
    with pytest.raises(BadInput, match=r"\$XM_TIMEOUT"):
        load({"XM_CONFIG": os.devnull, "XM_TIMEOUT": "soon"})


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        load({"XM_CONFIG": str(tmp_path / "none")})
    with pytest.raises(BadInput, match="directory"):
        load({"XM_CONFIG": str(tmp_path)})
    big = tmp_path / "big"
    big.write_bytes(b"#" * (MAX_CONFIG_BYTES + 1))
    with pytest.raises(BadInput, match="at most"):
        load({"XM_CONFIG": str(big)})


def test_a_missing_home_or_a_home_that_is_a_file_is_no_error(tmp_path: Path) -> None:
    assert load({}).output == "auto"
    assert load({"HOME": written(tmp_path, "x")}).output == "auto"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_settings_or_an_error_of_ours(raw: bytes) -> None:
    try:
        Settings().read_mapping(parse_yaml(raw, "file"), "file")
    except BadInput:
        pass


def test_an_unknown_setting_is_told_which_there_are() -> None:
    with pytest.raises(BadInput, match=r"file: no setting is called 'foo': use connect, groups, .*, check$"):
        Settings().read_mapping({"foo": 1}, "file")
