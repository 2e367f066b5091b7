# SPDX-License-Identifier: GPL-2.0-only
"""From a connection URI to a Backend. Each kind imports what it needs when it is asked for, and nothing else.

    xen:///                            this host's Xen (also xen:///system)
    xen+ssh://[user@]host[:port]/      a remote dom0
    model:[NAME]                       the running model host NAME
    scenario:FILE                      boot the scenario in this process, run it, answer from its final state
    replay:FILE[@MOMENT]               a saved listing, or the capture of a moment (the last) of a recording

Without a URI: this host's Xen if it is one, else the default model host if it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xm_tmem.backends.interface import Backend
from xm_tmem.errors import BadInput, Unreachable

if TYPE_CHECKING:
    from xm_tmem.backends.domains import DomainDirectory
    from xm_tmem.backends.domains.libvirt_events import LibvirtEvents
    from xm_tmem.backends.hypercall import HypercallBackend
    from xm_tmem.backends.transport import Transport
    from xm_tmem.settings import Settings

DEFAULT_MODEL: Final = "default"
_MAX_PORT: Final = 65535
_KINDS: Final = "xen:///, xen+ssh://HOST/, model:NAME, scenario:FILE or replay:FILE"


def connect(uri: str | None, settings: Settings) -> Backend:
    """The backend that `uri` names, or (None) the one this machine offers. Little is sent before it is used.

    Raises BadInput, Unreachable, NotPermitted.
    """
    if not uri:
        return _found_here(settings)
    if not uri.isprintable():
        raise BadInput(f"{uri!r} is no connection: use {_KINDS}")
    kind, colon, rest = uri.partition(":")
    if not colon:
        raise BadInput(f"{uri!r} is no connection: use {_KINDS}")
    if kind == "xen":
        return _this_xen(rest, settings)
    if kind == "xen+ssh":
        return _remote_xen(uri, rest, settings)
    if kind == "model":
        return _model(rest or DEFAULT_MODEL, settings)
    if kind == "scenario":
        return _scenario(uri, rest, settings)
    if kind == "replay":
        from xm_tmem.backends.replay import open_saved

        return open_saved(uri, rest)
    raise BadInput(f"{uri!r} is no connection: use {_KINDS}")


def _found_here(settings: Settings) -> Backend:
    if is_control_domain():
        return _this_xen("///", settings)
    try:
        return _model(DEFAULT_MODEL, settings)
    except Unreachable as error:
        raise Unreachable(
            "no hypervisor here: this is no Xen host, and no model host is running; "
            "start one with `xm model start`, or say which with -c"
        ) from error


def is_control_domain() -> bool:
    """Whether this machine is the dom0 of a Xen host, as far as its files tell."""
    try:
        with open("/sys/hypervisor/type") as file:
            if file.read(16).strip() != "xen":
                return False
    except OSError:
        return False
    try:
        with open("/proc/xen/capabilities") as file:
            return "control_d" in file.read(256)
    except OSError:
        return True  # xenfs is not mounted; then the device decides


def _this_xen(rest: str, settings: Settings) -> Backend:
    if rest not in ("", "/", "///", "///system"):
        raise BadInput(f"xen:{rest} is no connection: xen:/// is this host, xen+ssh://HOST/ another")
    from xm_tmem.backends.transport.privcmd import PrivcmdTransport

    try:
        transport = PrivcmdTransport()
    except Unreachable as error:
        if is_control_domain():
            raise
        raise Unreachable(f"{error}; `xm model start` makes a model of one") from error
    from xm_tmem.backends.domains.xenstore_directory import XenstoreDirectory
    from xm_tmem.backends.hypercall import HypercallBackend

    directories: list[DomainDirectory] = [*_chosen_libvirt(settings), XenstoreDirectory()]
    if not _libvirt_is_chosen(settings) and settings.libvirt_uri:
        directories += _libvirt(settings)
    return HypercallBackend("xen:///", transport, directories)


def _remote_xen(uri: str, rest: str, settings: Settings) -> Backend:
    user, host, port = _authority(uri, rest)
    from xm_tmem.backends.transport.ssh import SshTransport, is_interactive, ssh_command

    interactive = is_interactive()
    command = ssh_command(
        host,
        user=user,
        port=port,
        ssh=settings.ssh,
        remote_python=settings.remote_python,
        timeout_seconds=settings.timeout,
        interactive=interactive,
    )
    transport = SshTransport(host, command, timeout_seconds=settings.timeout, interactive=interactive)
    return _hypercall_backend(uri, transport, settings)


def _authority(uri: str, rest: str) -> tuple[str | None, str, int | None]:
    """(user, host, port) of `//[user@]host[:port]/`. Raises BadInput."""
    if not rest.startswith("//"):
        raise BadInput(f"{uri!r} is no connection: write xen+ssh://[user@]host[:port]/")
    authority, _, path = rest[2:].partition("/")
    if path not in ("", "system"):
        raise BadInput(f"{uri!r} is no connection: there is nothing behind the host")
    user, at, address = authority.rpartition("@")
    host, port = address, ""
    if address.startswith("["):
        host, bracket, port = address.partition("]")
        host += bracket
    elif ":" in address:
        host, _, port = address.partition(":")
        port = ":" + port
    if not host or (at and not user):
        raise BadInput(f"{uri!r} is no connection: write xen+ssh://[user@]host[:port]/")
    if not port:
        return user or None, host, None
    digits = port[1:]
    if not (port[0] == ":" and digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) <= _MAX_PORT):
        raise BadInput(f"{uri!r} has no port number behind the colon")
    return user or None, host, int(digits)


def _model(name: str, settings: Settings) -> Backend:
    from xm_tmem.backends.transport.socket import SocketTransport

    return _hypercall_backend(
        f"model:{name}", SocketTransport(name, timeout_seconds=settings.timeout), settings
    )


def _scenario(uri: str, path: str, settings: Settings) -> Backend:
    if not path:
        raise BadInput("scenario: what file? write scenario:FILE")
    from hypervisor_model.scenario.errors import ScenarioError
    from hypervisor_model.scenario.runner import boot_and_run
    from xm_tmem.backends.transport.inprocess import InProcessTransport

    try:
        hypervisor, names = boot_and_run(path)
    except ScenarioError as error:
        raise BadInput(str(error)) from error
    return _hypercall_backend(uri, InProcessTransport(hypervisor, names), settings)


def _hypercall_backend(name: str, transport: Transport, settings: Settings) -> HypercallBackend:
    """A backend whose names come from its own transport, unless the user named a libvirt to ask."""
    from xm_tmem.backends.hypercall import HypercallBackend

    return HypercallBackend(name, transport, _chosen_libvirt(settings))


def _libvirt_is_chosen(settings: Settings) -> bool:
    return settings.origins.get("libvirt-uri", "built-in") != "built-in"


def _chosen_libvirt(settings: Settings) -> list[DomainDirectory]:
    return _libvirt(settings) if settings.libvirt_uri and _libvirt_is_chosen(settings) else []


def _libvirt(settings: Settings) -> list[DomainDirectory]:
    from xm_tmem.backends.domains.libvirt_directory import LibvirtDirectory

    return [LibvirtDirectory(settings.libvirt_uri)]


def domain_events(backend: Backend) -> LibvirtEvents | None:
    """Events of domains that start, from the libvirt that names the domains of `backend`; None if none does."""
    from xm_tmem.backends.domains.libvirt_directory import LibvirtDirectory

    for directory in getattr(backend, "directories", ()):
        if isinstance(directory, LibvirtDirectory):
            return directory.events()
    return None
