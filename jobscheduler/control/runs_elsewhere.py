"""Results and outputs of runs on other nodes, as far as the account has them: of an output its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from jobscheduler.control.routes import OutputApi
from jobscheduler.model import EPOCH, Problem, Record
from jobscheduler.model.account_news import AccountNews, FoundRun, SharedRun
from jobscheduler.output.names import is_run_id
from jobscheduler.status.snapshot import Conflict, NotFound
from jobscheduler.status.snapshot_json import instant, record_json

APPEARS_S = 5.0  # within which a run that was just asked for has its row

_POLL_S = 0.2  # between two looks for it


class AccountRuns(Protocol):
    """Finds runs in the account (see `cluster.account_reader.AccountReader`)."""

    def news(self) -> AccountNews:
        """Return the account, read anew if it is old and the database answers in time."""

    def find(self, run_id: str, wait: float = 0.0) -> FoundRun | Problem | None:
        """Return how far a run is, None if there is none; a problem while the database does not answer.

        Wait up to `wait` seconds for its end.
        """


class RunsElsewhere:
    """Answers requests for the results of runs on other nodes. Thread: any."""

    def __init__(self, account: AccountRuns) -> None:
        self._account = account

    def run_result(self, run_id: str, wait: float) -> Mapping[str, Any] | None:
        """Return how a run ended, None if the account has no such run; wait for its end up to `wait` seconds.

        Raises:
            Conflict: the database does not answer.

        """
        found = _found(self._account, run_id, wait)
        if found is None:
            return None
        record = found.record
        return {
            "run_id": run_id,
            "record": _record_json(found),
            "cancelled": False,
            "left": "",
            "output": None if record is None else record.output,
            "node": found.node,
        }


class ClusterOutputs:
    """The outputs of a node of a cluster: its own, and the ends of those of runs on other nodes. Thread: any."""

    def __init__(
        self, own: OutputApi, account: AccountRuns, last_record: Callable[[str], Record | None], node: str
    ) -> None:
        """`last_record` returns the last record of a job, of whichever node; `node` is this one."""
        self._own = own
        self._account = account
        self._last_record = last_record
        self._node = node

    def output(self, name: str, *, failed: bool) -> Mapping[str, Any]:
        """Describe the output of a run: that of this id, or the last one of a job."""
        elsewhere = None if failed or not name else self._last_elsewhere(name)
        if elsewhere is not None:
            return elsewhere
        try:
            return self._own.output(name, failed=failed)
        except NotFound:
            found = _found(self._account, name, 0.0) if is_run_id(name) and not failed else None
            if found is None:
                raise
            return _described(name, found)

    def _last_elsewhere(self, job_id: str) -> Mapping[str, Any] | None:
        """Return the last run of a job, one at work first, if it is or was on another node."""
        at_work = [run for run in self._account.news().runs.get(job_id, ()) if run.started is not None]
        last = max(at_work, key=_began, default=None) or self._last_record(job_id)
        if last is None or last.run_id is None:
            return None
        found = self._account.find(last.run_id)
        if not isinstance(found, FoundRun) or found.node in {None, self._node}:
            return None  # what this node has run it shows itself, as also while the database is away
        return _described(last.run_id, found)

    def part(self, run_id: str, attempt: int, offset: int, wait: float, by: str) -> Mapping[str, Any]:
        """Return what an attempt has printed from `offset` on; of a run on another node all at its end."""
        try:
            return self._own.part(run_id, attempt, offset, wait, by)
        except NotFound:
            found = _found(self._account, run_id, wait)
            if found is None:
                raise
            return _part(run_id, found, attempt, offset)


def _began(run: SharedRun) -> datetime:
    return run.started or EPOCH


def _found(account: AccountRuns, run_id: str, wait: float) -> FoundRun | None:
    """Find a run. If its end is waited for, its row may be waited for, too: the leader names a run before it has one.

    Raises:
        Conflict: the database does not answer.

    """
    deadline = time.monotonic() + min(wait, APPEARS_S)
    while True:
        found = account.find(run_id, wait)
        if isinstance(found, Problem):
            raise Conflict(found)
        if found is not None or time.monotonic() >= deadline:
            return found
        time.sleep(_POLL_S)


def _record_json(found: FoundRun) -> dict[str, Any] | None:
    return None if found.record is None else {**record_json(found.record), "node": found.node}


def _text(found: FoundRun) -> bytes:
    output = None if found.record is None else found.record.output
    return (output or "").encode("utf-8", "surrogateescape")


def _described(run_id: str, found: FoundRun) -> Mapping[str, Any]:
    record, total = found.record, len(_text(found))
    attempts = []
    if record is not None and record.started is not None and total:
        began = {"began": instant(record.started), "ended": instant(record.at), "is_running": False}
        attempts = [{"attempt": found.attempt, **began, "total": total, "missing": 0}]
    return {
        "job_id": found.job_id,
        "run_id": run_id,
        "state": "running" if record is None else "ended",
        "running_attempt": None,
        "record": _record_json(found),
        "attempts": attempts,
        "node": found.node,
    }


def _part(run_id: str, found: FoundRun, attempt: int, offset: int) -> Mapping[str, Any]:
    text, is_over = _text(found)[offset:], found.record is not None
    return {
        "job_id": found.job_id,
        "run_id": run_id,
        "attempt": attempt,
        "offset": offset,
        "missing": 0,
        "text": text.decode("utf-8", "surrogateescape"),
        "next": offset + len(text),
        "next_attempt": None,
        "is_over": is_over,
        "state": "ended" if is_over else "running",
        "record": _record_json(found) if is_over else None,
        "node": found.node,
    }
