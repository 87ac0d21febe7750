"""Write the manual pages.

Run: python -m manual DIR
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from manual import command, job_file, settings_file
from manual.roff import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = (command.page, job_file.page, settings_file.page)


def pages(epoch: str | None) -> list[Page]:
    """Return all pages. `epoch` is the date that they show, in seconds since 1970; None for none."""
    seconds = None if not epoch else int(epoch)
    return [make(ROOT, seconds) for make in PAGES]


def main(to: Path) -> None:
    """Write each page into the folder of its section."""
    for page in pages(os.environ.get("SOURCE_DATE_EPOCH")):
        folder = to / f"man{page.section}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{page.name}.{page.section}").write_text(page.text(), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
