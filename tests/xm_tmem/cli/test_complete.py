# SPDX-License-Identifier: GPL-2.0-only
"""What `xm __complete` answers a shell: quickly, from a short cache, and never with an error."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.xm_tmem.cli.conftest import Host, Xm
from xm_tmem.backends import registry
from xm_tmem.cli import complete


@pytest.fixture
def asked(xm: Xm, hosts: dict[str, Host]) -> dict[str, Host]:
    """The models behind the connections, with the connecting replaced as `xm` has it."""
    return hosts


def test_names_and_ids_with_what_they_stand_for(asked: dict[str, Host], environ: dict[str, str]) -> None:
    lines = complete.domain_words("model:old", environ).splitlines()
    assert lines[2:4] == ["web\tdomain 1", "1\tweb"]
    assert len(lines) == 8


def test_the_answer_is_kept_for_a_moment_and_no_longer(
    asked: dict[str, Host], environ: dict[str, str]
) -> None:
    first = complete.domain_words("model:old", environ)
    asked["model:old"].names[1] = "renamed"
    assert complete.domain_words("model:old", environ) == first
    file = complete.cache_file("model:old", environ)
    old = time.time() - complete.CACHE_SECONDS - 1
    os.utime(file, (old, old))
    assert "renamed" in complete.domain_words("model:old", environ)


def test_a_host_by_ssh_is_not_waited_for(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "connect", lambda uri, settings: pytest.fail("connected"))
    assert complete.domain_words("xen+ssh://root@far/", environ) == ""


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["domains", "model:nosuch"], ["domains", "\x00:"], ["domains"]]
)
def test_there_is_never_an_error(
    words: list[str], environ: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environ["XDG_RUNTIME_DIR"] = environ["XDG_STATE_HOME"] = str(tmp_path)
    assert complete.answer(words, environ) == 0
    assert capfd.readouterr() == ("", "")


def test_names_that_would_break_a_line_do_not(asked: dict[str, Host], environ: dict[str, str]) -> None:
    asked["model:old"].names.update({1: "a\tb\nc", 2: "\x1b[2J"})
    text = complete.domain_words("model:old", environ)
    assert "\x1b" not in text
    assert all(line.count("\t") == 1 for line in text.splitlines())
    assert len(text.splitlines()) == 8
