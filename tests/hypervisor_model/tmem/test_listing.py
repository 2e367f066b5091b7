# SPDX-License-Identifier: GPL-2.0-only
"""LIST's text, line by line, of both releases, short and long, and in buffers that are too small."""

from __future__ import annotations

import pytest

from hypervisor_model.public import tmem
from tests.hypervisor_model.tmem.machine import ADDRESS, ALL, Machine, both_releases, page, soft_page

CYCLES = ",".join(f"{tag}n:0,{tag}t:0,{tag}x:0,{tag}m:2147483647" for tag in "GPgpFOCcd")


def machine_with_something_of_everything(release: str) -> Machine:
    """Domain 1 has a private and a shared pool and is frozen, domain 2 shares, is weighed and saves."""
    machine = Machine(release)
    machine.hv.tmem.global_shared_auth = True
    first, second = machine.guest(1), machine.guest(2)
    first.new_pool()
    first.new_pool(shared=True, uuid=(0xAB, 0xCD))
    second.new_pool(shared=True, uuid=(0xAB, 0xCD))
    second.new_pool(persistent=True)
    for index in (0, 1, 64):
        first.put(0, 5, index, page(index))
    first.put(1, 6, 0, page(6))
    second.put(1, 7, 0, page(7))
    second.get(1, 7, 0)
    first.get(0, 5, 1)
    first.get(0, 5, 2)
    machine.hv.set_frozen(1, True)
    machine.hv.set_weight(2, 0xFFFFFFFF)
    return machine


LONG = f"""\
G=Tt:13,Te:0,Cf:0,Af:0,Pf:0,Ta:1,Lm:0,Et:0,Ea:0,Rt:0,Ra:0,Rx:0,Fp:0,\
Ec:3,Em:4,Oc:3,Om:3,Nc:3,Nm:3,Pc:4,Pm:5,Fc:4,Fm:5,Sc:0,Sm:0,Ep:4,Gd:0,Zt:0,Gz:0
S=SI:0,PT:ES,U0:ab,U1:cd,SC:1,SC:2,\
Pc:1,Pm:1,Oc:1,Om:1,Nc:0,Nm:0,ps:1,pt:1,pd:0,pr:0,px:0,gs:0,gt:0,fs:0,ft:0,os:0,ot:0
C=CI:1,ww:0,ca:0,co:0,fr:1,Tc:0,Ge:1,Pp:0,Gp:0,Ec:3,Em:4,cp:0,cb:0,cn:0,cm:0
P=CI:1,PI:0,PT:EP,U0:0,U1:0,\
Pc:2,Pm:3,Oc:1,Om:1,Nc:3,Nm:3,ps:3,pt:3,pd:0,pr:0,px:0,gs:1,gt:2,fs:0,ft:0,os:0,ot:0
P=CI:1,PI:1,PT:ES,U0:ab,U1:cd,\
Pc:1,Pm:1,Oc:1,Om:1,Nc:0,Nm:0,ps:1,pt:1,pd:0,pr:0,px:0,gs:0,gt:0,fs:0,ft:0,os:0,ot:0
C=CI:2,ww:-1,ca:0,co:0,fr:0,Tc:0,Ge:0,Pp:1,Gp:1,Ec:0,Em:0,cp:0,cb:0,cn:0,cm:0
P=CI:2,PI:1,PT:ES,U0:ab,U1:cd,\
Pc:1,Pm:1,Oc:1,Om:1,Nc:0,Nm:0,ps:1,pt:1,pd:0,pr:0,px:0,gs:0,gt:0,fs:0,ft:0,os:0,ot:0
P=CI:2,PI:1,PT:PP,U0:0,U1:0,\
Pc:1,Pm:1,Oc:1,Om:1,Nc:0,Nm:0,ps:1,pt:1,pd:0,pr:0,px:0,gs:1,gt:1,fs:0,ft:0,os:0,ot:0
T={CYCLES}
"""
SHORT = """\
G=Tt:12,Te:0,Cf:0,Af:0,Pf:0,Ta:1,Lm:0,Et:0,Ea:0,Rt:0,Ra:0,Rx:0,Fp:0
S=SI:0,PT:ES,U0:ab,U1:cd,SC:1,SC:2
C=CI:1,ww:0,co:0,fr:1,Tc:0,Ge:1,Pp:0,Gp:0
P=CI:1,PI:0,PT:EP,U0:0,U1:0
P=CI:1,PI:1,PT:ES,U0:ab,U1:cd
C=CI:2,ww:-1,co:0,fr:0,Tc:0,Ge:0,Pp:1,Gp:1
P=CI:2,PI:1,PT:ES,U0:ab,U1:cd
P=CI:2,PI:1,PT:PP,U0:0,U1:0
T
"""


def test_the_long_listing_of_4_3() -> None:
    assert machine_with_something_of_everything("4.3").listing() == LONG


def test_the_short_listing_of_4_12() -> None:
    assert machine_with_something_of_everything("4.12").listing(use_long=False) == SHORT


