# SPDX-License-Identifier: GPL-2.0-only
"""Boot options: what of Xen's command line concerns tmem.

Models    boolean_param and parse_params of xen/common/kernel.c for tmem, tmem_compress, tmem_dedup, tmem_tze,
          tmem_shared_auth. `tmem_lock` only chose between kinds of locks and is accepted without effect.
"""

from __future__ import annotations

from typing import Final

_FALSE: Final = frozenset(("no", "off", "false", "disable", "0"))
_TRUE: Final = frozenset(("", "yes", "on", "true", "enable", "1"))
_KNOWN: Final = ("tmem", "tmem_compress", "tmem_dedup", "tmem_tze", "tmem_shared_auth")


class BootOptions:
    """Each option as the hypervisor ends up with it; all are off unless asked for."""

    __slots__ = ("command_line", "compress", "dedup", "shared_auth", "tmem", "tze")

    def __init__(
        self,
        *,
        tmem: bool = True,
        compress: bool = False,
        dedup: bool = False,
        tze: bool = False,
        shared_auth: bool = False,
        command_line: str | None = None,
    ) -> None:
        self.tmem = tmem
        self.compress = compress
        self.dedup = dedup
        self.tze = tze
        self.shared_auth = shared_auth
        self.command_line = self._spelt() if command_line is None else command_line

    def _spelt(self) -> str:
        words = ["tmem=1" if self.tmem else "tmem=0"]
        for name in _KNOWN[1:]:
            if getattr(self, name.removeprefix("tmem_")):
                words.append(f"{name}=1")
        return " ".join(words)


def parse_command_line(command_line: str) -> BootOptions:
    """The options on a Xen command line; the last of several counts, as in C, and others are ignored.

    A boolean is given as NAME, NAME=on (yes, true, enable, 1), NAME=off (no, false, disable, 0) or no-NAME.
    Raises ValueError for a value that is none of these.
    """
    found: dict[str, bool] = {}
    for word in command_line.split():
        name, _, value = word.partition("=")
        negated = name.startswith("no-")
        if negated:
            name = name[3:]
        if name not in _KNOWN:
            continue
        if value in _TRUE:
            setting = True
        elif value in _FALSE:
            setting = False
        else:
            raise ValueError(f"boot option {word!r}: {value!r} is neither on nor off")
        found[name] = setting != negated
    return BootOptions(
        tmem=found.get("tmem", False),
        compress=found.get("tmem_compress", False),
        dedup=found.get("tmem_dedup", False),
        tze=found.get("tmem_tze", False),
        shared_auth=found.get("tmem_shared_auth", False),
        command_line=command_line,
    )
