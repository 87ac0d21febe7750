"""Reads the account for those who ask a node: the runs of all nodes, their records, and the pauses in force.

1. It is read on request, at most each `MAX_AGE_S`, so an idle node costs the database nothing.
2. Who asks waits `WAIT_S` at most, and gets what is known by then. A reading that takes longer goes on.
3. Records are read once: those that are newer than the last one, and at first the newest `MAX_RECORDS`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, null, select

from jobscheduler.cluster.job_state import read_state
from jobscheduler.cluster.questions import Questions
from jobscheduler.cluster.records import RecordedRow, output_end, record_columns, recorded_row
from jobscheduler.cluster.slots import slot_instant
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import RUNS, STATE
from jobscheduler.cluster.values import State
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import Problem, Record
from jobscheduler.model.account_news import AccountNews, FoundRun, SharedRun
from jobscheduler.util.instants import utc_now

MAX_AGE_S = 1.0  # seconds for which what was read is new enough

WAIT_S = 0.5  # seconds that a reader waits for the database

MAX_RECORDS = 5000  # records that are read at first, and at once later

MAX_RUNS = 5000  # runs without a record that are shown

_OUTPUT_CHARS = 400  # of the end of an output, of which the last line is shown

_SEE = "`jobscheduler cluster` says since when it is away"

_OVERLAP = timedelta(seconds=2)  # records that were committed out of order are looked for again

_QUESTION_S = 2.0  # seconds that the question for one run waits

_LOOK_S = 0.3  # seconds from one look for the end of a run to the next


class AccountReader:
    """Reads the account. Thread: any.

    Lock: `_turn` is held by the one that has it read; the news are replaced as a whole.
    """

    def __init__(
        self,
        questions: Questions,
        dialect: str,
        observe: Callable[[Record], object],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`observe` gets each record once, the oldest first, on the thread of the questions."""
        self._questions = questions
        self._observe = observe
        self._monotonic = monotonic
        self._sleep = sleep
        self._turn = threading.Lock()
        self._asked_at: float | None = None
        self._news = AccountNews()
        self._progress = _Progress(dialect)

    def news(self) -> AccountNews:
        """Return the account, read anew if it is old and the database answers in time."""
        if self._turn.acquire(timeout=WAIT_S):
            try:
                self._refresh()
            finally:
                self._turn.release()
        return self._news

    def _refresh(self) -> None:
        now = self._monotonic()
        if self._asked_at is not None and now - self._asked_at < MAX_AGE_S:
            return
        self._asked_at = now
        try:
            self._questions.ask(self._read, WAIT_S)
        except Unavailable:  # the status says so; what was known stands
            return

    def _read(self) -> Steps[None]:
        """Read what is new. Thread: that of the questions, also when its client has gone."""
        for record in (yield from self._progress.records()):
            self._observe(record)
        rows = yield _UNFINISHED
        runs: dict[str, tuple[SharedRun, ...]] = {}
        for run in map(_shared_run, rows):
            runs[run.job_id] = (*runs.get(run.job_id, ()), run)
        news = replace(self._news, runs=runs, known_at=utc_now())
        full = yield from self._progress.state()
        self._news = news if full is None else replace(news, pauses=full.pauses, results=full.results)

    @property
    def known(self) -> AccountNews:
        """The account as it was last read. Does not wait."""
        return self._news

    def find(self, run_id: str, wait: float = 0.0) -> FoundRun | Problem | None:
        """Return how far a run is, None if the account has none of this id; a problem if the database does not answer.

        Wait up to `wait` seconds for its end.
        """
        until = self._monotonic() + wait
        while True:
            try:
                found = self._questions.ask(lambda: _run(run_id), _QUESTION_S)
            except Unavailable as reason:
                return Problem(f"the database of the cluster cannot be asked about this run: {reason}", help=_SEE)
            if found is None or found.record is not None or self._monotonic() >= until:
                return found
            self._sleep(_LOOK_S)


class _Progress:
    """How far the account was read: up to which record, and which state of the jobs. Thread: that of the questions."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._until: datetime | None = None
        self._seen: dict[str, datetime] = {}
        self._state: int | None = None

    def records(self) -> Steps[list[Record]]:
        """Read the records that are new, the oldest first. `ended` rows have no record yet, as their log has none."""
        columns = (*record_columns(_end_of_output(self._dialect)), RUNS.c.recorded_at)
        question: Select[Any] = select(*columns).where(RUNS.c.state == State.FINAL.value).limit(MAX_RECORDS)
        if self._until is None:
            rows = list(reversed((yield question.order_by(RUNS.c.recorded_at.desc()))))
        else:
            later = question.where(RUNS.c.recorded_at >= self._until - _OVERLAP)
            rows = list((yield later.order_by(RUNS.c.recorded_at)))
        new = [row for row in rows if row[2] not in self._seen]
        if rows:
            self._until = rows[-1][-1]
            self._seen.update((row[2], row[-1]) for row in new)
            floor = self._until - 2 * _OVERLAP
            self._seen = {run_id: at for run_id, at in self._seen.items() if at >= floor}
        return [recorded_row(row[:-1]).record for row in new]

    def state(self) -> Steps[Any]:
        """Read the state of the jobs if the leader has written it anew; None if it has not."""
        ((newest,),) = yield select(func.max(STATE.c.id))
        if newest == self._state:
            return None
        full = yield from read_state()
        self._state = newest
        return full


_UNFINISHED = (
    select(RUNS.c.job_id, RUNS.c.slot, RUNS.c.run_id, RUNS.c.state, RUNS.c.attempt, RUNS.c.node, RUNS.c.started_at)
    .where(RUNS.c.state.in_([State.QUEUED.value, State.RUNNING.value]))
    .order_by(RUNS.c.job_id, RUNS.c.slot)
    .limit(MAX_RUNS)
)


def _shared_run(row: Any) -> SharedRun:
    job_id, slot, run_id, state, attempt, node, started = row
    waits = state == State.QUEUED.value
    return SharedRun(job_id, run_id, slot_instant(slot), None if waits else started, attempt, node, waits)


def _run(run_id: str) -> Steps[FoundRun | None]:
    rows = yield select(*record_columns(RUNS.c.output)).where(RUNS.c.run_id == run_id)
    if not rows:
        return None
    job_id, _, _, state, *_ = rows[0]
    if state not in {State.ENDED.value, State.FINAL.value}:
        return FoundRun(job_id, None, rows[0][8], rows[0][6])
    found: RecordedRow = recorded_row(rows[0])
    is_over = found.state is State.FINAL  # until then a further attempt may follow
    return FoundRun(job_id, found.record if is_over else None, found.node, found.attempt)


def _end_of_output(dialect: str) -> ColumnElement[Any]:
    """Return the end of the output of a failure, which is all that is shown of many runs."""
    return case((RUNS.c.status == "FAILURE", output_end(dialect, _OUTPUT_CHARS)), else_=null())
