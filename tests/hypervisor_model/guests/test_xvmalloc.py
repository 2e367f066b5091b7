# SPDX-License-Identifier: GPL-2.0-only
"""Pieces of frames: none across two, the tightest room first, and emptied frames given back."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hypervisor_model.guests.xvmalloc import XvPool
from hypervisor_model.public.xen import PAGE_SIZE


def test_a_piece_goes_where_the_least_is_left() -> None:
    pool = XvPool()
    roomy, tight = pool.malloc(1_000), pool.malloc(3_500)
    assert roomy != tight
    assert pool.malloc(500) == tight
    assert pool.malloc(500) == roomy
    assert pool.frames == 2


def test_no_piece_is_across_two_frames() -> None:
    pool = XvPool()
    frames = [pool.malloc(2_049) for _ in range(3)]
    assert len(set(frames)) == pool.frames == 3
    pool.free(frames[1], 2_049)
    assert pool.frames == 2
    assert pool.malloc(PAGE_SIZE) not in frames


class Pieces(RuleBasedStateMachine):
    """Against the list of all pieces."""

    @initialize()
    def begin(self) -> None:
        self.pool = XvPool()
        self.pieces: list[tuple[int, int]] = []

    @rule(size=st.integers(1, PAGE_SIZE))
    def malloc(self, size: int) -> None:
        used = self.used()
        frame = self.pool.malloc(size)
        fitting = [room for room in (PAGE_SIZE - taken for taken in used.values()) if room >= size]
        assert PAGE_SIZE - used.get(frame, 0) == min(fitting, default=PAGE_SIZE)
        self.pieces.append((frame, size))

    @precondition(lambda self: self.pieces)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        piece = data.draw(st.sampled_from(self.pieces))
        self.pieces.remove(piece)
        self.pool.free(*piece)

    def used(self) -> dict[int, int]:
        used: dict[int, int] = {}
        for frame, size in self.pieces:
            used[frame] = used.get(frame, 0) + size
        return used

    @invariant()
    def frames_hold_what_they_can(self) -> None:
        used = self.used()
        assert all(taken <= PAGE_SIZE for taken in used.values())
        assert self.pool.frames == len(used)


TestPieces = Pieces.TestCase
TestPieces.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
