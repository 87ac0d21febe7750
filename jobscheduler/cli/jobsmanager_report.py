"""Print what became of the jobs of JobsManager: as text, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Sequence
from typing import Any

from jobscheduler.cli.import_lines import State
from jobscheduler.cli.import_report import print_notes_on, shared_remarks, state_word
from jobscheduler.cli.jobsmanager_verdicts import JobVerdict
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.util.terminal_text import printable
from jobscheduler.util.text import plural, quote

_MARGIN = " " * 11


def print_verdicts(verdicts: Sequence[JobVerdict], place: str, *, is_dry: bool) -> None:
    """Print each verdict, then what holds for many jobs, then the sum. `place` is where the jobs are written."""
    imported = [verdict for verdict in verdicts if verdict.file is not None]
    said_below = shared_remarks(imported)
    for verdict in verdicts:
        _print_verdict(verdict, place, said_below, is_dry=is_dry)
    if imported:
        print_notes_on(imported, general_differences())
    print(f"\n{_summary(verdicts, is_dry=is_dry)}")


def _print_verdict(verdict: JobVerdict, place: str, said_below: Container[str], *, is_dry: bool) -> None:
    word = state_word(verdict.state, is_dry=is_dry)
    print_wrapped(printable(f"{word:9}  {_headline(verdict, place)}"), hanging=len(_MARGIN))
    if verdict.message:
        print_wrapped(printable(verdict.message), indent=_MARGIN)
    for remark in verdict.remarks:
        if remark not in said_below:
            print_wrapped(printable(f"note: {remark}"), indent=_MARGIN)
    if verdict.help:
        print_wrapped(printable(f"help: {verdict.help}"), indent=_MARGIN)
    if is_dry and verdict.file is not None and verdict.is_new:
        print(verdict.file.raw.decode(), end="")


def _headline(verdict: JobVerdict, place: str) -> str:
    if verdict.file is None:
        return quote(verdict.row_id, 191)
    return f"{quote(verdict.row_id, 191)[1:-1]} -> {place}{verdict.file.name}  ({verdict.there} -> {verdict.schedule})"


def general_differences() -> Iterator[str]:
    """Yield what is different for every job."""
    yield (
        "result: JobsManager looks at no exit status; here a command that does not end with 0 is a FAILURE "
        "(`success_exit_codes`), and `on_failure` tells of it"
    )
    yield "time limit: there the shell alone is killed, and its children go on; here the whole tree ends, TERM first"
    yield (
        "surroundings: there a command has the environment, the directory and the user of JobsManager; here an "
        "environment of its own, the home, and the user of the service (`env`, `cwd`, `user`)"
    )
    yield "output: there it goes where that of JobsManager goes; here it is kept (`jobscheduler output JOB`)"


def _summary(verdicts: Sequence[JobVerdict], *, is_dry: bool) -> str:
    counts = [(state, sum(verdict.state is state for verdict in verdicts)) for state in State]
    told = ", ".join(f"{count} {state_word(state, is_dry=is_dry)}" for state, count in counts if count)
    return f"{plural(len(verdicts), 'job')}{': ' if told else ''}{told}"


def verdict_json(verdict: JobVerdict, *, is_dry: bool) -> dict[str, Any]:
    """Return a verdict as the object that `--json` prints."""
    return {
        "row": verdict.row_id.encode("utf-8", "replace").decode(),
        "state": state_word(verdict.state, is_dry=is_dry),
        "job_id": verdict.job_id or None,
        "written_there": verdict.there or None,
        "reason": verdict.message or None,
        "help": verdict.help or None,
        "notes": [*verdict.remarks, *verdict.shared],
        "definition": None if verdict.file is None else json.loads(verdict.file.raw),
    }
