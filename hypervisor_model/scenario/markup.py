# SPDX-License-Identifier: GPL-2.0-only
"""Text and tables as HTML. What is written comes from files and guests: all of it is escaped, none of it is markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hypervisor_model.scenario.document import printable

MOST_CHARACTERS: Final = 4096


def escaped(text: object) -> str:
    """`text` to stand in an element or an attribute's quotes, control characters replaced."""
    return html.escape(printable(str(text), MOST_CHARACTERS))


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; numbers stand to the right, None is a dash."""
    parts = [f"<h2>{escaped(title)}</h2>", '<div class="scroll"><table><thead><tr>']
    parts += [f"<th>{escaped(heading.replace('_', ' '))}</th>" for heading in headings]
    parts.append("</tr></thead><tbody>")
    for row in rows:
        parts.append("<tr>" + "".join(_cell(value) for value in row) + "</tr>")
    parts.append("</tbody></table></div>")
    return "\n".join(parts)


def _cell(value: Any) -> str:
    if value is None:
        return '<td class="number">-</td>'
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    if isinstance(value, float):
        return (
            f'<td class="number">{value:,.4g}</td>'
            if abs(value) < 1e4
            else f'<td class="number">{value:,.0f}</td>'
        )
    return f"<td>{escaped(value)}</td>"
