# SPDX-License-Identifier: GPL-2.0-only
"""Asked what an operator asked of a real host, the adapter sends the recorded structs and understands the answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hypervisor_model.public import sysctl, tmem, xen
from hypervisor_model.public.wire import Call
from tests import recordings
from tests.xm_tmem.backends.recorded import RecordedTransport, Step, Transcript, load, same_question
from xm_tmem.backends.abi import abi_of, host
from xm_tmem.backends.abi.control import listed_text
from xm_tmem.backends.abi.sysctl import tmem_sysctl
from xm_tmem.backends.complete_list import SPARE_BYTES, is_whole
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.interface import Capability, PoolInfo, TmemState, require
from xm_tmem.errors import HypercallError, NoClient, NoSuchDomain, TmemError, TmemOff, Unsupported
from xm_tmem.ids import DomainId, PoolId, SharedUuid

PATHS = recordings.files("transcripts/*.json")
UUID = SharedUuid(0x1122334455667788, 0x99AABBCCDDEEFF00)
DOM0, DOM1, NOBODY = DomainId(0), DomainId(1), DomainId(77)

with_tmem = [path for path in PATHS if not re.search(r"off|notmem|4\.17", path.name)]
without_tmem = [path for path in PATHS if path not in with_tmem]


def ids(path: Path) -> str:
    return path.stem


@pytest.fixture
def need_recordings() -> None:
    recordings.needed(recordings.root())


class Session:
    """The operator's session, told again to a backend."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.release = transcript.release
        self.transport = RecordedTransport(transcript)
        self.backend = HypercallBackend("xen:///", self.transport)
        self.abi = abi_of(transcript.release)
        assert self.backend.host().tmem is TmemState.ON

    def tell(self, index: int) -> None:
        """Ask what was asked at step `index`, and compare."""
        step = self.transcript.steps[index]
        for pattern, retell in RETELL:
            match = re.fullmatch(pattern, step.what)
            if match is not None:
                self.transport.at(index)
                retell(self, step, *match.groups())
                return
        raise AssertionError(f"nothing here tells {step.what!r} again")

    def sent_as_recorded(self, step: Step, call: Call | None = None) -> None:
        """The recorded struct is among those sent, or is `call`'s; buffers that carry something, too."""
        calls = self.transport.sent if call is None else [call]
        question = same_question(step.hypercall, step.arg)
        matches = [sent for sent in calls if same_question(sent.number, sent.argument) == question]
        assert matches, f"not sent: {step.what}: {step.arg.hex()}"
        for sent in matches:
            if step.hypercall != xen.HYPERCALL_XEN_VERSION:
                assert sent.handle_offset == step.handle_offset
                assert (
                    sent.argument[: len(step.arg)].rstrip(b"\0") == step.arg.rstrip(b"\0")
                    or "LIST" in step.what
                )
                assert len(sent.argument) >= len(step.arg)

    def raises(self, error: type[TmemError], question: Callable[[], object]) -> None:
        with pytest.raises(error) as raised:
            question()
        assert type(raised.value) is error, raised.value


def buffer_of(transport: RecordedTransport, step: Step) -> bytes:
    """What the buffer held that was sent with the struct of `step`, before it was answered: only for settings."""
    question = same_question(step.hypercall, step.arg)
    call = next(sent for sent in transport.sent if same_question(sent.number, sent.argument) == question)
    assert call.buffer is not None
    return bytes(call.buffer)


def domain(text: str) -> DomainId | None:
    return None if text == "all" else DomainId(int(text.removeprefix("domain ")))


def tell_version(s: Session, step: Step) -> None:
    assert step.value == int(s.release.name.split(".")[0]) << 16 | int(s.release.name.split(".")[1])
    s.sent_as_recorded(step, host.version())


def tell_extra_version(s: Session, step: Step) -> None:
    s.sent_as_recorded(step, host.extra_version())
    assert s.backend.host().xen_version == s.transcript.xen


