# SPDX-License-Identifier: GPL-2.0-only
"""Settings: what /etc/xm/config.yaml, the user's config.yaml and the environment say, each with where it came from.

A later source wins over an earlier one: built-in, /etc/xm/config.yaml, $XDG_CONFIG_HOME/xm/config.yaml (or the
file $XM_CONFIG names, alone), environment. Options of the command line win over all and are not seen here.
SETTINGS is the one table: the file `xm config init` writes, `xm config show`, and the checks are made from it.
YAML is imported only when there is a file to read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from xm_tmem.errors import BadInput

MAX_CONFIG_BYTES = 1 << 20
FORMATS = ("auto", "table", "plain", "json", "jsonl", "yaml", "csv", "raw", "prometheus")
COLORS = ("auto", "always", "never")
UNITS = ("auto", "pages", "bytes", "KiB", "MiB")
UUID_ORDERS = ("xen", "linux")


class Setting:
    """One setting: its key in the file, its environment variable, how its value is read, and what it is for."""

    __slots__ = ("attribute", "default", "environment", "key", "purpose", "read")

    def __init__(
        self, key: str, environment: str, default: object, read: Callable[[object], object], purpose: str
    ) -> None:
        self.key, self.environment, self.default, self.read, self.purpose = (
            key,
            environment,
            default,
            read,
            purpose,
        )
        self.attribute = key.replace("-", "_")


class Settings:
    """The values in force; `origins` says for each key where it came from."""

    connect: tuple[str, ...]  # connection URIs or group names; empty: find one
    groups: dict[str, tuple[str, ...]]  # name -> connection URIs
    output: str
    color: str
    units: str
    columns: str
    timeout: float  # seconds
    libvirt_uri: str  # empty: do not ask libvirt
    ssh: str
    remote_python: str
    uuid_order: str
    confirm: bool
    check: dict[str, str | int | float | bool]  # rule of tmem-check -> its limit

    def __init__(self) -> None:
        self.origins: dict[str, str] = {}
        for setting in SETTINGS:
            self._set(setting, setting.default, "built-in")

    def _set(self, setting: Setting, value: object, origin: str) -> None:
        try:
            setattr(self, setting.attribute, setting.read(value))
        except ValueError as error:
            raise BadInput(f"{origin}: {setting.key}: {error}") from None
        self.origins[setting.key] = origin

    def read_mapping(self, values: object, origin: str) -> None:
        """Take over what a config file holds. Raises BadInput, naming `origin`, for what is no setting."""
        if values is None:
            return
        if not isinstance(values, dict):
            raise BadInput(f"{origin}: expected `setting: value` lines at the top level")
        known = {setting.key: setting for setting in SETTINGS}
        for key, value in values.items():
            if key not in known:
                raise BadInput(f"{origin}: no setting is called {key!r}: use {', '.join(known)}")
            if value is not None:
                self._set(known[key], value, origin)

    def read_environment(self, environ: Mapping[str, str]) -> None:
        """Take over the XM_* variables that are set and not empty. Raises BadInput."""
        for setting in SETTINGS:
            text = environ.get(setting.environment) if setting.environment else None
            if text:
                self._set(setting, text, f"${setting.environment}")

    def connections(self, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
        """`wanted`, or else the configured connections, with the names of groups replaced by their members."""
        uris: list[str] = []
        for name in wanted or self.connect:
            uris += [uri for uri in self.groups.get(name, (name,)) if uri not in uris]
        return tuple(uris)


def config_files(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where settings are looked for, the weakest first."""
    alone = environ.get("XM_CONFIG")
    return (alone,) if alone else ("/etc/xm/config.yaml", user_config_file(environ))


def user_config_file(environ: Mapping[str, str]) -> str:
    """The user's own config file, which need not exist."""
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    return os.path.join(home, "xm", "config.yaml")


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force. Raises BadInput for a file or a variable that cannot be understood."""
    settings = Settings()
    for path in config_files(environ):
        try:
            with open(path, "rb") as file:
                raw = file.read(MAX_CONFIG_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            if environ.get("XM_CONFIG"):
                raise BadInput(f"$XM_CONFIG names {path}, which does not exist") from None
            continue
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}") from None
        if len(raw) > MAX_CONFIG_BYTES:
            raise BadInput(f"{path}: a config file has at most {MAX_CONFIG_BYTES} bytes")
        if raw.strip():
            settings.read_mapping(parse_yaml(raw, path), path)
    settings.read_environment(environ)
    return settings


def parse_yaml(raw: bytes, path: str) -> object:
    """The plain data in a YAML file. Raises BadInput with the line where it stops making sense."""
    import yaml

    try:
        return yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise BadInput(f"{path}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"expected text, not {value!r}")


def _one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value in choices:
            return str(value)
        raise ValueError(f"{value!r} is none of {', '.join(choices)}")

    return read


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in ("1", "on", "yes", "true"):
        return True
    if text in ("0", "off", "no", "false"):
        return False
    raise ValueError(f"{value!r} is neither on nor off")


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, (str, int, float)) else -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise ValueError(f"{value!r} is no number of seconds between 0 and 3600")
    return seconds


def _uris(value: object) -> tuple[str, ...]:
    items = value.split() if isinstance(value, str) else value
    if isinstance(items, (list, tuple)) and all(isinstance(item, str) and item for item in items):
        return tuple(items)
    raise ValueError("expected a connection, or a list of them")


def _groups(value: object) -> dict[str, tuple[str, ...]]:
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {name: _uris(uris) for name, uris in value.items()}
    raise ValueError("expected `NAME: [CONNECTION, ...]` lines")


def _plain_values(value: object) -> dict[str, str | int | float | bool]:
    if isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(each, (str, int, float)) for name, each in value.items()
    ):
        return value
    raise ValueError("expected `NAME: VALUE` lines")


SETTINGS = (
    Setting("connect", "XM_CONNECT", (), _uris, "the connection used without -c; empty: find one"),
    Setting("groups", "", {}, _groups, "names for several connections: -c rack1 asks all of them at once"),
    Setting("output", "XM_OUTPUT", "auto", _one_of(FORMATS), "auto: a table on a terminal, plain in a pipe"),
    Setting("color", "XM_COLOR", "auto", _one_of(COLORS), "auto: on a terminal; NO_COLOR also turns it off"),
    Setting("units", "XM_UNITS", "auto", _one_of(UNITS), "how amounts of memory are shown"),
    Setting("columns", "XM_COLUMNS", "", _text, "columns of tmem-list: a,b replaces, +a,b adds"),
    Setting("timeout", "XM_TIMEOUT", 10.0, _seconds, "seconds to wait for a hypervisor's answer"),
    Setting(
        "libvirt-uri", "XM_LIBVIRT_URI", "xen:///system", _text, "where names come from; empty: not libvirt"
    ),
    Setting("ssh", "XM_SSH", "ssh", _text, "the OpenSSH client, with options if need be"),
    Setting(
        "remote-python", "XM_REMOTE_PYTHON", "python3", _text, "the Python to run on hosts reached by ssh"
    ),
    Setting(
        "uuid-order", "XM_UUID_ORDER", "xen", _one_of(UUID_ORDERS), "how a shared pool's uuid is written"
    ),
    Setting("confirm", "XM_CONFIRM", True, _switch, "ask on a terminal before something dangerous"),
    Setting("check", "", {}, _plain_values, "limits of tmem-check's rules: {frozen: 2h, hit-rate: off}"),
)
