# SPDX-License-Identifier: GPL-2.0-only
"""A host's own hypercalls and domain names: the part of the adapter that runs in dom0.

One file with nothing but the standard library in it, and nothing newer than Python 3.5, because it is used twice: the
local transport imports `Privcmd` and `Xenstore` from here, and over ssh the file's text is sent to a remote dom0 and
run there (`main`), where it speaks the framing of hypervisor_model/public/wire.py on its standard input and output.
Nothing is written to the remote host. It lets through only what the control plane needs: `allowed`.
"""
# ruff: noqa: UP006, UP032, UP035, UP045 (what newer Pythons write otherwise)

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import sys
from typing import Dict, List, Optional, Tuple

# Codes of an ERROR frame (wire.py), here also those of an AgentError.
PROTOCOL, VERSION, UNKNOWN, REFUSED, NOT_PERMITTED, UNREACHABLE, FAILED = range(1, 8)


class AgentError(Exception):
    """Something this host cannot do: one of the codes above and a sentence for the user, with `values` in it."""

    def __init__(self, code: int, text: str, *values: object) -> None:
        self.code = code
        self.text = text.format(*values)
        Exception.__init__(self, self.text)


# Hypercalls.

XEN_VERSION, SYSCTL, TMEM_OP = 17, 35, 38
PRIVCMD_PATHS = ("/dev/xen/privcmd", "/proc/xen/privcmd")
BUFFER_PATH = "/dev/xen/hypercall"
IOCTL_PRIVCMD_HYPERCALL = 0x00305000
_HYPERCALL = struct.Struct("=6Q")  # number, five registers
_POINTER = struct.Struct("<Q")
_VERSION_ARGUMENT = struct.Struct("<IxxxxQ")  # command, buffer: the registers of xen_version

_PAGE = 4096
_PROT_NONE, _PROT_READ_WRITE = 0, 3
_MAP_SHARED, _MAP_PRIVATE, _MAP_FIXED, _MAP_ANONYMOUS = 0x01, 0x02, 0x10, 0x20
_MAP_LOCKED, _MAP_NORESERVE, _MAP_POPULATE = 0x2000, 0x4000, 0x8000
_MADV_DONTFORK = 10
_MAP_FAILED = ctypes.c_void_p(-1).value