def tell_command_line(s: Session, step: Step) -> None:
    s.sent_as_recorded(step, host.command_line())
    info = s.backend.host()
    assert info.command_line.encode() == step.text
    assert info.options["tmem"] == "1"


def tell_probe(s: Session, step: Step) -> None:
    if s.release.abi == "tmemc":  # all zeros thaw domain 0 there: asked otherwise
        assert same_question(step.hypercall, s.abi.probe().argument) != same_question(
            step.hypercall, step.arg
        )
        unknown = next(other for other in s.transcript.steps if other.what == "unknown command 99")
        s.sent_as_recorded(unknown, s.abi.probe())
    else:
        s.sent_as_recorded(step, s.abi.probe())
        assert s.abi.probe().argument == step.arg


def tell_list_all(s: Session, step: Step, form: str) -> None:
    use_long = form == "long"
    if s.release.lists_all:
        assert s.backend.list_text(None, use_long=use_long) == step.text
        s.sent_as_recorded(step)
    else:  # 4.5: may panic, so it is never sent
        text = s.backend.list_text(None, use_long=use_long)
        assert text.startswith(b"C=CI:") or text == b""
        assert not any(b"\xff\xff" in call.argument for call in s.transport.sent)
        s.sent_as_recorded(step, s.abi.list_text(xen.CLI_ID_ALL, bytearray(262144), use_long=use_long))


def tell_short_buffer(s: Session, step: Step) -> None:
    call = s.abi.list_text(xen.CLI_ID_ALL, bytearray(step.buffer_len), use_long=True)
    assert call.argument[: len(step.arg)] == step.arg
    call.buffer = bytearray(step.buffer_len)
    call.buffer[:] = step.buffer_out[: step.buffer_len].ljust(step.buffer_len, b"\0")
    text = listed_text(call)
    # From 4.4 on first and last line are there, lines between are not: only the lack of room tells.
    assert is_whole(text) == text.endswith(b"\nT\n")
    assert len(text) + SPARE_BYTES >= step.buffer_len


def tell_list_one(s: Session, step: Step, who: str, rest: str) -> None:
    client = domain(who)
    assert client is not None
    use_long = "short" not in rest
    if step.value >= 0:
        assert s.backend.list_text(client, use_long=use_long) == step.text
    else:
        error = NoSuchDomain if client == NOBODY else NoClient
        s.raises(error, lambda: s.backend.list_text(client, use_long=use_long))
    s.sent_as_recorded(step)


def tell_freeze(s: Session, step: Step, verb: str, who: str, rest: str) -> None:
    client = domain(who)
    act = {"FREEZE": s.backend.freeze, "THAW": s.backend.thaw, "DESTROY": s.backend.destroy}[verb]
    if step.value >= 0:
        act(client)
    else:
        s.raises(NoSuchDomain if client == NOBODY else NoClient, lambda: act(client))
    s.sent_as_recorded(step)


def tell_freeable(s: Session, step: Step, rest: str) -> None:
    assert s.backend.freeable_mb() == step.value
    s.sent_as_recorded(step)


def tell_wrong_version(s: Session, step: Step) -> None:
    assert tmem_sysctl(0x99, tmem.TMEMC_QUERY_FREEABLE_MB, 0).argument == step.arg
    assert step.errno == xen.EACCES
    assert isinstance(s.backend._truth().error("QUERY_FREEABLE_MB", xen.EACCES), Unsupported)


def tell_restore_begin(s: Session, step: Step) -> None:
    s.backend.restore_begin(DOM1)
    s.sent_as_recorded(step)


def tell_auth(s: Session, step: Step) -> None:
    s.backend.shared_auth(DOM1, UUID, allow=True)
    s.sent_as_recorded(step)
    if step.buffer_in:
        assert buffer_of(s.transport, step).rstrip(b"\0") == step.buffer_in.rstrip(b"\0")


