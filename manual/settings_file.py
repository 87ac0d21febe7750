"""scheduler.toml(5): the settings, by the comments in the file as it is installed and by the table of options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobscheduler.config import DEFAULT_CONFIG, OPTIONS
from jobscheduler.config.options import Option
from manual.roff import Page, bold, sentence

_KEY = re.compile(r"#([a-z-]+) = ")


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the file: its comment in sentences, and the lines below that, which are commented out."""

    text: str
    lines: Sequence[str]

    @property
    def keys(self) -> list[str]:
        """The keys that it shows."""
        return [match[1] for line in self.lines if (match := _KEY.match(line))]

    @property
    def is_table(self) -> bool:
        """Whether it shows a table, such as `[defaults]`."""
        return bool(self.lines) and self.lines[0].startswith("#[")


def blocks(text: str) -> Iterator[Block]:
    """Yield the parts of the file; those without lines are remarks on the whole."""
    for part in text.strip().split("\n\n"):
        lines = part.splitlines()
        comment = [line.removeprefix("#").strip() for line in lines if line.startswith("# ") or line == "#"]
        shown = [line for line in lines if line.startswith("#") and line[1:2] not in (" ", "")]
        for paragraph in "\n".join(comment).split("\n\n"):
            yield Block(" ".join(paragraph.split()), shown)


def page(root: Path, date: int | None) -> Page:
    """Return the page."""
    parts = list(blocks((root / "systemd/scheduler.toml").read_text("utf-8")))
    title = parts[0].text.partition(".")[0]
    made = Page("scheduler.toml", 5, title[:1].lower() + title[1:], date)
    made.heading("synopsis")
    made.usage(str(DEFAULT_CONFIG))
    made.heading("description")
    for part in parts:
        if not part.lines:
            made.paragraph(part.text)
    made.heading("settings")
    shown = {key for part in parts if not part.is_table for key in part.keys}
    for part in parts:
        if part.keys and not part.is_table:
            made.entry(*(bold(line[1:]) for line in part.lines), texts=[part.text, *_elsewhere(part.keys)])
    for option in OPTIONS:
        if option.key not in shown:
            made.entry(
                bold(f"{option.key} = {option.metavar}"), texts=[sentence(option.help), *_elsewhere([option.key])]
            )
    made.heading("fields of all jobs")
    for part in parts:
        if part.is_table:
            made.paragraph(part.text)
            made.example("\n".join(_with_remark_above(line[1:]) for line in part.lines))
    made.heading("see also")
    made.paragraph("jobscheduler(1), jobscheduler-job(5)")
    return made


def _elsewhere(keys: Sequence[str]) -> Iterator[str]:
    """Yield how else these settings are given."""
    found: list[Option] = [option for option in OPTIONS if option.key in keys]
    ways = [f"`{option.flag}`, `{option.variable}`" for option in found]
    yield f"On the command line and in the environment: {'; '.join(ways)}."


def _with_remark_above(line: str) -> str:
    """Put the remark at the end of a line above it, so that neither is too wide."""
    setting, _, remark = line.partition("  # ")
    return f"# {remark}\n{setting}" if remark else line
