"""The account of very many slots at once, in a log that is smaller than the lines about them."""

from __future__ import annotations

import re
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.runlog.entry_queue import MAX_BATCH_ENTRIES
from tests.support.accounting import FINAL, lines_of
from tests.support.service import Service, job, parse_line, wait_until


@pytest.mark.parametrize(
    "count", [300, pytest.param(500, marks=pytest.mark.deep), pytest.param(1000, marks=pytest.mark.deep)]
)
def test_a_mark_larger_than_the_whole_log_survives_a_flood_and_a_crash(tmp_path: Path, count: int) -> None:
    """Very many jobs are due at once; the lines about them are larger than a file, or (1,000 jobs) than all of them."""
    service = Service(tmp_path, "--log-max-bytes", "64K", "--log-backups", "1")
    names = [f"{'j' * 120}{number}" for number in range(count)]
    try:
        service.start()
        soon = (datetime.now(UTC) + timedelta(seconds=1 + count // 300)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for number, name in enumerate(names):
            service.write(f"{number}.json", job(name, soon, catch_up="1h"))
        wait_until(lambda: service.stderr().count(" SUCCESS ") > 100, 60, step=0.02)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        in_file = {line["job_id"] for line in lines_of(service.log) if line["word"] in FINAL}  # perhaps not yet echoed
        service._read = (0, 0, [])  # files rotated so fast have the same inode again
        service.start(wait=False)
        wait_until(lambda: service.stderr().count(" service.started ") == 2, 60)
        assert "nothing is known" not in service.stderr().rpartition(" service.started ")[2].partition("\n")[0]
        wait_until(lambda: len(set(names) - in_file - told_of(service)) <= left_out(service), 60, step=0.2)
        assert service.stop() == 0
    finally:
        service.close()
    told = service.stderr()
    twice = {name for name, count in records_of(told).items() if count > 1}
    assert all(re.search(f"FAILURE job_id={name} .*reason=interrupted", told) for name in twice), twice
    assert len(twice) <= MAX_BATCH_ENTRIES  # told on standard error, and killed before the file had it


def told_of(service: Service) -> set[str]:
    """The jobs of which standard error has a record."""
    return set(records_of(service.stderr()))


def left_out(service: Service) -> int:
    """How many lines standard error lacks, for it was slower than the log."""
    return sum(int(number) for number in re.findall(r"^\.\.\. (\d+) lines left out", service.stderr(), re.MULTILINE))


def records_of(text: str) -> Counter[str]:
    """How many records each job has in these lines."""
    reply = [parse_line(line) for line in text.splitlines() if not line.startswith("...")]
    return Counter(line["job_id"] for line in reply if line["word"] in FINAL)