class Privcmd:
    """The privcmd device: hypercalls of this kernel. Raises AgentError; what Xen answers it returns."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._fd = _open_privcmd()
        try:
            self._buffer_fd = os.open(BUFFER_PATH, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # Linux before 4.18
            self._buffer_fd = -1
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.mmap.argtypes = (
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_long,
        )
        self._libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        self._libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

    def close(self) -> None:
        """Close the device. Closing twice is harmless."""
        for fd in (self._fd, self._buffer_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._buffer_fd = -1

    def call(self, number: int, argument: bytes, offset: Optional[int], buffer: Optional[bytearray]) -> int:
        """One hypercall: its value, or -errno. `buffer` is changed in place; its address goes to `offset`."""
        if self._fd < 0:
            raise AgentError(UNREACHABLE, "the connection to Xen is closed")
        if os.getpid() != self._pid:
            raise AgentError(FAILED, "a connection to Xen cannot be used after a fork; open another")
        size = 0 if buffer is None else -(-len(buffer) // 16) * 16
        room = -(-size // _PAGE) * _PAGE
        memory = self._map(_PAGE + room)
        try:
            address = memory + _PAGE + room - size  # its end is the guard page
            if buffer is not None and offset is not None:
                # This writes to every page: Xen needs them present, and sees nothing of one only read so far.
                ctypes.memmove(address, bytes(buffer), len(buffer))
                argument = argument[:offset] + _POINTER.pack(address) + argument[offset + 8 :]
            if number == XEN_VERSION:
                command, pointer = _VERSION_ARGUMENT.unpack(argument)
                value = self._ioctl(number, command, pointer)
            else:
                ctypes.memmove(memory, argument, len(argument))
                value = self._ioctl(number, memory, 0)
            if buffer is not None:
                buffer[:] = ctypes.string_at(address, len(buffer))
            return value
        finally:
            self._libc.munmap(memory, _PAGE + room + _PAGE)

    def _ioctl(self, number: int, first: int, second: int) -> int:
        try:
            registers = bytearray(_HYPERCALL.pack(number, first, second, 0, 0, 0))
            return int(fcntl.ioctl(self._fd, IOCTL_PRIVCMD_HYPERCALL, registers))
        except OSError as error:
            if error.errno == errno.ENOTTY:
                raise AgentError(UNREACHABLE, "privcmd takes no hypercalls: is it Xen's?") from error
            if error.errno == errno.EINTR:
                raise AgentError(FAILED, "interrupted; whether the call took effect is unknown") from error
            return -(error.errno or errno.EIO)

    def _map(self, size: int) -> int:
        """The address of `size` bytes that a hypercall may use, with a page behind them that nothing can touch.

        LIST of many lines writes behind its buffer, and two mappings of the device lie side by side.
        """
        whole = self._mmap(None, size + _PAGE, _PROT_NONE, _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_NORESERVE, -1)
        try:
            if self._buffer_fd >= 0:
                try:
                    self._mmap(whole, size, _PROT_READ_WRITE, _MAP_SHARED | _MAP_FIXED, self._buffer_fd)
                    return whole
                except AgentError:  # Linux before 4.20 gives 64 pages and no more
                    pass
            flags = _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_FIXED | _MAP_POPULATE
            try:
                self._mmap(whole, size, _PROT_READ_WRITE, flags | _MAP_LOCKED, -1)
            except AgentError:  # over the limit of locked memory: written to it will be all the same
                self._mmap(whole, size, _PROT_READ_WRITE, flags, -1)
            # A fork would make it copy-on-write under Xen's hands.
            self._libc.madvise(whole, size, _MADV_DONTFORK)
            return whole
        except AgentError:
            self._libc.munmap(whole, size + _PAGE)
            raise

    def _mmap(self, address: Optional[int], size: int, protection: int, flags: int, fd: int) -> int:
        where = self._libc.mmap(address, size, protection, flags, fd, 0)
        if where is None or where == _MAP_FAILED:
            raise AgentError(FAILED, "no memory for a hypercall: {}", os.strerror(ctypes.get_errno()))
        return int(where)


def _open_privcmd() -> int:
    for path in PRIVCMD_PATHS:
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                continue
            if error.errno in (errno.EACCES, errno.EPERM):
                raise AgentError(NOT_PERMITTED, "{} may not be opened: hypercalls take root", path) from error
            raise AgentError(UNREACHABLE, "{}: {}", path, os.strerror(error.errno or 0)) from error
    if hypervisor_type() == "xen":
        raise AgentError(UNREACHABLE, "this runs on Xen without {}: modprobe xen-privcmd", PRIVCMD_PATHS[0])
    raise AgentError(UNREACHABLE, "this is no Xen host: there is no {}", PRIVCMD_PATHS[0])


def hypervisor_type() -> str:
    """What Linux says it runs on, "" for bare metal: every release of Xen is told by this, for every user."""
    return _first_line("/sys/hypervisor/type")


def hypervisor_version() -> str:
    """The version in the words of Linux: "4.12.4", "" where it does not say."""
    parts = [_first_line("/sys/hypervisor/version/" + name) for name in ("major", "minor", "extra")]
    return "{}.{}{}".format(*parts) if parts[0] else ""


def _first_line(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.readline(256).strip()
    except OSError:
        return ""


# Names.

XENSTORE_SOCKETS = ("/var/run/xenstored/socket", "/run/xenstored/socket")
XENSTORE_DEVICES = ("/dev/xen/xenbus", "/proc/xen/xenbus")
_XS_DIRECTORY, _XS_READ, _XS_ERROR, _XS_DIRECTORY_PART = 1, 2, 16, 20
_XS_HEADER = struct.Struct("<IIII")  # type, request, transaction, payload bytes
_XS_PAYLOAD_BYTES = 4096
_XS_TIMEOUT_SECONDS = 5.0


class Xenstore:
    """Reads xenstore, and does nothing else to it. Raises OSError where it is not there or does not answer."""

    def __init__(
        self, sockets: Tuple[str, ...] = XENSTORE_SOCKETS, devices: Tuple[str, ...] = XENSTORE_DEVICES
    ) -> None:
        self._socket = None  # type: Optional[socket.socket]
        self._fd = -1
        self._last_request = 0
        for path in sockets:
            if os.path.exists(path):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._socket.settimeout(_XS_TIMEOUT_SECONDS)
                try:
                    self._socket.connect(path)
                except OSError:
                    self.close()
                    raise
                return
        for path in devices:
            if os.path.exists(path):
                self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                return
        raise OSError(errno.ENOENT, "no xenstore here")

    def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def names(self) -> Dict[int, str]:
        """The name of each domain by its id, as it stands there: hostile text."""
        names = {}  # type: Dict[int, str]
        for entry in self.directory("/local/domain"):
            if entry.isdigit() and len(entry) <= 5:
                try:
                    names[int(entry)] = self.read("/local/domain/{}/name".format(entry))
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.EACCES):  # gone since, or none of our business
                        raise
        return names

    def read(self, path: str) -> str:
        """The value at `path`."""
        return self._ask(_XS_READ, path).decode("utf-8", "replace")

    def directory(self, path: str) -> List[str]:
        """The entries under `path`."""
        try:
            raw = self._ask(_XS_DIRECTORY, path)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            raw = self._directory_in_parts(path)
        return [entry.decode("ascii", "replace") for entry in raw.split(b"\0") if entry]

    def _directory_in_parts(self, path: str) -> bytes:
        """More entries than one answer holds: parts by offset, each led by the count of changes so far."""
        whole = b""
        while len(whole) < 1 << 20:
            _, _, part = self._ask(_XS_DIRECTORY_PART, path, str(len(whole))).partition(b"\0")
            whole += part
            if part.endswith(b"\0\0") or part in (b"", b"\0"):
                break
        return whole

    def _ask(self, kind: int, *texts: str) -> bytes:
        payload = b"".join(text.encode() + b"\0" for text in texts)
        self._last_request += 1
        self._write(_XS_HEADER.pack(kind, self._last_request, 0, len(payload)) + payload)
        answered, request, _, size = _XS_HEADER.unpack(self._take(_XS_HEADER.size))
        if size > _XS_PAYLOAD_BYTES or request != self._last_request:
            raise OSError(errno.EPROTO, "xenstore answers out of turn")
        body = self._take(size)
        if answered == _XS_ERROR:
            name = body.rstrip(b"\0").decode("ascii", "replace")
            raise OSError(getattr(errno, name, errno.EIO), "xenstore: " + name)
        if answered != kind:
            raise OSError(errno.EPROTO, "xenstore answers another question")
        return body

    def _write(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.sendall(data)
        else:
            os.write(self._fd, data)

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            rest = size - len(data)
            more = self._socket.recv(rest) if self._socket else self._read_device(rest)
            if not more:
                raise OSError(errno.EPIPE, "xenstore closed the connection")
            data += more
        return data

    def _read_device(self, size: int) -> bytes:
        # A read of the device waits for ever where no xenstored runs.
        if not select.select([self._fd], [], [], _XS_TIMEOUT_SECONDS)[0]:
            raise OSError(errno.ETIMEDOUT, "xenstore does not answer")
        return os.read(self._fd, size)


# What a client may ask for.

_SYSCTL_GETDOMAININFOLIST, _SYSCTL_TMEM_OP = 6, 24
_TMEM_CONTROL, _TMEM_AUTH, _TMEM_RESTORE_NEW = 0, 101, 102
_XENVER_VERSION, _XENVER_EXTRAVERSION, _XENVER_COMMANDLINE = 0, 1, 9
_ALLOWED = {
    XEN_VERSION: (_XENVER_VERSION, _XENVER_EXTRAVERSION, _XENVER_COMMANDLINE),
    SYSCTL: (_SYSCTL_GETDOMAININFOLIST, _SYSCTL_TMEM_OP),
    TMEM_OP: (_TMEM_CONTROL, _TMEM_AUTH, _TMEM_RESTORE_NEW),
}
_ARGUMENT_BYTES = {XEN_VERSION: (16, 16), SYSCTL: (136, 136), TMEM_OP: (32, 64)}


def allowed(number: int, argument: bytes) -> bool:
    """Is this one of tmem's control calls, a version query or the list of domains?"""
    least, most = _ARGUMENT_BYTES.get(number, (1, 0))
    return least <= len(argument) <= most and int.from_bytes(argument[:4], "little") in _ALLOWED[number]


