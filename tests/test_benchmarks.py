# SPDX-License-Identifier: GPL-2.0-only
"""Each benchmark runs at a tiny size and yields figures; goals, table and stored runs do what they say."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import sys
from pathlib import Path

import pytest

from benchmarks import (
    builds,
    compiler_memory,
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
from hypervisor_model.guests.work import Touch
from hypervisor_model.guests.workloads.compile import Build, CompileShape

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


def test_only_a_compiler_of_a_kernel_tree_is_run_again(tmp_path: Path) -> None:
    made = tmp_path / "made"
    hostile = kernel_tree.Source(f"touch {made} -o x; true", frozenset())
    compiler_memory.compile_again(tmp_path, [hostile], tmp_path)
    assert not made.exists()


def test_of_the_compilers_parts_only_cc1_is_watched(tmp_path: Path) -> None:
    assert compiler_memory.watch(tmp_path, 1, ["false"]) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this kernel tells no page's use")
@pytest.mark.parametrize("number", [2, 3])
def test_what_a_process_uses_is_seen(tmp_path: Path, number: int) -> None:
    compiler = tmp_path / "cc1"
    compiler.symlink_to(sys.executable)
    # 32 MiB that grow and are then left alone, and some work on a few pages.
    program = (
        "heap = [b'%08d' % number * 1000 for number in range(4000)]\n"
        "for number in range(4000000): number += 1"
    )
    assert compiler_memory.watch(tmp_path, number, [str(compiler), "-c", program]) == 0
    stops = [compiler_memory.Stop(*each) for each in json.loads((tmp_path / f"{number}.json").read_text())]
    grown = [each for each in stops if each.anon >= 8_000]  # in the end it is given back
    assert stops[0].cpu_ns < grown[-1].cpu_ns
    assert min(each.anon_used for each in grown) < 4_000  # since they were marked
    marked = sum(each.is_marked for each in stops)
    assert marked == (len(stops) if number == 2 else -(-len(stops) // compiler_memory.LONG))
    pages = (tmp_path / f"{number}.pages").read_bytes()
    assert len(pages) == compiler_memory.SAMPLED * 4096


def test_use_of_a_heap_is_counted_by_window_and_part() -> None:
    stops = [
        compiler_memory.Stop(cpu, anon, used, 10, 5, marked)
        for cpu, anon, used, marked in (
            (0, 100, 100, True),
            (1_000, 150, 80, False),  # 50 of them are new: 30 of 100 in one step
            (2_000, 150, 100, True),  # 50 of 100 in two
            (24_000, 200, 200, False),
        )
    ]
    windows = list(compiler_memory.windows_of(stops))
    assert [(each.steps, each.part, each.size, each.used) for each in windows] == [
        (1, 0, 100, 30),
        (2, 0, 100, 50),
        (22, 0, 150, 150),
    ]
    uneven = [compiler_memory.Window(1, 0, 100, 50)] * 9 + [compiler_memory.Window(1, 2, 300, 30)]
    assert compiler_memory.share_used(uneven) == pytest.approx(80 / 400)


def test_the_parameters_of_a_modelled_heap_are_found_again() -> None:
    shares = {steps: compiler_memory.distinct_share(0.3, 0.8, steps) for steps in (1, 2, 4, 6)}
    assert compiler_memory.nearest(shares) == (0.3, 0.8)
    assert 0 < shares[1] < shares[2] < shares[4] < shares[6] < 1


def test_the_model_uses_of_a_heap_what_the_formula_says() -> None:
    shape = CompileShape(
        sources=1, heap_pages=4_000, heap_spread=0, heap_reuse=0.4, young_share=0.87, headers_each=1
    )
    (job,) = Build("a", shape).jobs(1)
    *_, last = (action.listed for action in job.unit() if isinstance(action, Touch) and action.listed)
    share = compiler_memory.distinct_share(0.4, 0.87, 1)
    assert len(set(last)) / 4_000 == pytest.approx(share, rel=0.05)


def test_a_report_of_the_compilers_memory(capsys: pytest.CaptureFixture[str]) -> None:
    grown = [
        compiler_memory.Stop(step * 1_000, 100 * step, 100 + 40 * (step - 1), 50, 50, True)
        for step in range(1, 25)
    ]
    compiler_memory.print_report([grown, grown])
    printed = capsys.readouterr().out
    assert "anonymous pages of the compiler in the end: 2400 +- 0 %" in printed
    assert "used again within so many steps: 40 % in 1\n" in printed