@both_releases
@pytest.mark.parametrize("use_long", [False, True])
def test_one_clients_listing_is_its_lines_of_the_whole(release: str, use_long: bool) -> None:
    machine = machine_with_something_of_everything(release)
    own = [line for line in machine.listing(use_long=use_long).splitlines() if "CI:2," in line]
    assert machine.listing(2, use_long=use_long).splitlines() == own


@both_releases
@pytest.mark.parametrize("use_long", [False, True])
def test_the_convenience_gives_the_same_text(release: str, use_long: bool) -> None:
    machine = machine_with_something_of_everything(release)
    text = machine.listing(use_long=use_long)
    assert machine.hv.list_text(use_long=use_long) == text
    assert machine.hv.list_text(1) == machine.listing(1, use_long=False)
    machine.guest(9)
    for nobody in (9, 10):
        with pytest.raises(KeyError):
            machine.hv.list_text(nobody)


@both_releases
def test_a_host_without_clients(release: str) -> None:
    lines = Machine(release).listing(use_long=False).splitlines()
    assert [line[0] for line in lines] == ["G", "T"]


@both_releases
def test_more_than_a_stack_line_of_sharers_is_cut(release: str) -> None:
    """An S= line is composed in 1024 bytes."""
    machine = Machine(release)
    machine.hv.tmem.global_shared_auth = True
    for domid in range(1, 250):
        machine.guest(domid).new_pool(shared=True, uuid=(1, 2))
    text = machine.listing(use_long=False)
    shared = text[text.index("S=") : text.index("C=")]
    assert len(shared) <= 1023
    assert shared.startswith("S=SI:0,PT:ES,U0:1,U1:2,SC:1,SC:2,")


@both_releases
@pytest.mark.parametrize("use_long", [False, True])
def test_a_buffer_of_every_length_gets_whole_lines(release: str, use_long: bool) -> None:
    """Nothing is cut within a line, and a line that does not fit is left out. (G= and T have no line behind them.)"""
    machine = Machine(release)
    machine.guest().new_pool()
    whole = machine.listing(use_long=use_long).splitlines(keepends=True)
    for length in range(0, len("".join(whole)) + 3, 7):
        got = machine.listing(use_long=use_long, length=length).splitlines(keepends=True)
        kinds = [line[:2] for line in got]
        assert kinds == [line[:2] for line in whole if line[:2] in kinds]
        assert got[1:] == [line for line in whole[1:] if line in got[1:]]
        assert (kinds[0] == "C=") is (len(whole[0]) >= length), length


@both_releases
def test_a_line_needs_room_for_its_nul(release: str) -> None:
    machine = Machine(release)
    line = machine.listing(use_long=False).splitlines(keepends=True)[0]
    for length, there in ((len(line), False), (len(line) + 1, True)):
        text = machine.listing(use_long=False, length=length)
        assert text.startswith("G=") is there  # a listing is an operation in 4.3, but Tt keeps its width here


@both_releases
def test_the_line_of_a_shared_pool_may_not_fill_the_room_that_is_left(release: str) -> None:
    machine = Machine(release)
    machine.hv.tmem.global_shared_auth = True
    machine.guest().new_pool(shared=True, uuid=(1, 2))
    text = machine.listing(use_long=False)
    end = text.index("C=")
    for length, there in ((end, False), (end + 1, True)):
        assert ("S=" in machine.listing(use_long=False, length=length)) is there


@both_releases
def test_the_hypervisor_believes_the_length_and_not_the_buffer(release: str) -> None:
    """4.12 looks whether it could write and stays where it was if not; 4.3 moves on."""
    machine = Machine(release)
    machine.guest().new_pool()
    whole = machine.listing(1, use_long=False)
    buffer = bytearray(20)
    assert machine.control(tmem.TMEMC_LIST, 1, 4096, buffer=buffer) == 0
    assert len(buffer) == 20
    text = buffer.decode()
    # The P= line was tried at the start again in 4.12, and behind the end in 4.3.
    assert text == (whole[:20] if release == "4.3" else whole.splitlines()[1][:20])


def test_what_compression_saves_shows_in_the_line_of_the_client() -> None:
    machine = Machine("4.12", options="tmem_compress=1")
    guest = machine.guest()
    guest.new_pool()
    guest.put(0, 1, 0, soft_page(1))
    line = machine.listing(1).splitlines()[0]
    size = len(machine.hv.codec.compress(soft_page(1)))
    assert line == f"C=CI:1,ww:0,co:1,fr:0,Tc:0,Ge:0,Pp:0,Gp:0,Ec:1,Em:1,cp:1,cb:{size},cn:0,cm:0"


def test_a_listing_into_the_middle_of_a_buffer() -> None:
    machine = Machine("4.3")
    machine.guest().new_pool()
    buffer = bytearray(b"\xff" * 4096)
    argument = tmem.TMEM_OP_CTRL.pack(0, 0, tmem.TMEMC_LIST, ALL, 1000, 0, bytes(24), ADDRESS + 100)
    assert machine.hv.hypercall(0, 38, argument, {ADDRESS: buffer}) == 0
    assert buffer[:100] == b"\xff" * 100
    assert buffer[100:102] == b"G="