# The wire (see wire.py, whose words these are).

_HELLO, _HYPERCALLS, _DIRECTORY, _INFO, _ANSWER, _ERROR = 1, 2, 3, 4, 0x80, 0xFF
_MAGIC, _WIRE_VERSION = b"XMTM", 1
_HEADER, _GREETING = struct.Struct("<II"), struct.Struct("<4sI")
_WORD, _LENGTH = struct.Struct("<I"), struct.Struct("<H")
_CALL, _RESULT = struct.Struct("<IiIII"), struct.Struct("<qI")
_MAX_BUFFER_BYTES, _MAX_ARGUMENT_BYTES, _MAX_CALLS = 64 << 20, 1024, 4096
_MAX_FRAME_BYTES = _MAX_BUFFER_BYTES + (8 << 20)


class Server:
    """Answers one client on a pair of file descriptors until the stream ends."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        self._privcmd = None  # type: Optional[Privcmd]

    def run(self) -> None:
        """Serve. A broken rule of the protocol is answered, and ends the stream."""
        while True:
            try:
                header = self._take(_HEADER.size)
                if not header:
                    return
                kind, size = _HEADER.unpack(header)
                if size > _MAX_FRAME_BYTES:
                    raise AgentError(PROTOCOL, "a frame of {} bytes", size)
                payload = self._take(size)
                if len(payload) < size:
                    raise EOFError("the stream ended behind a header")
            except (AgentError, EOFError) as error:
                self._give(_ERROR, _WORD.pack(PROTOCOL) + _text(str(error)))
                return
            try:
                self._give(kind | _ANSWER, self._answer(kind, payload))
            except AgentError as error:
                self._give(_ERROR, _WORD.pack(error.code) + _text(error.text))
                if error.code == PROTOCOL:
                    return

    def _answer(self, kind: int, payload: bytes) -> bytes:
        if kind == _HYPERCALLS:
            return self._hypercalls(payload)
        if kind == _DIRECTORY:
            return _directory()
        if kind == _INFO:
            return _fields(_facts())
        if kind == _HELLO:
            if payload[:4] != _MAGIC or len(payload) != _GREETING.size:
                raise AgentError(PROTOCOL, "not a greeting")
            if _GREETING.unpack(payload)[1] != _WIRE_VERSION:
                raise AgentError(VERSION, "the agent speaks version {} of the protocol", _WIRE_VERSION)
            return _GREETING.pack(_MAGIC, _WIRE_VERSION) + _fields(_facts())
        raise AgentError(UNKNOWN, "the agent knows no request {}", kind)

    def _hypercalls(self, payload: bytes) -> bytes:
        parts = []
        calls = _calls(payload)
        for number, argument, _, _ in calls:
            if not allowed(number, argument):
                raise AgentError(REFUSED, "the agent lets no hypercall {} of this kind through", number)
        if self._privcmd is None:
            self._privcmd = Privcmd()
        for number, argument, offset, buffer in calls:
            value = self._privcmd.call(number, argument, offset, buffer)
            sent = b"" if buffer is None else bytes(buffer.rstrip(b"\0"))
            parts.append(_RESULT.pack(value, len(sent)) + sent)
        return b"".join(parts)

    def _take(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = os.read(self._read_fd, min(size - len(data), 1 << 20))
            if not more:
                if data:
                    raise EOFError("the stream ended in the middle of a message")
                return b""
            data += more
        return bytes(data)

    def _give(self, kind: int, payload: bytes) -> None:
        rest = memoryview(_HEADER.pack(kind, len(payload)) + payload)
        while rest:
            rest = rest[os.write(self._write_fd, rest) :]


def _calls(payload: bytes) -> List[Tuple[int, bytes, Optional[int], Optional[bytearray]]]:
    calls = []  # type: List[Tuple[int, bytes, Optional[int], Optional[bytearray]]]
    at, room = 0, _MAX_BUFFER_BYTES
    while at < len(payload):
        if len(payload) - at < _CALL.size or len(calls) == _MAX_CALLS:
            raise AgentError(PROTOCOL, "malformed list of hypercalls")
        number, offset, argument_bytes, buffer_bytes, sent = _CALL.unpack_from(payload, at)
        at += _CALL.size
        room -= buffer_bytes
        end = at + argument_bytes + sent
        if argument_bytes > _MAX_ARGUMENT_BYTES or room < 0 or sent > buffer_bytes or end > len(payload):
            raise AgentError(PROTOCOL, "malformed hypercall")
        argument = payload[at : at + argument_bytes]
        if offset < 0:
            calls.append((number, argument, None, None))
        elif offset > argument_bytes - 8:
            raise AgentError(PROTOCOL, "a hypercall's pointer outside its argument")
        else:
            buffer = bytearray(buffer_bytes)
            buffer[:sent] = payload[at + argument_bytes : end]
            calls.append((number, argument, offset, buffer))
        at = end
    return calls


def _directory() -> bytes:
    try:
        store = Xenstore()
        try:
            names = store.names()
        finally:
            store.close()
    except OSError:
        names = {}
    parts = [_WORD.pack(domid) + _text(name) + _text("") for domid, name in sorted(names.items())]
    return _WORD.pack(len(parts)) + b"".join(parts)


def _facts() -> Dict[str, str]:
    return {
        "transport": "ssh",
        "host": os.uname().nodename,
        "kernel": os.uname().release,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "user": str(os.geteuid()),
        "hypervisor": hypervisor_type() + " " + hypervisor_version(),
    }


def _fields(fields: Dict[str, str]) -> bytes:
    return _WORD.pack(len(fields)) + b"".join(
        _text(key) + _text(value) for key, value in sorted(fields.items())
    )


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "replace")[:0xFFFF]
    return _LENGTH.pack(len(raw)) + raw


def main() -> None:
    """Serve standard input and output, which nothing else may write to from here on."""
    write_fd = os.dup(1)
    os.dup2(2, 1)
    try:
        Server(0, write_fd).run()
    except (BrokenPipeError, ConnectionError):
        pass  # whoever asked has gone
