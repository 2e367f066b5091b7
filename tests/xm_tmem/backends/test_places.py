# SPDX-License-Identifier: GPL-2.0-only
"""Where a model host lives: paths that stay in private directories, whatever it is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypervisor_model.public.places import (
    PlaceError,
    check_name,
    make_private_directory,
    socket_path,
    state_directory,
)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "-x", ".hidden", "a b", "a\0b", "é", "x" * 65]
)
def test_names_that_could_lead_elsewhere_are_refused(name: str) -> None:
    for use in (check_name, socket_path, state_directory):
        with pytest.raises(PlaceError):
            use(name)


def test_the_socket_is_in_the_runtime_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")
    assert socket_path("lab-1.b") == "/tmp/xm-tmem/lab-1.b.sock"
    for unusable in ("", "relative", str(tmp_path / "absent")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", unusable)
        monkeypatch.setenv("XDG_STATE_HOME", "/var/tmp")
        assert socket_path("lab") == "/var/tmp/xm-tmem/run/lab.sock"
    assert state_directory("lab") == "/var/tmp/xm-tmem/lab"


def test_a_path_too_long_for_a_socket_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/" + "d" * 100)
    with pytest.raises(PlaceError, match="XDG_RUNTIME_DIR"):
        socket_path("lab")


def test_the_directory_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    make_private_directory(str(path))
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o777)
    make_private_directory(str(path))
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_is_another_users_or_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(PlaceError):
        make_private_directory(str(link))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(PlaceError):
        make_private_directory(str(tmp_path))
