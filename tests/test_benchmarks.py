# SPDX-License-Identifier: GPL-2.0-only
"""Each benchmark runs at a tiny size and yields figures; goals, table and stored runs do what they say."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from pathlib import Path

import pytest

from benchmarks import (
    builds,
    content,
    guests,
    hosts,
    hot_path,
    kernel_tree,
    libc_copy,
    metadata,
    model_host,
    results,
    save_stream,
)
from benchmarks.__main__ import MARK, put_into
from benchmarks.figures import Figure, Goal, markdown, not_measured, table
from benchmarks.timing import in_turns, processes_in_turns, ratio

PURE = builds.Build("pure", builds.ROOT)


def test_goal_judges_the_ratio_or_the_value() -> None:
    slow = Figure("copy", 900.0, "ns", 3.0, "memcpy", Goal(2.5))
    assert slow.verdict == "MISS"
    assert dataclasses.replace(slow, goal=Goal(3.0)).verdict == "PASS"
    assert dataclasses.replace(slow, goal=Goal(1000, "ns")).verdict == "PASS"
    assert dataclasses.replace(slow, goal=Goal(1000, "ns", at_least=True)).verdict == "MISS"
    assert dataclasses.replace(slow, goal=None).verdict == ""
    assert not_measured("copy", "no libc").verdict == "-"


def test_table_shows_goal_verdict_note_and_last_run() -> None:
    figure = Figure("copy", 1234.5, "ns", 2.345, "memcpy", Goal(2.0), "by hand")
    last = {"copy": {"value": 1.0, "unit": "ns", "ratio": 1.5}}
    text = table([figure, not_measured("other", "by hand")], last)
    line = next(line for line in text.splitlines() if line.startswith("copy"))
    assert line.split() == [
        *("copy", "[1]", "1,234", "ns", "2.35", "x", "memcpy", "<=", "2", "x", "MISS", "1.50", "x")
    ]
    assert text.endswith("[1] by hand")


def test_runs_are_stored_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    assert results.last(quick=True) == {}
    run = results.run_of([Figure("copy", 1.0, "ns")], quick=True, load=(1.0, 1.0, 1.0))
    file = results.store(run)
    assert json.loads(file.read_text(encoding="utf-8"))["machine"]["processors"] > 0
    assert results.last(quick=True)["copy"]["value"] == 1.0
    assert results.last(quick=False) == {}


def test_a_document_keeps_what_stands_before_its_table(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"# Performance\n\n{MARK}\nan older table\n", encoding="utf-8")
    put_into(document, markdown([Figure("copy", 2.0, "ns", goal=Goal(1, "ns"))]))
    text = document.read_text(encoding="utf-8")
    assert text.startswith(f"# Performance\n\n{MARK}\n")
    assert text.splitlines()[-1] == "| copy | 2.00 ns |  |  | <= 1 ns | MISS |"
    assert "older" not in text


def test_acts_take_turns() -> None:
    done: list[str] = []

    def act(name: str, operations: int) -> int:
        done.append(name)
        return len([sum(range(100)) for _ in range(operations)])

    taken = in_turns({"one": lambda: act("one", 100), "two": lambda: act("two", 100)}, 20)
    assert sorted(done) == ["one"] * 20 + ["two"] * 20
    assert all(done.index(name) < 2 for name in ("one", "two"))
    assert all(ns > 0 for name in taken for ns in taken[name])


def test_ratio_is_taken_within_rounds() -> None:
    assert ratio([2.0, 40.0, 6.0], [1.0, 20.0, 2.0]) == 2.0


def test_a_longer_process_takes_longer() -> None:
    taken = processes_in_turns({"short": ("true",), "long": ("sleep", "0.05")}, 2)
    assert min(taken["long"].wall_ms) > 50
    assert len(taken["short"].cpu_ms) == 2


def test_a_libc_copy_takes_time_and_copies() -> None:
    copy = libc_copy.LibcCopy()
    copy.turn(1000)
    assert 10 < copy.take_mean_ns() < 100_000


def test_pure_build_is_measured_in_a_process_of_its_own() -> None:
    assert PURE.measure("builds") == {"name": "pure Python"}


def test_a_missing_build_is_said_to_be_missing(tmp_path: Path) -> None:
    _, compiled = builds.find(tmp_path)
    assert compiled.why_not.startswith("there is no compiled build")
    (line,) = metadata.figures((compiled,), quick=True)
    assert (line.verdict, line.note) == ("-", compiled.why_not)


def test_hot_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_path, "PAGES", 1024)
    monkeypatch.delenv(hot_path.YARDSTICK, raising=False)
    answer = hot_path.measure(rounds=1)
    assert {(mix["exact"], mix["kind"]) for mix in answer["mixes"]} >= {key[1:] for key in hot_path.GOALS}
    for mix in answer["mixes"]:
        assert min(mix["ns"].values()) > 0
        assert mix["copies"] == pytest.approx(
            sum(mix["ns"][name] for name in hot_path.OPERATIONS) / 4 / answer["copy_ns"], rel=0.9
        )
    assert answer["c_copies"] is None


def test_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "SMALL", 1024)
    answer = metadata.measure(pages=4096, operations=2048, large=2048, rounds=3)
    assert set(answer) == {"bytes", "copied_bytes", "growth", "flat_ns", "flat", "eviction_ns", "eviction"}
    assert answer["flat"] > 0
    assert answer["eviction"] > 0


def test_content() -> None:
    answer = content.measure(pages=1, rounds=1)
    for variant in ("4.12's", "4.3's"):
        assert set(answer[variant]) == {"text", "code", "random"}
        assert min(answer[variant].values()) > 0
    assert answer["dedup_us"] > 0


def test_guests_store_pages() -> None:
    answer = guests.measure(accesses=80_000, each=625, most=2, memory_mb=4, rounds=1)
    assert answer["operations"] > 1000
    assert set(answer["us"]) == {1, 2}
    assert answer["accesses_per_s"] > 0


def test_library_counts_the_same_misses() -> None:
    pytest.importorskip("libcachesim", reason="libcachesim is not installed")
    from benchmarks import library

    answer = library.measure(pages=600, rounds=3)
    ours, theirs = answer["misses"]
    assert ours == theirs > 0


def test_save_stream() -> None:
    answer = save_stream.measure(size_mb=1)
    assert min(answer["save_s"], answer["restore_s"], answer["pipe_s"]) > 0


def test_model_host_and_the_listings_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_host, "DOMAINS", 3)
    trips, _, listing = model_host.figures((PURE,), quick=True)
    assert trips.value is not None
    assert trips.value > 0
    assert listing.name == "LIST of 3 domains"
    with hosts.model_host(2) as environment:
        assert sum(line.startswith(b"P=") for line in hosts.raw_listing(environment).splitlines()) == 8


def test_a_built_kernel_tree_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include/big.h").write_bytes(bytes(5_000))
    (tmp_path / "include/small.h").write_bytes(b"")
    for name, headers in (("a", ["big", "small"]), ("b", ["big"]), ("c", [])):
        (tmp_path / f".{name}.o.cmd").write_text(
            f"cmd_{name}.o := gcc -c -o {name}.o {name}.c\n\nsource_{name}.o := {name}.c\n\n"
            f"deps_{name}.o := \\\n    $(wildcard include/config/x.h) \\\n"
            + "".join(f"  include/{header}.h \\\n" for header in headers)
            + f"\n{name}.o: $(deps_{name}.o)\n"
        )
    (tmp_path / ".d.o.cmd").write_text("cmd_d.o := gcc -c -o d.o d.S\n\nsource_d.o := d.S\n")
    sources = kernel_tree.read_tree(tmp_path)
    assert [len(source.headers) for source in sources] == [2, 1, 0]
    kernel_tree.print_headers(tmp_path, sources)
    printed = capsys.readouterr().out
    assert "3 sources include 1 headers each, 2 different ones of 1.50 pages" in printed
    assert re.search(r"never +0\.67\n +<= 1 +0\.33\n", printed)
    (tmp_path / "noise").write_bytes(random.Random(1).randbytes(4096))
    kernel_tree.print_compressed(
        "both", [tmp_path / "noise", tmp_path / "include/big.h", tmp_path / "missing"]
    )
    assert "33.3 % refused, 67 % in half a frame" in capsys.readouterr().out
    kernel_tree.print_compressed("nothing", [tmp_path / "missing"])
    assert capsys.readouterr().out == "pages of nothing: none found\n"


def test_only_a_compiler_of_a_kernel_tree_is_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    hostile = kernel_tree.Source(f"touch {made} -o x; true", frozenset())
    kernel_tree.print_heaps(tmp_path, [hostile], 1)
    assert not made.exists()
    assert "none of the sources" in capsys.readouterr().out
