# SPDX-License-Identifier: GPL-2.0-only
"""A model host of a test's own, and one that the tests of a module share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hypervisor_model import launch
from hypervisor_model.launch import NotRunning
from tests.hypervisor_model.hosts import Host


@contextmanager
def place_for_a_host() -> Iterator[Host]:
    """A host not yet started, in directories of its own."""
    # Not tmp_path: a socket's path has room for 107 characters.
    directory = Path(tempfile.mkdtemp(prefix="xm"))
    (directory / "run").mkdir()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(directory / "run"))
            patch.setenv("XDG_STATE_HOME", str(directory / "state"))
            host = Host(directory)
            yield host
            try:
                launch.stop(host.name, discard=True)
            except NotRunning:
                pass
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def host() -> Iterator[Host]:
    with place_for_a_host() as host:
        yield host


@pytest.fixture(scope="module")
def running() -> Iterator[Host]:
    """For tests that leave it as it was."""
    with place_for_a_host() as host:
        host.start()
        yield host