def tell_auth_all(s: Session, step: Step) -> None:
    if step.value < 0:
        assert Capability.SHARED_AUTH_ALL not in s.backend.capabilities
        s.sent_as_recorded(step, s.abi.shared_auth(xen.CLI_ID_ALL, UUID, allow=True))
    else:
        s.backend.shared_auth(None, SharedUuid(0, 0), allow=False)
        s.sent_as_recorded(step)


MADE = (
    PoolInfo(PoolId(0), True, False, 0, SharedUuid(0, 0)),
    PoolInfo(PoolId(1), False, False, 0, SharedUuid(0, 0)),
    PoolInfo(PoolId(2), False, True, 0, UUID),
)
FILLED = tuple(pool._replace(n_pages=n_pages) for pool, n_pages in zip(MADE, (6, 4, 0), strict=True))


def tell_restore_new(s: Session, step: Step, pool: str) -> None:
    s.backend.restore_pool(DOM1, MADE[int(pool)])
    s.sent_as_recorded(step)


def tell_set_pools(s: Session, step: Step) -> None:
    (call,) = s.abi.restore_pools(DOM1, MADE)
    s.sent_as_recorded(step, call)
    assert call.argument == step.arg
    assert call.buffer is not None
    assert bytes(call.buffer) == step.buffer_in.ljust(step.buffer_len, b"\0")


def tell_set_number(s: Session, step: Step, what: str, who: str, number: str) -> None:
    client, value = domain(who), int(number or 5)
    if client is None:  # settings of all are set one by one; the struct is the same but for the id
        s.sent_as_recorded(step, s.abi.control(tmem.TMEMC_SET_WEIGHT, xen.CLI_ID_ALL, first=value))
        return
    if (what, value) == ("COMPRESS", 0):  # it is read back, and no listing with compression off was recorded
        s.sent_as_recorded(step, s.abi.control(tmem.TMEMC_SET_COMPRESS, client, first=0))
        return
    act: Callable[[], None] = {
        "WEIGHT": lambda: s.backend.set_weight(client, value),
        "CAP": lambda: s.backend.set_cap(client, value),
        "COMPRESS": lambda: s.backend.set_compress(client, bool(value)),
    }[what]
    if step.value >= 0:
        act()
    else:
        s.raises(NoSuchDomain, act)
    s.sent_as_recorded(step)


def tell_set_client_info(s: Session, step: Step, who: str, rest: str) -> None:
    client = domain(who)
    if "version 2" in rest:  # never sent
        assert isinstance(s.backend._truth().error("SET_CLIENT_INFO", step.errno, DOM1), HypercallError)
    elif client == DOM1:
        s.backend.set_weight(client, 300)
        s.sent_as_recorded(step)
        assert buffer_of(s.transport, step) == step.buffer_in.ljust(20, b"\0")
    elif client == NOBODY:
        s.raises(NoSuchDomain, lambda: s.backend.set_weight(NOBODY, 1))
        s.sent_as_recorded(step)
    else:
        call = s.abi.set_client_info(xen.CLI_ID_ALL, sysctl.TMEM_CLIENT_FLAG_COMPRESS, 100)  # type: ignore[attr-defined]
        s.sent_as_recorded(step, call)
        assert call.buffer == step.buffer_in.ljust(20, b"\0")


def tell_get_client_info(s: Session, step: Step, who: str, rest: str) -> None:
    client = domain(who)
    assert client is not None
    if client == NOBODY:  # Xen answers with defaults, as if the domain were there
        assert step.value == 0
        s.raises(NoSuchDomain, lambda: s.backend.client_info(client))
    else:
        info = s.backend.client_info(client)
        _, _, nr_pools, flags, weight = sysctl.TMEM_CLIENT.unpack(step.buffer_out.ljust(20, b"\0"))
        assert (info.weight, info.nr_pools, info.compress) == (weight, nr_pools, bool(flags & 2))
        assert info.cap is None
    s.sent_as_recorded(step)


