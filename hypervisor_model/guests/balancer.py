# SPDX-License-Identifier: GPL-2.0-only
"""Dom0's memory policy module: the half of 2008's overcommit that was announced and never written.

It sets each guest's memory/target; the daemon or the driver in the guest follows.  Three rules:
  proportional   what is left above the minima is shared by weight
  equal-ratio    every guest gets the same fraction of the way from its minimum to its maximum (XenServer's squeezed)
  squeeze        guests keep their need plus a margin while there is room; then all give in proportion to their surplus
Units     pages.
Left out  the hysteresis: that is the guest's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MARGIN_PERCENT: Final = 20  # of the need, in `squeeze`


@dataclass(frozen=True, slots=True)
class Member:
    """A guest as dom0 sees it: `need` is what it reports to be committed."""

    name: str
    minimum: int
    maximum: int
    need: int
    weight: int = 256


Targets = dict[str, int]


def _bounded(member: Member, pages: int) -> int:
    return max(member.minimum, min(member.maximum, pages))


def proportional(members: Sequence[Member], available: int) -> Targets:
    """Shares by weight above the minima; what a guest cannot use goes round again."""
    targets = {member.name: member.minimum for member in members}
    left = max(0, available - sum(targets.values()))
    open_ = [member for member in members if member.weight > 0 and member.maximum > member.minimum]
    while left > 0 and open_:
        total = sum(member.weight for member in open_)
        given = 0
        for member in open_:
            room = member.maximum - targets[member.name]
            share = min(room, left * member.weight // total)
            targets[member.name] += share
            given += share
        if given == 0:
            break
        left -= given
        open_ = [member for member in open_ if targets[member.name] < member.maximum]
    return targets


def equal_ratio(members: Sequence[Member], available: int) -> Targets:
    """The same (target - minimum) / (maximum - minimum) for all."""
    floor = sum(member.minimum for member in members)
    span = sum(member.maximum - member.minimum for member in members)
    above = max(0, min(available - floor, span))
    return {
        member.name: member.minimum + (above * (member.maximum - member.minimum) // span if span else 0)
        for member in members
    }


def squeeze(members: Sequence[Member], available: int) -> Targets:
    """Need plus a margin for each; if that is too much, each gives in proportion to what it has above its minimum."""
    wanted = {
        member.name: _bounded(member, member.need * (100 + MARGIN_PERCENT) // 100) for member in members
    }
    excess = sum(wanted.values()) - available
    if excess <= 0:
        return wanted
    above = sum(wanted[member.name] - member.minimum for member in members)
    if above == 0:
        return wanted
    return {
        member.name: wanted[member.name]
        - min(
            wanted[member.name] - member.minimum, -(-excess * (wanted[member.name] - member.minimum) // above)
        )
        for member in members
    }


POLICIES: Final[Mapping[str, Callable[[Sequence[Member], int], Targets]]] = {
    "proportional": proportional,
    "equal-ratio": equal_ratio,
    "squeeze": squeeze,
}
