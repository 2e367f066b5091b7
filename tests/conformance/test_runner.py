# SPDX-License-Identifier: GPL-2.0-only
"""The runner notices what it is there to notice: each altered result of a trace that the model itself made."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.__main__ import main
from tests.conformance.difference import listing_differences
from tests.conformance.generate import make_trace
from tests.conformance.replay import replay
from tests.conformance.trace import Operation, write_trace

Test = Callable[[Operation], bool]
Alteration = Callable[[Operation], object]


@pytest.fixture(scope="module", params=["4.3", "4.12"])
def trace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / f"{request.param}.jsonl.gz"
    make_trace(path, request.param, "pressure", seed=5, count=1500, boot=frozenset(["compress"]))
    return path


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def altered(trace: Path, wanted: Test, alteration: Alteration) -> tuple[Path, int]:
    """A copy of `trace` in which the first operation beyond 500 that is `wanted` was altered, and its number."""
    lines = lines_of(trace)
    number = next(number for number, line in enumerate(lines) if number > 500 and wanted(line))
    alteration(lines[number])
    path = trace.with_name("altered.jsonl.gz")
    write_trace(path, lines[0], lines[1:])
    return path, number


def is_(name: str, **results: int) -> Test:
    return lambda operation: operation["op"] == name and results.items() <= operation.items()


def is_long_listing(operation: Operation) -> bool:
    return "Et:" in operation.get("out", "")


def bump(name: str) -> Alteration:
    return lambda operation: operation.update({name: operation[name] + 1})


@pytest.mark.parametrize(
    ("wanted", "alteration", "said"),
    [
        (is_("put", ret=1), bump("ret"), "ret: expected 2, got 1"),
        (is_("get", ret=1), bump("crc"), "crc: expected "),
        (is_("get", ret=1), lambda op: op.pop("crc"), "crc: expected null, got "),
        (is_("stat"), bump("avail"), "avail: expected "),
        (is_("stat"), lambda op: op["doms"].update({"0": [1, 2, 3]}), 'doms: expected {"0":[1,2,3]'),
        (is_("stat"), lambda op: op["mempool"].reverse(), "mempool: expected "),
        (is_long_listing, lambda op: op.update(out=op["out"].replace("Et:", "Et:1")), "G Et: expected 1"),
    ],
)
def test_altered_result_is_noticed(trace: Path, wanted: Test, alteration: Alteration, said: str) -> None:
    path, number = altered(trace, wanted, alteration)
    outcome = replay(path)
    assert [divergence.number for divergence in outcome.divergences] == [number]
    assert outcome.operations == number  # it stops there
    assert said in str(outcome.divergences[0])
    assert "the 20 operations before it:" in str(outcome.divergences[0])


def test_altered_argument_is_noticed(trace: Path) -> None:
    path, number = altered(trace, is_("put", ret=1), lambda op: op.update(gfn=1 << 40))
    assert replay(path).divergences[0].number == number


def test_keep_going_shows_more(trace: Path) -> None:
    path, number = altered(trace, is_("stat"), bump("avail"))
    lines = lines_of(path)
    bump("tmem_list")(lines[number])
    bump("ret")(lines[number + 1])
    write_trace(path, lines[0], lines[1:])
    outcome = replay(path, keep_going=5)
    assert [divergence.number for divergence in outcome.divergences] == [number, number + 1]
    assert outcome.operations == len(lines) - 1


def test_model_that_raises_diverges(trace: Path) -> None:
    path, number = altered(trace, is_("put", ret=1), lambda op: op.update(d=99))
    (divergence,) = replay(path).divergences
    assert divergence.number == number
    assert 'raised: expected null, got "KeyError' in str(divergence)


def test_same_seed_gives_the_same_trace(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_trace(tmp_path / name, "4.3", "mixed", seed=1, count=300, boot=frozenset(["dedup", "tze"]))
    make_trace(tmp_path / "c", "4.3", "mixed", seed=2, count=300)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_sums_and_exit_status(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    total = len(lines_of(trace)) - 1
    assert main([str(trace), str(trace)]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last == f"2 traces, {2 * total} operations, 0 divergences"
    path, number = altered(trace, is_("put", ret=1), bump("ret"))
    assert main([str(path)]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == f"altered.jsonl.gz: {number} operations, 1 divergences"
    assert last == f"1 traces, {number} operations, 1 divergences"


HEADER = '{"format":"tmem-trace/1","profile":"4.3","boot":{},"host_pages":9}\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a tmem-trace/1 file"),
        ("text", "Expecting value"),
        ('{"format":"tmem-trace/1"}\n', "its header is damaged"),
        (HEADER + "{}\n", "operation 1 has no op"),
        (HEADER.replace("4.3", "5"), "Xen 5 is not modelled"),
        (HEADER + '{"op":"x"}\n', "operation 1: no such operation: 'x'"),
    ],
    ids=["empty", "text", "header", "no op", "release", "unknown op"],
)
def test_damaged_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    path = tmp_path / "damaged.jsonl.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert main([str(path)]) == 2
    assert complaint in capsys.readouterr().err


def test_file_that_is_not_compressed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plain.jsonl.gz"
    path.write_text(HEADER)
    assert main([str(path)]) == 2
    assert "Not a gzipped file" in capsys.readouterr().err


def test_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.jsonl.gz")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_listing_differences_name_line_and_tag() -> None:
    expected = "G=Tt:1,Te:0\nC=CI:1,ww:0\nP=CI:1,PI:0,Pc:4\nS=SI:0,SC:1,SC:2\nS=SI:0,SC:3\nT\n"
    got = "G=Tt:2,Te:0\nC=CI:1,ww:0\nP=CI:1,PI:0,Pc:5\nS=SI:0,SC:1,SC:4\nS=SI:0,SC:3\nP=CI:2,PI:0,Pc:1\nT\n"
    assert listing_differences(expected, got) == [
        "G Tt: expected 1, got 2",
        "P CI:1 PI:0 Pc: expected 4, got 5",
        "S SI:0 SC #2: expected 2, got 4",
        "P CI:2 PI:0 CI: expected none, got 2",
        "P CI:2 PI:0 PI: expected none, got 0",
        "P CI:2 PI:0 Pc: expected none, got 1",
    ]