def tell_get_pools(s: Session, step: Step, who: str) -> None:
    client = domain(who)
    assert client is not None
    if client == NOBODY:
        s.raises(NoSuchDomain, lambda: s.backend.pools(client))
    else:
        pools = s.backend.pools(client)
        assert len(pools) == step.value
        if client == DOM1:
            assert tuple(pools) == FILLED
    s.sent_as_recorded(step)


def tell_save_get_client(s: Session, step: Step, what: str) -> None:
    """Not asked by this adapter: 4.0 panics on it for a domain without a client. The settings come from LIST."""
    command = {"WEIGHT": tmem.TMEMC_SAVE_GET_CLIENT_WEIGHT, "FLAGS": tmem.TMEMC_SAVE_GET_CLIENT_FLAGS}[what]
    s.sent_as_recorded(step, s.abi.control(command, DOM1))
    info = s.backend.client_info(DOM1)
    if what == "FLAGS":  # no listing of domain 1 was recorded after its weight was changed
        assert int(info.compress) == step.value
    assert not any(call.argument[8] == command for call in s.transport.sent)


def tell_max_pools(s: Session, step: Step) -> None:
    s.sent_as_recorded(step, s.abi.control(tmem.TMEMC_SAVE_GET_MAXPOOLS, DOM1))
    assert step.value == tmem.MAX_POOLS_PER_DOMAIN


def tell_save_get_pool(s: Session, step: Step, what: str, pool: str) -> None:
    command = {"FLAGS": tmem.TMEMC_SAVE_GET_POOL_FLAGS, "NPAGES": tmem.TMEMC_SAVE_GET_POOL_NPAGES}[what]
    s.sent_as_recorded(step, s.abi.control(command, DOM1, pool=int(pool)))


def tell_save_begin(s: Session, step: Step) -> None:
    s.sent_as_recorded(step, s.abi.save_begin(DOM1, live=False))


def tell_next_page(s: Session, step: Step) -> None:
    s.sent_as_recorded(step, s.abi.save_next_page(DOM1, 0))
    if step.value == 1:
        pages = s.backend.save_pages(DOM1, PoolId(0))
        page = next(pages)
        pool_id, index, oid = tmem.TMEM_HANDLE.unpack_from(step.buffer_out)
        assert (page.pool_id, page.index, page.oid) == (pool_id, index, int.from_bytes(oid, "little"))
        assert page.page == step.buffer_out[tmem.TMEM_HANDLE.size :].ljust(4096, b"\0")
    else:
        assert step.errno == xen.EPERM


def tell_save_end(s: Session, step: Step) -> None:
    s.backend.save_end(DOM1)
    s.sent_as_recorded(step)


def tell_flush(s: Session, step: Step) -> None:
    assert s.backend.flush(1024) == step.value
    s.sent_as_recorded(step)


def tell_flush_one(s: Session, step: Step) -> None:
    """Xen has no such thing, and the interface neither."""
    assert step.errno == xen.EPERM


def tell_unknown(s: Session, step: Step) -> None:
    s.sent_as_recorded(step, s.abi.control(99, 0))
    assert step.errno == xen.EPERM


