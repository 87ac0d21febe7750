"""The real service as a process: files are dropped, edited, broken, mended and deleted, and the log is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until
from tests.support.tasks import hanging_program


def test_a_file_becomes_a_job_that_runs_and_leaves_records(service: Service) -> None:
    """Dropped while the service runs: active, run at its slot, started and recorded."""
    service.start()
    service.write("a.json", job("hello", command="echo hello"))
    (added,) = service.wait_for("job.added", job_id="hello", file="a.json")
    (record, *_) = service.wait_for("SUCCESS", 2, job_id="hello")

    (started,) = service.words("run.started", run_id=record["run_id"])
    assert started["attempt"] == "1"
    assert record["exit_code"] == "0"
    assert record["scheduled"] == started["scheduled"] >= added["next"]
    assert datetime.fromisoformat(record["scheduled"]) <= datetime.fromisoformat(record["started"])


def test_files_are_edited_broken_mended_and_deleted_while_it_runs(service: Service) -> None:
    """The whole life of a file, and its neighbour never notices."""
    service.write("neighbour.json", job("neighbour"))
    path = service.write("a.json", job("x", command="echo one; exit 3"))
    service.start()
    (failure, *_) = service.wait_for("FAILURE", job_id="x")
    assert (failure["reason"], failure["exit_code"], failure["output"]) == ("exit", "3", "one")

    service.write("a.json", job("x", command="true"))
    (updated,) = service.wait_for("job.updated", job_id="x")
    assert updated["changed"] == "task"
    service.wait_for("SUCCESS", job_id="x")

    path.write_text('{"job_id": "x", "schedule": "* * * * * *",}')
    (stale,) = service.wait_for("job.stale", job_id="x")
    assert (stale["line"], stale["column"]) == ("1", "42")
    runs = len(service.words("SUCCESS", job_id="x"))
    service.wait_for("SUCCESS", runs + 1, job_id="x")

    service.write("a.json", job("x", command="exit 4"))
    service.wait_for("job.mended", file="a.json")
    service.wait_for("FAILURE", job_id="x", exit_code="4")

    path.unlink()
    service.wait_for("job.removed", job_id="x")
    runs = len(service.words("run.started", job_id="x"))
    service.wait_for("SUCCESS", len(service.words("SUCCESS", job_id="neighbour")) + 2, job_id="neighbour")
    assert len(service.words("run.started", job_id="x")) == runs

    slots = [line["scheduled"] for line in service.words("SUCCESS", job_id="neighbour")]
    first, last = (datetime.fromisoformat(slot) for slot in (slots[0], slots[-1]))
    assert slots == sorted(set(slots))
    assert len(slots) == (last - first).total_seconds() + 1


def test_the_two_jobs_of_the_original_requirements(service: Service) -> None:
    """The daily one is loaded; the one-time one is expired, logged once, and never run, however often it is touched."""
    service.write(
        "report.json",
        """{
  "job_id": "report-001",
  "description": "Generate the daily sales report.",
  "schedule": "0 1 * * *",
  "task": { "type": "execute_command", "command": "/usr/bin/python /opt/scripts/generate_sales_report.py" }
}""",
    )
    path = service.write(
        "cleanup.json",
        """{
  "job_id": "cleanup-xyz",
  "description": "Perform a one-time cleanup of temporary files.",
  "schedule": "2025-10-27T10:00:00Z",
  "task": { "type": "execute_command", "command": "rm -rf /tmp/old_data/*" }
}""",
    )
    service.start()
    assert service.words("service.started")[0]["jobs"] == "2"
    for number in range(5):
        os.utime(path)
        service.write(f"probe{number}.json", job(f"probe{number}", "@yearly"))
        service.wait_for("job.added", job_id=f"probe{number}")

    assert len(service.words("job.expired", job_id="cleanup-xyz")) == 1
    assert service.words("run.started") == []


def test_a_program_on_a_disk_that_does_not_answer_holds_up_only_its_own_job(service: Service, tmp_path: Path) -> None:
    """Its run ends when the disk answers, and until then its other slots are skipped."""
    with hanging_program(tmp_path) as (program, let_go):
        service.write("hung.json", job("hung", command=[program]))
        service.write("other.json", job("other"))
        service.start()
        service.wait_for("SKIPPED", 2, job_id="hung", reason="overlap")
        before = len(service.words("SUCCESS", job_id="other"))
        records = service.wait_for("SUCCESS", before + 2, job_id="other")[before:]
        late = [datetime.fromisoformat(one["started"]) - datetime.fromisoformat(one["scheduled"]) for one in records]
        assert max(late) < timedelta(seconds=5)
        assert not service.words("SUCCESS", job_id="hung")
        let_go()
        (record, *_) = service.wait_for("SUCCESS", job_id="hung")
    assert float(record["duration"]) > 1
    assert service.stop() == 0


def test_a_one_time_job_two_seconds_ahead_runs_exactly_once(service: Service) -> None:
    """However often its file is touched or rewritten, before and after."""
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat(timespec="seconds").replace("+00:00", "Z")
    service.write("tick.json", job("tick"))
    service.start()
    definition = job("cleanup-xyz", soon)
    path = service.write("cleanup.json", definition)
    service.wait_for("job.added", job_id="cleanup-xyz")

    def disturb() -> bool:
        os.utime(path)
        path.write_text(json.dumps(definition, indent=4))
        return len(service.words("SUCCESS", job_id="tick")) >= 4

    wait_until(disturb, step=0.05)
    assert [line["scheduled"] for line in service.words("run.started", job_id="cleanup-xyz")] == [soon]
    assert [line["scheduled"] for line in service.words("SUCCESS", job_id="cleanup-xyz")] == [soon]
    assert service.words("job.stale") == service.words("job.expired") == []


BAD = {
    "empty": (b"", "the file is empty"),
    "truncated": (b'{"job_id": "y", "sched', "the text is not closed"),
    "binary": (bytes(range(256)) * 8, "the byte 0x80 is not UTF-8"),
    "nul": (b"\x7fELF\x00\x00", "the file contains NUL bytes"),
    "latin1": ('{"job_id": "ü"}'.encode("latin-1"), "the byte 0xfc is not UTF-8"),
    "huge": (b" " * (1024 * 1024 + 1), "the file is larger than 1 MiB"),
    "deep": (b"[" * 100_000, "nested more than 32 levels deep"),
    "doubled": (
        json.dumps(job("y")).encode().replace(b"{", b'{"job_id": "x", ', 1),
        "the key `job_id` appears here a second time",
    ),
    "nan": (b'{"job_id": "y", "timeout": NaN}', "`NaN` is not JSON"),
    "types": (json.dumps(job("y", enabled="yes")).encode(), "`enabled` must be true or false, not text"),
    "unknown-key": (json.dumps({**job("y"), "shedule": 1}).encode(), "unknown field `shedule`"),
    "unknown-type": (json.dumps({**job("y"), "task": {"type": "x"}}).encode(), "unknown task type `x`"),
    "never": (json.dumps(job("y", "0 0 30 2 *")).encode(), None),
}


def test_every_kind_of_bad_file_is_refused_alone(service: Service) -> None:
    """A clear message for each, the good job goes on, and the service keeps running."""
    service.write("good.json", job("good"))
    service.write("same-id.json", job("good", command="false"))
    unreadable = service.write("unreadable.json", job("unreadable"))
    service.start()
    for name, (raw, _) in BAD.items():
        service.write(f"{name}.json", raw)
    os.mkfifo(service.jobs / "fifo.json")

    service.wait_for("job.refused", len(BAD) + 2)
    answer = {line["file"]: line for line in service.words("job.refused")}
    for name, (_, message) in BAD.items():
        assert message is None or answer[f"{name}.json"]["problem"] == message
    assert answer["same-id.json"]["problem"] == "the id `good` already belongs to `good.json`"
    assert answer["fifo.json"]["problem"] == "a FIFO, not a regular file"
    assert len(service.words("job.refused")) == len(BAD) + 2
    assert "Traceback" not in service.log.read_text() + service.stderr()
    assert unreadable.exists()

    runs = len(service.words("SUCCESS", job_id="good"))
    service.wait_for("SUCCESS", runs + 2, job_id="good")
    assert service.stop() == 0


def test_the_log_rotates_by_size(tmp_path: Path) -> None:
    """The service goes on writing, and no record is lost on the way."""
    service = Service(tmp_path, "--log-max-bytes", "64K", "--log-backups", "3")
    try:
        noise = "head -c 2000 /dev/zero | tr '\\0' x; exit 1"
        for number in range(10):
            service.write(f"{number}.json", job(f"noise{number}", command=noise))
        service.start()
        wait_until(lambda: service.log.with_name("scheduler.log.1").exists(), 30)
        assert service.stop() == 0
        started = {
            line["run_id"]
            for name in ("scheduler.log.3", "scheduler.log.2", "scheduler.log.1", "scheduler.log")
            if (tmp_path / name).exists()
            for line in map(_parse, (tmp_path / name).read_text().splitlines())
            if line["word"] == "FAILURE"
        }
        assert len(started) >= 20
        assert service.log.with_name("scheduler.log.1").stat().st_size <= 64 * 1024
    finally:
        service.close()


def _parse(line: str) -> dict[str, str]:
    from tests.support.service import parse_line

    return parse_line(line)


def test_json_lines(tmp_path: Path) -> None:
    """With `--log-format json` every line is one object."""
    service = Service(tmp_path, "--log-format", "json")
    try:
        service.write("a.json", job("x"))
        service.start(wait=False)
        wait_until(lambda: service.log.exists() and '"SUCCESS"' in service.log.read_text())
        assert service.stop() == 0
        lines = [json.loads(line) for line in service.log.read_text().splitlines()]
        assert {"service.started", "run.started"} <= {line.get("event") for line in lines}
    finally:
        service.close()


def test_the_first_contact_is_one_problem_with_help(tmp_path: Path) -> None:
    """Neither directory exists: one message, the way out, exit status 1."""
    command = [sys.executable, str(ROOT / "main.py"), "--jobs-dir", str(tmp_path / "jobs.d")]
    done = subprocess.run(
        [*command, "--log-file", str(tmp_path / "log" / "x.log")],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode == 1
    assert done.stderr.count("error:") == 1
    assert f"mkdir -p {tmp_path / 'jobs.d'} {tmp_path / 'log'}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "status", "message"),
    [
        (["--nonsense"], {}, 2, "`jobscheduler serve` has no option `--nonsense`"),
        (["frobnicate"], {}, 2, "there is no verb `frobnicate`"),
        (["--max-workers", "many"], {}, 2, "--max-workers: `many`"),
        ([], {"JOBSCHEDULER_LOG_FORMAT": "xml"}, 2, "JOBSCHEDULER_LOG_FORMAT: `xml`"),
        (["--timezone", "Mars/Olympus"], {}, 1, "unknown time zone `Mars/Olympus`"),
        (["--log-file", "/"], {}, 1, "the log file `/` is a directory"),
        ([], {"TZ": "CET-1CEST"}, 1, "--timezone"),
    ],
)
def test_wrong_usage_is_reported_without_a_trace(
    tmp_path: Path, arguments: list[str], env: dict[str, str], status: int, message: str
) -> None:
    """Exit status 2 for what cannot be understood, 1 for what cannot be done."""
    (tmp_path / "jobs.d").mkdir()
    given = {"JOBSCHEDULER_JOBS_DIR": str(tmp_path / "jobs.d"), "JOBSCHEDULER_LOG_FILE": str(tmp_path / "log")}
    done = run_program(
        [sys.executable, str(ROOT / "main.py"), *arguments],
        env={**os.environ, **given, **env},
        text=True,
        timeout=30,
    )

    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_jobs_survive_their_directory(service: Service) -> None:
    """The directory vanishes and comes back: one error, one all-clear, and the job runs through it all."""
    service.write("a.json", job("x"))
    service.start()
    service.wait_for("SUCCESS", job_id="x")
    service.jobs.rename(service.jobs.with_name("away"))
    service.wait_for("directory.lost")
    runs = len(service.words("SUCCESS", job_id="x"))
    service.wait_for("SUCCESS", runs + 2, job_id="x")
    service.jobs.with_name("away").rename(service.jobs)
    service.wait_for("directory.found")
    service.write("b.json", job("y"))
    service.wait_for("SUCCESS", job_id="y")

    assert len(service.words("directory.lost")) == 1
    assert service.words("job.removed") == []
