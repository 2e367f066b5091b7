# SPDX-License-Identifier: GPL-2.0-only
"""A host resumed from its checkpoint goes on exactly as the one that was not interrupted."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hypervisor_model.checkpoint import (
    CheckpointError,
    Entry,
    Journal,
    install,
    make_hypercall,
    read_notes,
    resume,
    retire,
    write_snapshot,
)
from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import tmem, xen
from hypervisor_model.public.wire import Call
from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.runner import Runner, boot

SCENARIO = """
host: {memory: 14MiB, command_line: "tmem=1 tmem_dedup=1"}
guests:
  - {name: a, workload: {kind: zipf, working_set: 6MiB, operations: 1500, rate: 3000, content: text}}
  - {name: b, max_memory: 12MiB, pools: [{persistent: true}, {}], workload: {kind: scan, operations: 700}}
"""
PHASES = [
    Phase.explicit,
    Phase.reuse,
    Phase.generate,
]  # an example takes too long to be shrunk by hundreds more
OPTIONS = ("tmem=1", "tmem=1 tmem_dedup=1", "tmem=1 tmem_compress=1", "tmem=1 tmem_dedup=1 tmem_tze=1")
PAGES = [bytes(4096), b"a" * 4096, os.urandom(4096), b"tail" + bytes(4092), os.urandom(2048) + bytes(2048)]


@pytest.fixture
def runner() -> Runner:
    return boot(load_text(SCENARIO))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state.sqlite")


def state_of(hypervisor: Hypervisor) -> tuple[Any, ...]:
    """All that can be seen of a host."""
    return (
        hypervisor.list_text(use_long=True),
        hypervisor.stat(hypervisor.domain_ids()),
        hypervisor.heap.avail,
        hypervisor.heap.scrubbed,
    )


def outcome(runner: Runner) -> tuple[Any, ...]:
    return (*state_of(runner.hypervisor), [guest.driver.report() for guest in runner.guests], runner.position)


def control(subop: int, cli_id: int, value: int = 0) -> Call:
    packed = tmem.TMEM_OP_CTRL.pack(tmem.TMEM_CONTROL, 0, subop, cli_id, value, 0, bytes(24), 0)
    return Call(xen.HYPERCALL_TMEM_OP, packed)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["put", "put", "put", "get", "flush_page", "flush_object", "weight", "freeze", "host"]
        ),
        st.sampled_from([1, 2]),
        st.sampled_from([0, 1, 2]),
        st.sampled_from([5, 1 << 70, 261]),
        st.sampled_from([0, 1, 63, 64, 4096, 0xFFFFFFFF]),
        st.sampled_from(range(len(PAGES))),
    ),
    max_size=60,
)


def apply(hypervisor: Hypervisor, operations: list[tuple[str, int, int, int, int, int]]) -> Iterator[object]:
    """What each operation answered."""
    for name, domid, pool_id, oid, index, page in operations:
        guest = hypervisor.domain(domid)
        if name == "put":
            yield guest.put(pool_id, oid, index, PAGES[page])
        elif name == "get":
            yield guest.get(pool_id, oid, index)
        elif name == "flush_page":
            yield guest.flush_page(pool_id, oid, index)
        elif name == "flush_object":
            yield guest.flush_object(pool_id, oid)
        elif name == "weight":
            hypervisor.set_weight(domid, index & 7)
        elif name == "freeze":
            hypervisor.set_frozen(domid, bool(page & 1))
        else:
            yield hypervisor.alloc_host_pages(page)


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(
    release=st.sampled_from(["4.3", "4.12"]),
    options=st.sampled_from(OPTIONS),
    exact=st.booleans(),
    before=OPERATIONS,
    after=OPERATIONS,
)
def test_a_resumed_host_answers_and_counts_as_the_original(
    tmp_path_factory: pytest.TempPathFactory, release: str, options: str, exact: bool, before: Any, after: Any
) -> None:
    original = Hypervisor(release=release, frames=330, command_line=options, exact=exact)
    for domid in (1, 2):
        guest = original.create_domain(domid, max_pages=24, tot_pages=4, gfns=4)
        guest.memory.write_frame(1, PAGES[2])
        assert [guest.new_pool(), guest.new_pool(persistent=True), guest.new_pool(shared=True, uuid=(7, 9))]
    list(apply(original, before))
    path = str(tmp_path_factory.mktemp("checkpoint") / "state.sqlite")
    write_snapshot(path, Runner(original, []), {})
    resumed = resume(path).hypervisor
    assert state_of(resumed) == state_of(original)
    assert list(apply(resumed, after)) == list(apply(original, after))
    assert state_of(resumed) == state_of(original)
    assert resumed.domain(2).memory.read_frame(1) == PAGES[2]
    resumed.check()


@settings(max_examples=8, deadline=None, phases=PHASES)
@given(cut=st.integers(0, 2200), until_us=st.integers(0, 900_000))
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    tmp_path_factory: pytest.TempPathFactory, cut: int, until_us: int
) -> None:
    path = str(tmp_path_factory.mktemp("checkpoint") / "state.sqlite")
    whole, interrupted = boot(load_text(SCENARIO)), boot(load_text(SCENARIO))
    interrupted.advance(cut, until_us)
    write_snapshot(path, interrupted, {})
    resumed = resume(path)
    resumed.run()
    whole.run()
    assert outcome(resumed) == outcome(whole)
    resumed.hypervisor.check()


CALLS = st.sampled_from(
    [
        control(tmem.TMEMC_FREEZE, 1),
        control(tmem.TMEMC_THAW, xen.CLI_ID_ALL),
        control(tmem.TMEMC_SET_WEIGHT, 2, 50),
        control(tmem.TMEMC_FLUSH, xen.CLI_ID_ALL, 1 << 12),
        control(tmem.TMEMC_SAVE_BEGIN, 2, 1),
    ]
)


@settings(max_examples=10, deadline=None, phases=PHASES)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 500_000), CALLS), max_size=8))
def test_the_journal_repeats_what_was_asked_where_it_was_asked(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, int, Call]]
) -> None:
    path = str(tmp_path_factory.mktemp("checkpoint") / "state.sqlite")
    runner = boot(load_text(SCENARIO))
    runner.advance(500)
    write_snapshot(path, runner, {})
    journal = Journal(path)
    for budget, us, call in asked:
        runner.advance(budget, runner.time_us + us)
        journal.append([Entry(runner.position, 0, call)])
        make_hypercall(runner, 0, call)
    journal.close()  # what a crash does, too: everything is in the file
    resumed = resume(path)
    assert outcome(resumed) == outcome(runner)
    runner.run()
    resumed.run()
    assert outcome(resumed) == outcome(runner)


def test_buffers_of_hypercalls_are_journaled_as_they_were_before(runner: Runner, path: str) -> None:
    runner.hypervisor.domain(2).put(0, 1, 1, PAGES[2])
    make_hypercall(runner, 0, control(tmem.TMEMC_SAVE_BEGIN, 2))
    write_snapshot(path, runner, {})
    argument = tmem.TMEM_OP_CTRL.pack(
        tmem.TMEM_CONTROL, 0, tmem.TMEMC_SAVE_GET_NEXT_PAGE, 2, 8192, 0, bytes(24), 0
    )
    call = Call(xen.HYPERCALL_TMEM_OP, argument, tmem.TMEM_OP_CTRL_BUF_OFFSET, bytearray(8192))
    entry = Entry(runner.position, 0, call)
    make_hypercall(runner, 0, call)
    assert entry.call.buffer == bytearray(8192)
    journal = Journal(path)
    journal.append([entry])
    journal.close()
    assert outcome(resume(path)) == outcome(runner)


def test_notes_come_back_and_files_are_private(runner: Runner, path: str) -> None:
    write_snapshot(path, runner, {"factor": "2.5"})
    assert read_notes(path)["factor"] == "2.5"
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_new_snapshot_takes_the_place_of_the_old_with_what_was_asked_meanwhile(
    runner: Runner, tmp_path: Path
) -> None:
    new, path = str(tmp_path / "new"), str(tmp_path / "state")
    write_snapshot(new, runner, {})
    entry = Entry(runner.position, 0, control(tmem.TMEMC_FREEZE, 1))
    journal = install(new, path, [entry])
    assert (journal.length, os.path.exists(new)) == (1, False)
    journal.close()
    assert ",fr:1," in resume(path).hypervisor.list_text(1)


def test_a_snapshot_that_fails_leaves_the_old_one(runner: Runner, tmp_path: Path) -> None:
    path = str(tmp_path / "state")
    install_fresh(runner, path)
    runner.guests[0].driver = lambda: None  # type: ignore[assignment]
    with pytest.raises(CheckpointError, match=r"RunningGuest.driver: a builtins.function cannot be kept"):
        write_snapshot(f"{path}.new", runner, {})
    assert resume(path).operations == 0


def install_fresh(runner: Runner, path: str) -> None:
    write_snapshot(f"{path}.new", runner, {})
    install(f"{path}.new", path, []).close()


def test_a_retired_checkpoint_is_complete(runner: Runner, tmp_path: Path) -> None:
    path, previous = str(tmp_path / "state"), str(tmp_path / "previous")
    retire(path, previous)  # nothing there: nothing to do
    install_fresh(runner, path)
    retire(path, previous)
    assert not os.path.exists(path)
    assert resume(previous).operations == 0


def damage(path: str, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM objects WHERE seq = 3",
        "UPDATE objects SET state = replace(state, '1', '2') WHERE kind = 'list'",
        "UPDATE meta SET value = '1' WHERE key = 'objects'",
        "DELETE FROM meta",
        "DROP TABLE objects",
        "UPDATE meta SET value = 'nonsense' WHERE key = 'codec'",
        "PRAGMA user_version = 99",
        "PRAGMA application_id = 0",
        "INSERT INTO journal VALUES (1, 10, 0, 0, 38, x'', NULL, NULL)",
        "INSERT INTO journal VALUES (1, 0, 0, 77, 38, x'', NULL, NULL)",
    ],
)
def test_damage_is_one_clear_error(runner: Runner, path: str, statement: str) -> None:
    write_snapshot(path, runner, {})
    damage(path, statement)
    with pytest.raises(CheckpointError) as caught:
        resume(path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_a_private_regular_file_is_a_checkpoint(runner: Runner, path: str, tmp_path: Path) -> None:
    write_snapshot(path, runner, {})
    link, text = tmp_path / "link", tmp_path / "text"
    link.symlink_to(path)
    text.write_text("nothing of the kind" * 100)
    text.chmod(0o600)
    for bad, complaint in (
        (link, "is not a file that only its user can write to"),
        (tmp_path, "is not a file that only its user can write to"),
        (tmp_path / "none", "there is no checkpoint at"),
        (text, "is no checkpoint"),
    ):
        with pytest.raises(CheckpointError, match=complaint):
            resume(str(bad))
    os.chmod(path, 0o620)
    with pytest.raises(CheckpointError, match="is not a file that only its user can write to"):
        resume(path)


def test_truncated_files_are_refused(runner: Runner, path: str) -> None:
    write_snapshot(path, runner, {})
    whole = Path(path).read_bytes()
    for length in (0, 100, 4096, len(whole) // 2, len(whole) - 4096):
        Path(path).write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            resume(path)