WHO = r"(all|domain \d+)"
RETELL: list[tuple[str, Callable[..., None]]] = [
    (r"XENVER_version", tell_version),
    (r"XENVER_extraversion", tell_extra_version),
    (r"XENVER_commandline", tell_command_line),
    (r"probe: tmem_op cmd 0, all zero", tell_probe),
    (r"LIST all long, buffer too small", tell_short_buffer),
    (r"LIST all (long|short), .*", tell_list_all),
    (rf"LIST {WHO}(.*)", tell_list_one),
    (rf"(FREEZE|THAW|DESTROY) {WHO}(.*)", tell_freeze),
    (r"QUERY_FREEABLE_MB with a wrong interface version", tell_wrong_version),
    (r"QUERY_FREEABLE_MB(.*)", tell_freeable),
    (r"RESTORE_BEGIN domain 1", tell_restore_begin),
    (r"(?:TMEM_AUTH|SET_AUTH) domain 1 uuid", tell_auth),
    (r"TMEM_AUTH all off|SET_AUTH all", tell_auth_all),
    (r"TMEM_RESTORE_NEW domain 1 pool (\d)", tell_restore_new),
    (r"SET_POOLS domain 1: .*", tell_set_pools),
    (rf"SET_CLIENT_INFO {WHO}(.*)", tell_set_client_info),
    (rf"GET_CLIENT_INFO {WHO}(.*)", tell_get_client_info),
    (rf"GET_POOLS {WHO}", tell_get_pools),
    (rf"SET_(WEIGHT|CAP|COMPRESS) {WHO} ?(\d*)", tell_set_number),
    (r"SAVE_GET_CLIENT_(WEIGHT|FLAGS) domain 1", tell_save_get_client),
    (r"SAVE_GET_MAXPOOLS", tell_max_pools),
    (r"SAVE_GET_POOL_(FLAGS|NPAGES) domain 1 pool (\d)", tell_save_get_pool),
    (r"SAVE_BEGIN domain 1", tell_save_begin),
    (r"SAVE_GET_NEXT_PAGE domain 1 pool 0", tell_next_page),
    (r"SAVE_END domain 1", tell_save_end),
    (r"FLUSH all 1024 KiB", tell_flush),
    (r"FLUSH domain 0", tell_flush_one),
    (r"unknown command 99", tell_unknown),
]


@pytest.mark.usefixtures("need_recordings")
@pytest.mark.parametrize("path", with_tmem, ids=ids)
def test_every_recorded_question_is_sent_as_it_was_and_its_answer_understood(path: Path) -> None:
    transcript = load(path)
    session = Session(transcript)
    for index in range(len(transcript.steps)):
        session.tell(index)


@pytest.mark.usefixtures("need_recordings")
@pytest.mark.parametrize("path", without_tmem, ids=ids)
def test_a_host_without_tmem_is_told_from_an_idle_one(path: Path) -> None:
    transcript = load(path)
    backend = HypercallBackend("xen:///", RecordedTransport(transcript))
    info = backend.host()
    assert info.xen_version == transcript.xen
    assert info.tmem is (TmemState.OFF if "off" in path.stem else TmemState.ABSENT)
    assert [domain.domain_id for domain in backend.domains()] == [0, 1]
    with pytest.raises(TmemOff, match=r"tmem=1|removed|CONFIG_TMEM"):
        list_required(backend)
    for verb in (backend.freeze, backend.thaw, backend.destroy):
        with pytest.raises(TmemOff):
            verb(None)


def list_required(backend: HypercallBackend) -> None:
    require(backend, Capability.LIST)
    backend.list_text(None, use_long=True)


@pytest.mark.usefixtures("need_recordings")
@pytest.mark.parametrize("path", without_tmem, ids=ids)
def test_nothing_but_the_probe_reaches_a_host_without_tmem(path: Path) -> None:
    transport = RecordedTransport(load(path))
    backend = HypercallBackend("xen:///", transport)
    for question in (
        lambda: backend.freeze(None),
        lambda: backend.set_weight(DOM1, 1),
        lambda: backend.flush(4),
    ):
        with pytest.raises(TmemOff):
            question()
    controls = [call for call in transport.sent if call.number != xen.HYPERCALL_XEN_VERSION]
    assert len(controls) <= 1


def test_pools_of_a_recorded_client_are_told_with_their_own_ids(need_recordings: None) -> None:
    for path in with_tmem:
        session = Session(load(path))
        made = next(i for i, step in enumerate(session.transcript.steps) if "SAVE_BEGIN" in step.what)
        session.transport.at(made)
        assert tuple(session.backend.pools(DOM1)) == FILLED, path.stem
