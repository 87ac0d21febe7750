"""The last result of each job, read back from the log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import Event, Level, LogEntry, Record, Status
from jobscheduler.runlog import encode_line, format_json, format_text, last_results

AT = datetime(2026, 11, 22, 1, tzinfo=UTC)
NOW = AT + timedelta(hours=1)
S, F, K, M = Status.SUCCESS, Status.FAILURE, Status.SKIPPED, Status.MISSED


def lines(form: Callable[[LogEntry], str], *results: tuple[str, Status], start: int = 0) -> bytes:
    """Return lines of runs that ended so, one a second."""
    records = [
        Record(AT + timedelta(seconds=start + second), status, job_id, run_id="5f3c2a9d", output="SUCCESS job_id=a")
        for second, (job_id, status) in enumerate(results)
    ]
    return b"".join(encode_line(one, form) for one in records)


@pytest.mark.parametrize("form", [format_text, format_json])
def test_the_newest_result_of_each_job_counts(tmp_path: Path, form: Callable[[LogEntry], str]) -> None:
    """In either format; a slot that did not run has no result, and no value of another line counts as one."""
    event = Event(AT, Level.INFO, "alert.sent", (("job_id", "b"), ("x", "FAILURE job_id=b")))
    log = tmp_path / "log"
    log.write_bytes(
        lines(form, ("a", F), ("b", F), ("a.b-c_d", F), ("b", S), ("a", S), ("a", F), ("a", K), ("b", M), ("m", M))
        + encode_line(event, form)
    )

    assert last_results(log, 3, NOW) == {"a": F, "b": S, "a.b-c_d": F}


def test_rotated_files_are_read_as_far_as_the_bound(tmp_path: Path) -> None:
    """They may have both formats."""
    log = tmp_path / "log"
    log.write_bytes(lines(format_text, ("a", F), start=20))
    (tmp_path / "log.1").write_bytes(lines(format_json, ("b", F), ("c", F), start=10))
    (tmp_path / "log.2").write_bytes(lines(format_text, ("a", S), ("b", S), ("d", S)))
    (tmp_path / "log.3").write_bytes(lines(format_text, ("e", S)))

    assert last_results(log, 2, NOW) == {"a": F, "b": F, "c": F, "d": S}
    size = len(log.read_bytes()) + len((tmp_path / "log.1").read_bytes())
    assert last_results(log, 2, NOW, far=size) == {"a": F, "b": F, "c": F}
    assert last_results(log, 2, NOW, far=size - 1) == {"a": F, "c": F}


def test_results_at_that_instant_or_later_do_not_count(tmp_path: Path) -> None:
    """The log already holds results since the start when the results before it are read."""
    log = tmp_path / "log"
    log.write_bytes(lines(format_text, ("a", S), ("a", F), ("b", F)))

    assert last_results(log, 0, AT + timedelta(seconds=1)) == {"a": S}
    assert last_results(log, 0, AT + timedelta(seconds=1, milliseconds=1)) == {"a": F}


def test_a_truncated_line_does_not_count(tmp_path: Path) -> None:
    """By a crash, with or without a later start: the id itself may be truncated."""
    log = tmp_path / "log"
    good = lines(format_text, ("ab", F))
    log.write_bytes(good + good[:45] + b" [cut short]\n" + good.replace(b"FAILURE", b"SUCCESS")[:60])

    assert last_results(log, 0, NOW) == {"ab": F}


def test_a_log_that_does_not_exist_has_no_results(tmp_path: Path) -> None:
    """As at the very first start."""
    assert last_results(tmp_path / "log", 3, NOW) == {}
