# SPDX-License-Identifier: GPL-2.0-only
"""The agent, run for real over a pipe as ssh would run it, and what it lets through."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hypervisor_model.public import sysctl, tmem, wire, xen
from hypervisor_model.public.wire import Call
from tests.xm_tmem.backends import fake_dom0
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.transport import agent
from xm_tmem.backends.transport.inprocess import InProcessTransport
from xm_tmem.backends.transport.ssh import (
    SshTransport,
    agent_command,
    agent_source,
    diagnosis,
    ssh_command,
)
from xm_tmem.errors import BadInput, Disconnected, NotPermitted, TmemError, Unreachable, Unsupported

DOM0 = [sys.executable, fake_dom0.__file__, "-I", "-c"]


def remote(command: Sequence[str] | None = None, *, timeout_seconds: float = 10.0) -> SshTransport:
    """An agent in a dom0 of a hundred domains, behind a pipe instead of an ssh."""
    return SshTransport(
        "alpha", command or [*DOM0, agent_command(agent_source())], timeout_seconds=timeout_seconds
    )


@pytest.fixture
def transport() -> Iterator[SshTransport]:
    made = remote()
    yield made
    made.close()


def test_a_listing_with_names_takes_three_round_trips(transport: SshTransport) -> None:
    backend = HypercallBackend("xen+ssh://alpha/", transport)
    domains = backend.domains()
    text = backend.list_text(None, use_long=True)
    assert len(domains) == 101
    assert text.count(b"\nC=") == 100
    assert text.count(b"\nP=") == 200
    assert transport.round_trips <= 3


def test_answers_are_those_of_the_hypervisor(transport: SshTransport) -> None:
    backend = HypercallBackend("xen+ssh://alpha/", transport)
    plain = HypercallBackend("test", InProcessTransport(fake_dom0.hundred_domains()))
    assert backend.list_text(None, use_long=False) == plain.list_text(None, use_long=False)
    assert backend.domains()[7].uuid == plain.domains()[7].uuid
    info = backend.host()
    assert info.xen_version == "4.12.4"
    assert info.details["transport"] == "ssh"


def test_nothing_is_left_behind(
    transport: SshTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = remote()
    here.info()
    here.close()
    assert list(tmp_path.iterdir()) == []
    assert here._process.poll() == 0


@pytest.mark.parametrize(
    "call",
    [
        Call(xen.HYPERCALL_DOMCTL, bytes(128)),
        Call(xen.HYPERCALL_MEMORY_OP, bytes(64)),
        Call(xen.HYPERCALL_SYSCTL, (1).to_bytes(4, "little") + bytes(132)),  # readconsole
        Call(xen.HYPERCALL_TMEM_OP, tmem.TMEM_OP_GEN.pack(tmem.TMEM_GET_PAGE, 0, bytes(24), 0, 0, 0, 0, 0)),
        Call(xen.HYPERCALL_TMEM_OP, tmem.TMEM_OP_GEN.pack(tmem.TMEM_PUT_PAGE, 0, bytes(24), 0, 0, 0, 0, 0)),
        Call(xen.HYPERCALL_XEN_VERSION, xen.XEN_VERSION_ARG.pack(7, 0)),  # platform_parameters
        Call(xen.HYPERCALL_SYSCTL, bytes([sysctl.XEN_SYSCTL_TMEM_OP])),
    ],
)
def test_other_hypercalls_are_refused(transport: SshTransport, call: Call) -> None:
    with pytest.raises(Unsupported, match="lets no hypercall"):
        transport.call_many([Call(xen.HYPERCALL_XEN_VERSION, xen.XEN_VERSION_ARG.pack(0, 0)), call])
    assert transport.call_many([Call(xen.HYPERCALL_XEN_VERSION, xen.XEN_VERSION_ARG.pack(0, 0))]) == [0x4000C]


def test_a_host_without_privcmd_says_why() -> None:
    plain = remote([sys.executable, "-I", "-c", agent_command(agent_source())])
    with pytest.raises(Unreachable, match="no Xen host"):
        HypercallBackend("xen+ssh://alpha/", plain).host()
    plain.close()


def test_a_remote_without_python() -> None:
    gone = remote(["sh", "-c", "echo sh: python3: not found >&2; exit 127"])
    with pytest.raises(Unreachable, match="remote-python"):
        gone.info()


def test_an_ssh_that_is_not_there() -> None:
    with pytest.raises(Unreachable, match="no-such-ssh"):
        remote(["/no-such-ssh"])


def test_a_link_that_dies_in_the_middle_of_a_call(transport: SshTransport) -> None:
    transport.info()
    transport._process.kill()
    with pytest.raises(Disconnected, match="alpha"):
        transport.info()
    with pytest.raises(Disconnected, match="closed"):
        transport.info()


def test_a_host_that_does_not_answer_is_given_up() -> None:
    silent = remote([sys.executable, "-c", "import time; time.sleep(60)"])
    silent._start_seconds = 0.2
    before = time.monotonic()
    with pytest.raises(Unreachable, match="does not answer"):
        silent.info()
    assert time.monotonic() - before < 5
    assert silent._process.poll() is not None


def test_a_login_script_that_prints_is_a_clear_error() -> None:
    chatty = remote(["sh", "-c", "echo Welcome to alpha, dear operator; cat > /dev/null"])
    with pytest.raises(TmemError, match="alpha"):
        chatty.info()


def test_what_a_login_script_prints_to_stderr_does_no_harm() -> None:
    command = [*DOM0, "import sys; sys.stderr.write('x' * 200000);" + agent_command(agent_source())]
    noisy = remote(command)
    assert noisy.info()["transport"] == "ssh"
    noisy.close()


@pytest.mark.parametrize(
    ("status", "complaint", "kind", "words"),
    [
        (255, "Host key verification failed.", Unreachable, "run `ssh alpha` once"),
        (255, "root@alpha: Permission denied (publickey).", NotPermitted, "does not let this user in"),
        (255, "ssh: connect to host alpha port 22: Connection refused", Unreachable, "Connection refused"),
        (127, "bash: line 1: python3: command not found", Unreachable, "remote-python"),
        (1, "", Unreachable, "status 1"),
    ],
)
def test_ssh_complaints_become_advice(status: int, complaint: str, kind: type[TmemError], words: str) -> None:
    error = diagnosis("alpha", status, complaint, greeted=False)
    assert type(error) is kind
    assert words in str(error)


def test_the_command_survives_any_login_shell() -> None:
    command = ssh_command("alpha", user="root", port=2222, ssh="ssh -F 'my config'", timeout_seconds=7)
    assert command[:3] == ["ssh", "-F", "my config"]
    assert "BatchMode=yes" in command
    assert command[-3:-1] == ["--", "alpha"]
    assert command[command.index("-p") + 1] == "2222"
    assert not set("\n!$`\\") & set(command[-1].replace("'", ""))


@pytest.mark.parametrize("host", ["-oProxyCommand=evil", "a b", "a;b", "", "$(id)"])
def test_hostile_host_names_are_refused(host: str) -> None:
    with pytest.raises(BadInput):
        ssh_command(host)


# The agent's own rules.


def served(request: bytes) -> list[tuple[int, bytes]]:
    """What an agent answers to raw bytes; there is no hypervisor."""
    process = subprocess.run(
        [sys.executable, "-I", "-c", agent_command(agent_source())],
        input=agent_source() + request,
        stdout=subprocess.PIPE,
        check=True,
        timeout=20,
    )
    return list(wire.FrameBuffer().feed(process.stdout))


@pytest.mark.parametrize(
    "request_bytes",
    [
        wire.frame(wire.HELLO, b"HTTP/1.1"),
        wire.frame(wire.HYPERCALLS, b"\xff" * 40),
        wire.frame(wire.HYPERCALLS, b"\x00" * 7),
        b"\xff" * 64,
        wire.frame(wire.HELLO)[:5],
        wire.frame(wire.INFO, b"four")[: wire.HEADER_BYTES],
    ],
)
def test_garbage_ends_the_conversation_with_an_error(request_bytes: bytes) -> None:
    (answer,) = served(request_bytes)
    assert answer[0] == wire.ERROR
    assert wire.decode_error(answer[1]).code == wire.ERROR_PROTOCOL


def test_another_version_is_refused_and_an_unknown_request_survived() -> None:
    strange = wire.frame(wire.HELLO, wire.MAGIC + (99).to_bytes(4, "little"))
    answers = served(strange + wire.frame(77) + wire.frame(wire.DIRECTORY))
    assert [kind for kind, _ in answers] == [wire.ERROR, wire.ERROR, wire.DIRECTORY | wire.ANSWER]
    assert wire.decode_error(answers[0][1]).code == wire.ERROR_VERSION
    assert wire.decode_error(answers[1][1]).code == wire.ERROR_UNKNOWN
    assert wire.decode_directory(answers[2][1]) == []


NEWER_NAMES = {
    *("dataclass", "dataclasses", "asyncio", "pathlib", "secrets", "contextvars", "zoneinfo", "removeprefix"),
    *("removesuffix", "fromisoformat", "nullcontext", "cached_property", "get_running_loop", "breakpoint"),
    *(
        "capture_output",
        "text",
        "isascii",
        "bit_count",
        "pairwise",
        "walrus",
        "ModuleNotFoundError",
        "NoReturn",
    ),
} - {"text"}
OF_PYTHON_3_5 = {"ctypes", "errno", "fcntl", "os", "select", "socket", "struct", "sys", "typing"}


def test_the_agent_holds_to_python_3_5_and_its_standard_library() -> None:
    tree = ast.parse(agent_source(), feature_version=(3, 5))
    newer_syntax = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.AsyncFunctionDef)
    imported: set[str] = set()
    for node in ast.walk(tree):
        assert not isinstance(node, newer_syntax), ast.dump(node)
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, int):
            segment = ast.get_source_segment(agent_source().decode(), node)
            assert segment is None or "_" not in segment
        elif isinstance(node, ast.FunctionDef):
            assert not node.args.posonlyargs
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        assert name not in NEWER_NAMES
    assert imported <= OF_PYTHON_3_5


def test_the_agent_and_the_wire_agree_on_every_number() -> None:
    assert (agent._HELLO, agent._HYPERCALLS, agent._DIRECTORY, agent._INFO) == (
        wire.HELLO,
        wire.HYPERCALLS,
        wire.DIRECTORY,
        wire.INFO,
    )
    assert (agent._ANSWER, agent._ERROR, agent._WIRE_VERSION, agent._MAGIC) == (
        wire.ANSWER,
        wire.ERROR,
        wire.VERSION,
        wire.MAGIC,
    )
    assert (agent.PROTOCOL, agent.VERSION, agent.UNKNOWN, agent.REFUSED, agent.NOT_PERMITTED) == (
        wire.ERROR_PROTOCOL,
        wire.ERROR_VERSION,
        wire.ERROR_UNKNOWN,
        wire.ERROR_REFUSED,
        wire.ERROR_NOT_PERMITTED,
    )
    assert (agent.UNREACHABLE, agent.FAILED) == (wire.ERROR_UNREACHABLE, wire.ERROR_FAILED)
    assert agent._MAX_FRAME_BYTES == wire.MAX_FRAME_BYTES


def test_the_agent_runs_without_the_project_or_anything_else_installed(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_bytes(agent_source())
    script = "import agent, sys; print(sorted(m for m in sys.modules if 'xm_tmem' in m or 'hypervisor' in m))"
    environment = {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]}
    process = subprocess.run(
        [sys.executable, "-S", "-c", script], stdout=subprocess.PIPE, check=True, env=environment, timeout=20
    )
    assert process.stdout.strip() == b"[]"
