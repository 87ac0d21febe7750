"""The log and the output as the verbs find them without a service: what is told when there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobscheduler.cli.log_files import LogUnavailable, require_log
from jobscheduler.cli.output_display import result_line
from jobscheduler.cli.output_files import OutputUnavailable, stored_run
from jobscheduler.config import Settings


@pytest.mark.parametrize("verb", ["history", "output"])
@pytest.mark.parametrize("kind", ["fifo", "directory", "none"])
def test_a_log_that_cannot_be_one_is_named(tmp_path: Path, verb: str, kind: str) -> None:
    """A FIFO is not waited for, and no job is called unknown for want of the log."""
    log = tmp_path / "x.log"
    if kind == "fifo":
        os.mkfifo(log)
    elif kind == "directory":
        log.mkdir()
    settings = Settings(log_file=log)
    with pytest.raises(LogUnavailable) as refused:
        require_log(settings) if verb == "history" else stored_run(settings, "report-001", failed=False)
    expected = f"there is no log `{log}`" if kind == "none" else f"the log `{log}` is not a regular file"
    assert refused.value.problem.message == expected


def test_a_job_that_the_log_does_not_know_is_unknown(tmp_path: Path) -> None:
    """Where there is a log, it is believed."""
    log = tmp_path / "x.log"
    log.touch()
    with pytest.raises(OutputUnavailable) as refused:
        stored_run(Settings(log_file=log), "report-001", failed=False)
    assert "knows a job or a run `report-001`" in refused.value.problem.message


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ({"status": "FAILURE", "reason": "interrupted"}, "FAILURE reason=interrupted"),
        ({"status": "SUCCESS", "duration": 4.2, "exit_code": 0}, "SUCCESS after 4.2s exit_code=0"),
    ],
)
def test_the_end_of_a_run_says_how_long_it_took_if_that_is_known(record: dict[str, object], shown: str) -> None:
    """Of a run that a crash interrupted it is not."""
    assert result_line(record) == shown
