"""Outcomes of runs that have not reached the account: lines of the log keep them until the next start of the node.

A service may end while the database is away. Its runs have ended well then, and their rows say that they are at work.
The next start gives the account what the lines say, before it ends the runs that its former instance has left.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from jobscheduler.cluster.values import Attempt, Outcome
from jobscheduler.model import Event, Level
from jobscheduler.model.log_line import Line
from jobscheduler.runlog import named_lines

UNSENT = "run.unsent"  # has the outcome of a run that the account has not taken yet

SENT = "cluster.outcomes_sent"  # the account has taken all outcomes of the lines before


class UnsentOutcomes:
    """The outcomes on their way to the account, and which of them have a line. Thread: any. Lock: its own, a leaf."""

    def __init__(self, note: Callable[[Event], object], now: Callable[[], datetime]) -> None:
        """`note` writes a line; `now` is the clock of the host."""
        self._note = note
        self._now = now
        self._lock = threading.Lock()
        self._waiting: dict[Attempt, Outcome] = {}
        self._kept: set[Attempt] = set()
        self._taken = 0

    def add(self, attempt: Attempt, outcome: Outcome) -> None:
        """Note an outcome that is to reach the account."""
        with self._lock:
            self._waiting[attempt] = outcome

    def taken(self, attempt: Attempt) -> None:
        """Note that the account has it, or has refused it; write so after the last of those that have a line."""
        with self._lock:
            self._waiting.pop(attempt, None)
            self._taken += attempt in self._kept
            self._kept.discard(attempt)
            runs = 0 if self._kept else self._taken
            self._taken -= runs
        if runs:
            self._note(sent_event(runs, self._now()))

    def keep(self) -> None:
        """Write a line for each outcome that has none yet, for the next start of this node."""
        with self._lock:
            found = {one: outcome for one, outcome in self._waiting.items() if one not in self._kept}
            self._kept.update(found)
        for attempt, outcome in found.items():
            self._note(unsent_event(attempt, outcome, self._now()))


def unsent_event(attempt: Attempt, outcome: Outcome, now: datetime) -> Event:
    """Return the line that keeps an outcome; the end of a long output."""
    what = asdict(attempt) | {"run_id": None, "former": None} | asdict(outcome)
    return Event.of(now, Level.WARNING, UNSENT, **what)


def sent_event(runs: int, now: datetime) -> Event:
    """Return the line that the account has the outcomes of all lines before."""
    return Event.of(now, Level.INFO, SENT, runs=runs)


def unsent_in(path: Path, backups: int) -> dict[Attempt, Outcome]:
    """Return the outcomes that the log of a node keeps for the account. Costs little in a log that keeps none.

    Raises:
        OSError: a file exists and cannot be read.

    """
    return dict(_read(named_lines(path, backups, UNSENT, SENT)))


def _read(lines: Iterable[Line]) -> Iterator[tuple[Attempt, Outcome]]:
    for line in lines:
        if line["word"] == SENT:
            return
        try:
            yield _attempt(line), _outcome(line)
        except (KeyError, ValueError):  # a line that was cut by a disk that was full
            continue


def _attempt(line: Line) -> Attempt:
    return Attempt(line["job_id"], line["slot"], int(line["attempt"]), line["begun_by"])


def _outcome(line: Line) -> Outcome:
    return Outcome(
        line["status"],
        line.get("reason"),
        _number(line, "exit_code", int),
        _number(line, "duration", float),
        _number(line, "cpu", float),
        _number(line, "max_rss", int),
        _details(line.get("details")),
        line.get("output"),
    )


def _number(line: Mapping[str, str], key: str, kind: type[Any]) -> Any:
    return kind(line[key]) if key in line else None


def _details(text: str | None) -> str | None:
    """Return the further pairs of a record, None if the line has only a part of them."""
    try:
        return text if text and json.loads(text) else None
    except ValueError:
        return None
