"""What a command has used: processor time and memory, from the kernel to the record and back."""

from __future__ import annotations

import resource
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobscheduler.model import Record, ResourceUse, Retry, Status
from jobscheduler.model.log_line import parse_record
from jobscheduler.runlog import format_json, format_text
from jobscheduler.runlog.parse import parse_line, to_json_object
from jobscheduler.runner import RetryAfter, Runner
from jobscheduler.status.run_stats import RunStats
from jobscheduler.status.snapshot_json import record_json
from jobscheduler.tasks.command.usage import NOISE_BYTES, own_peak, resource_use
from tests.support.tasks import SLOT, Log, execute, failure, job

MIB = 1 << 20
BUSY = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
"""Takes some 0.05 s of processor time, on a busy host too."""


def used(seconds: float = 0.0, peak: int = 0) -> resource.struct_rusage:
    fields = {"ru_utime": seconds, "ru_stime": 0.25, "ru_maxrss": peak // 1024}
    return cast("resource.struct_rusage", SimpleNamespace(**fields))


def record(**more: Any) -> Record:
    end = SLOT + timedelta(seconds=2)
    return Record(end, Status.SUCCESS, "a", "5f3c2a9d41b7", SLOT, SLOT, 2.0, details=(("exit_code", 0),), **more)


def test_the_processor_time_of_a_command_is_that_of_all_that_it_waited_for() -> None:
    """The shell itself uses hardly any; `in_background` is not waited for."""
    use = execute(f"sh -c '{BUSY}'").use
    assert use is not None
    assert use.cpu >= 0.02


def test_the_memory_of_a_command_is_that_of_its_largest_process() -> None:
    """It is above that of the service here, so the kernel can tell."""
    size = own_peak() + 64 * MIB
    use = execute(["dd", "if=/dev/zero", "of=/dev/null", f"bs={size}", "count=1"]).use
    assert use is not None
    assert use.max_rss is not None
    assert size < use.max_rss < 2 * size


def test_the_memory_of_a_command_that_is_smaller_than_the_service_is_not_known() -> None:
    """The kernel begins to count at the peak of the service."""
    use = execute("true").use
    assert use is not None
    assert use.max_rss is None


def test_a_failure_says_what_it_has_used_too() -> None:
    """The more so when a command has used too much."""
    assert failure("exit 3").outcome.use is not None


@pytest.mark.parametrize(("peak", "shown"), [(80, None), (100, None), (101, None), (102, 102 * MIB)])
def test_a_peak_counts_when_it_is_clearly_above_the_inherited_one(peak: int, shown: int | None) -> None:
    """By more than what the kernel has not yet counted."""
    assert resource_use(used(1.5, peak * MIB), 100 * MIB) == ResourceUse(1.75, shown)
    assert NOISE_BYTES == MIB


def test_attempts_are_taken_together() -> None:
    """Their processor time adds up, and their largest process counts. A failed attempt has its own in its event."""
    assert ResourceUse(1.0, 5).with_earlier(ResourceUse(0.5, 7)) == ResourceUse(1.5, 7)
    assert ResourceUse(1.0).with_earlier(ResourceUse(0.5, 7)) == ResourceUse(1.5, 7)
    assert ResourceUse(1.0).with_earlier(ResourceUse(0.5)) == ResourceUse(1.5)
    assert ResourceUse(1.0).with_earlier(None) == ResourceUse(1.0)
    log = Log()
    runner = Runner(log.record, log.emit, clock=lambda: datetime(2026, 11, 22, 1, tzinfo=UTC))
    run = runner.new_run(job(own={"command": f"{BUSY}; exit 1"}, retry=Retry(2)), SLOT)
    assert isinstance(run.attempt(), RetryAfter)
    last = run.attempt()
    runner.close()
    (event,) = log.events("run.attempt_failed")
    assert isinstance(last, Record)
    assert last.cpu is not None
    assert 0 < event["cpu"] < last.cpu


@pytest.mark.parametrize("write", [format_text, format_json])
def test_the_line_of_a_record_has_it_and_is_read_back(write: Any) -> None:
    """As a record, and as an object with numbers, from either format."""
    before = record(cpu=0.75, max_rss=123_456_789)
    raw = write(before).encode()
    line = parse_line(raw)
    assert line is not None
    after = parse_record(line)
    assert (after.cpu, after.max_rss) == (0.75, 123_456_789)
    found = to_json_object(raw)
    assert (found["cpu"], found["max_rss"], found["exit_code"]) == (0.75, 123_456_789, 0)


def test_the_line_of_a_record_names_it_after_the_result() -> None:
    """What is not known is left out."""
    assert format_text(record(cpu=0.75, max_rss=4096)).endswith(" duration=2.000 exit_code=0 cpu=0.750 max_rss=4096")
    assert format_text(record(cpu=0.75)).endswith(" exit_code=0 cpu=0.750")
    assert format_text(record()).endswith(" exit_code=0")


def test_what_another_task_type_has_called_so_before_is_no_number() -> None:
    """The record counts all the same."""
    line = parse_line(format_text(record(cpu=0.75)).replace("cpu=0.750", "cpu=high max_rss=no").encode())
    assert line is not None
    after = parse_record(line)
    assert (after.status, after.cpu, after.max_rss) == (Status.SUCCESS, None, None)


def test_a_snapshot_has_it_and_the_statistics_add_it_up() -> None:
    """Also the time of runs by hand. A job whose runs are no commands has none."""
    shown = record_json(record(cpu=0.75, max_rss=4096))
    assert (shown["cpu"], shown["max_rss"]) == (0.75, 4096)
    results = RunStats()
    for one in (record(cpu=0.75), record(cpu=0.5), record()):
        results.observe(one)
    found = results.job("a")
    assert found is not None
    assert found.cpu == 1.25
    results.restore(record(cpu=9.0))  # of a former service
    found = results.job("a")
    assert found is not None
    assert found.cpu == 1.25
