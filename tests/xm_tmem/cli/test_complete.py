# SPDX-License-Identifier: GPL-2.0-only
"""What `xm __complete` answers a shell: in time, from a short cache, and never with an error."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.xm_tmem.cli.conftest import Host, Xm
from xm_tmem.backends import registry
from xm_tmem.backends.interface import Backend
from xm_tmem.cli import complete
from xm_tmem.settings import Settings


@pytest.fixture
def asked(xm: Xm, hosts: dict[str, Host]) -> dict[str, Host]:
    """The models behind the connections, with connecting replaced as `xm` has it."""
    return hosts


def words(connection: str, environ: dict[str, str], seconds: float = 10) -> list[str]:
    return complete.domain_words(connection, environ, time.monotonic() + seconds).splitlines()


def age(connection: str, environ: dict[str, str], seconds: float) -> None:
    then = time.time() - seconds
    os.utime(complete.cache_file(connection, environ), (then, then))


def test_names_and_ids_with_what_they_stand_for(asked: dict[str, Host], environ: dict[str, str]) -> None:
    lines = words("model:old", environ)
    assert lines[2:4] == ["web\tdomain 1", "1\tweb"]
    assert len(lines) == 8


def test_an_answer_is_kept_for_a_moment_and_no_longer(
    asked: dict[str, Host], environ: dict[str, str]
) -> None:
    first = words("model:old", environ)
    asked["model:old"].names[1] = "renamed"
    assert words("model:old", environ) == first
    age("model:old", environ, complete.FRESH_SECONDS + 1)
    assert "renamed\tdomain 1" in words("model:old", environ)


def test_a_slow_host_is_not_waited_for_and_answers_the_next_time(
    asked: dict[str, Host], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = registry.connect

    def slow(uri: str | None, settings: Settings) -> Backend:
        time.sleep(0.5)
        return quick(uri, settings)

    monkeypatch.setattr(registry, "connect", slow)
    start = time.monotonic()
    assert words("model:old", environ, complete.BUDGET_SECONDS) == []
    assert time.monotonic() - start < 0.4
    file = Path(complete.cache_file("model:old", environ))
    end = time.monotonic() + 10
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert len(words("model:old", environ, complete.BUDGET_SECONDS)) == 8


def test_an_old_answer_is_better_than_none_but_not_for_ever(
    asked: dict[str, Host], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = words("model:old", environ)
    monkeypatch.setattr(registry, "connect", lambda uri, settings: time.sleep(60))
    age("model:old", environ, complete.FRESH_SECONDS + 1)
    assert words("model:old", environ, 0) == first
    age("model:old", environ, complete.USABLE_SECONDS + 1)
    assert words("model:old", environ, 0) == []


def test_a_host_by_ssh_is_not_asked(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("asked"))
    assert words("xen+ssh://root@far/", environ) == []


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["domains", "model:nosuch"], ["domains", "\x00:"], ["domains"]]
)
def test_there_is_never_an_error(
    arguments: list[str], environ: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environ["XDG_RUNTIME_DIR"] = environ["XDG_STATE_HOME"] = str(tmp_path)
    assert complete.answer(arguments, environ) == 0
    assert capfd.readouterr() == ("", "")


def test_names_that_would_break_a_line_do_not(asked: dict[str, Host], environ: dict[str, str]) -> None:
    asked["model:old"].names.update({1: "a\tb\nc", 2: "\x1b[2J"})
    lines = words("model:old", environ)
    assert len(lines) == 8
    assert all(line.isascii() or line.replace("\t", "").isprintable() for line in lines)
    assert not any("\x1b" in line or line.count("\t") != 1 for line in lines)
