"""Print what became of the lines of crontabs: as text, or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, Protocol

from jobscheduler.cli.import_lines import State, Verdict
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.imports.cron_habits import discards_output
from jobscheduler.util.terminal_text import printable
from jobscheduler.util.text import plural, quote

_MAX_NAMED = 3  # jobs that a shared remark names
_MARGIN = " " * 11
_CRON_PATH = "/usr/bin:/bin"


def print_verdict(verdict: Verdict, directory: str | None, said_below: Container[str], *, is_shown: bool) -> None:
    """Print one line's verdict without the remarks that are said below; with `is_shown` also the file."""
    print_wrapped(
        printable(f"{state_word(verdict.state, is_dry=is_shown):9}  {_headline(verdict, directory)}"),
        hanging=len(_MARGIN),
    )
    if verdict.message:
        print_wrapped(printable(verdict.message), indent=_MARGIN)
    for remark in verdict.remarks:
        if remark not in said_below:
            print_wrapped(printable(f"note: {remark}"), indent=_MARGIN)
    if verdict.help:
        print_wrapped(printable(f"help: {verdict.help}"), indent=_MARGIN)
    if is_shown and verdict.file is not None and verdict.state in {State.WRITTEN, State.REPLACED}:
        print(verdict.file.raw.decode(), end="")


def _headline(verdict: Verdict, directory: str | None) -> str:
    if verdict.file is None:
        return f"{verdict.place}: {quote(verdict.text)}"
    schedule = verdict.entry.schedule if verdict.entry is not None else ""
    where = verdict.file.name if directory is None else f"{directory.rstrip('/')}/{verdict.file.name}"
    return f"{verdict.place} -> {where}  ({schedule}, as {verdict.user})"


class Remarked(Protocol):
    """A verdict with remarks, on a line or on another thing that was imported."""

    @property
    def job_id(self) -> str:
        """The id of the job."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known about it alone."""

    @property
    def shared(self) -> tuple[str, ...]:
        """What is to be known about many."""


def print_notes(verdicts: Sequence[Verdict]) -> None:
    """Print what is to be known about several lines, once."""
    imported = [verdict for verdict in verdicts if verdict.file is not None]
    if imported:
        print_notes_on(imported, general_differences(imported))


def print_notes_on(imported: Sequence[Remarked], general: Iterable[str]) -> None:
    """Print the remarks that several verdicts share, and those that hold for all."""
    print("\nnotes:")
    for text, ids in shared_remarks(imported).items():
        print_wrapped(printable(f"- {text}{_named(ids, len(imported))}"))
    for text in general:
        print_wrapped(f"- {text}")


def shared_remarks(verdicts: Sequence[Remarked]) -> dict[str, list[str]]:
    """Return each remark that several lines share, with the ids of the jobs."""
    ids: dict[str, list[str]] = {}
    alone = Counter(text for verdict in verdicts for text in verdict.remarks)
    for verdict in verdicts:
        for text in (*verdict.shared, *(text for text in verdict.remarks if alone[text] > 1)):
            ids.setdefault(text, []).append(verdict.job_id)
    return ids


def _named(ids: list[str], count: int) -> str:
    if len(ids) == count and count > 1:
        return ""
    more = f" and {len(ids) - _MAX_NAMED} more" if len(ids) > _MAX_NAMED else ""
    return f" ({', '.join(ids[:_MAX_NAMED])}{more})"


def general_differences(imported: Sequence[Verdict]) -> Iterator[str]:
    """Yield what is different for every job, as far as it concerns these."""
    entries = [verdict.entry for verdict in imported if verdict.entry is not None]
    if any("MAILTO" not in entry.variables for entry in entries):
        yield (
            "mail: cron mails what a run prints; here it is kept (`jobscheduler output JOB`), and a failure is told by "
            "`on_failure`, for all jobs with `--on-failure`"
        )
    if any("PATH" not in entry.variables for entry in entries):
        yield f"PATH: cron's is {_CRON_PATH}; here /usr/local/sbin, /usr/local/bin, /usr/sbin and /sbin are in it too"
    yield 'overlap: cron starts a line again while its last run is at work; here that slot is SKIPPED (`"overlap"`)'
    yield 'outages: cron forgets missed slots; here the last one still runs if it is at most 60 s old (`"catch_up"`)'
    discarding = sum(discards_output(entry.command) for entry in entries)
    if discarding:
        does = "sends its output" if discarding == 1 else "send their output"
        yield f"output: {plural(discarding, 'line')} {does} to /dev/null; without that it is kept, and mailed to nobody"


def summary(verdicts: Sequence[Verdict], unread: int, *, is_dry: bool) -> str:
    """Return how many lines became what."""
    counts = [(state, sum(verdict.state is state for verdict in verdicts)) for state in State]
    told = ", ".join(f"{count} {state_word(state, is_dry=is_dry)}" for state, count in counts if count)
    files = f"; {plural(unread, 'file')} not read" if unread else ""
    return f"{plural(len(verdicts), 'line')}{': ' if told else ''}{told}{files}"


def state_word(state: State, *, is_dry: bool) -> str:
    """Return what became of a line; of a dry run what is there already."""
    return {State.WRITTEN: "new", State.REPLACED: "differs"}.get(state, str(state)) if is_dry else str(state)


def verdict_json(verdict: Verdict, *, is_dry: bool) -> dict[str, Any]:
    """Return a verdict as the object that `--json` prints."""
    return {
        "file": verdict.table.name,
        "line": verdict.line,
        "text": verdict.text.encode("utf-8", "replace").decode(),
        "state": state_word(verdict.state, is_dry=is_dry),
        "job_id": verdict.job_id or None,
        "written_as": None if verdict.file is None else verdict.file.name,
        "reason": verdict.message or None,
        "help": verdict.help or None,
        "notes": [*verdict.remarks, *verdict.shared],
        "definition": None if verdict.file is None else json.loads(verdict.file.raw),
    }
