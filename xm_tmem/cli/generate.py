# SPDX-License-Identifier: GPL-2.0-only
"""Files made from the command tree: completion scripts and man pages. `python -m xm_tmem.cli.generate DIRECTORY`."""

from __future__ import annotations

import os
import sys

from xm_tmem.cli.manual import pages
from xm_tmem.cli.shells import FILE_NAMES, SHELLS, script


def generated() -> dict[str, str]:
    """Path below the repository -> what has to be there."""
    files = {f"completions/{FILE_NAMES[shell]}": script(shell) for shell in SHELLS}
    files.update((f"docs/man/{name}", text) for name, text in pages().items())
    return files


def main(directory: str) -> None:
    """Write what is not there or is not as it should be; man pages of commands that are no more go away."""
    files = generated()
    manual = os.path.join(directory, "docs", "man")
    for name in os.listdir(manual) if os.path.isdir(manual) else ():
        if f"docs/man/{name}" not in files:
            os.remove(os.path.join(manual, name))
    for path, text in files.items():
        place = os.path.join(directory, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as file:
            file.write(text)
    sys.stdout.write(f"{len(files)} files\n")


if __name__ == "__main__":
    main(sys.argv[1])
