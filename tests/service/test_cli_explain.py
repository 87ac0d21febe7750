"""`explain` as a process: answers of the service (a stand-in here), the log, and the job files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.model import Event, Level, LogEntry, Record, Status
from jobscheduler.runlog import format_json, format_text
from tests.service.test_cli import put, run
from tests.support.fork_server import MAIN, run_program
from tests.support.service import Service, job, wait_until

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAILY = job("report", "0 12 * * *", timezone="UTC")
STAND_IN = """
import json
from jobscheduler.cli import explain
explain.fetch_job = lambda job_id, settings: json.loads({reply!r}).get(job_id)
"""


def record(days: int, status: Status = Status.SUCCESS, **more: object) -> Record:
    """A record of one of the daily slots."""
    at = NOON + timedelta(days=days)
    return Record(at, status, "report", f"r{days}", at, **more)  # type: ignore[arg-type]


def log_of(path: Path, *entries: LogEntry) -> Path:
    """A log of these lines, the formats in turn."""
    path.write_text("".join((format_text, format_json)[n % 2](one) + "\n" for n, one in enumerate(entries)), "utf-8")
    return path


def reply(definition: dict[str, Any] = DAILY, **more: Any) -> dict[str, Any]:
    """What the service says of a job."""
    return {
        "id": definition["job_id"],
        "state": "scheduled",
        "stale": False,
        "paused": False,
        "file": "report.json",
        "definition": definition,
        "schedule_sentence": "At 12:00 every day",
        "timezone": definition.get("timezone", "UTC"),
        "next": [],
        "last": None,
        "active_runs": [],
        "problems": [],
        **more,
    }


def ask(
    tmp_path: Path, *arguments: str, service: dict[str, Any] | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the verb with a service that says this (by id of the job)."""
    own = {"TZ": "UTC", "JOBSCHEDULER_LOG_FILE": str(tmp_path / "log"), "JOBSCHEDULER_JOBS_DIR": "jobs.d"}
    return run_program(
        [sys.executable, MAIN, "explain", *arguments],
        env={**os.environ, **own, **env},
        code=STAND_IN.format(reply=json.dumps(service or {})),
        cwd=tmp_path,
        text=True,
        timeout=30,
    )


def without_distances(text: str) -> str:
    """The text without how far its instants are from now, which depends on when the test runs."""
    return re.sub(r" \((in \d+[smhdy]|\d+[smhdy] ago)\)", "", text)


def test_a_slot_is_explained_by_its_record(tmp_path: Path) -> None:
    """Found in either format; the time is one of the job's zone."""
    failed = record(1, Status.FAILURE, reason="exit", details=(("exit_code", 7),), output="no space\n\x1b[2Jleft\n")
    log_of(tmp_path / "log", record(0), failed, record(2))
    service = {"report": reply(job("report", "0 13 * * *", timezone="Europe/Berlin"))}
    done = ask(tmp_path, "report", "--at", "2026-03-02 13:00", service=service)

    assert (done.returncode, done.stderr) == (0, "")
    assert without_distances(done.stdout) == (
        "`report` ran and failed: the command failed (exit code 7)\n"
        "  the end of its output:\n"
        "    no space\n"
        "    \\x1b[2Jleft\n"
        "  what can be done: `jobscheduler output report` or `jobscheduler run report --wait`"
        " or `jobscheduler history report -n 10`\n"
    )


def test_the_answer_is_an_object_for_machines(tmp_path: Path) -> None:
    """With a word for what it is, and the record."""
    log_of(tmp_path / "log", record(0), record(1, Status.SKIPPED, reason="overlap"))
    done = ask(tmp_path, "report", "--json", "--at", "2026-03-02T12:00:00Z", service={"report": reply()})
    answer = json.loads(done.stdout)

    assert done.returncode == 0
    assert (answer["job_id"], answer["at"], answer["answer"]) == ("report", "2026-03-02T12:00:00Z", "skipped")
    assert answer["record"]["scheduled"] == "2026-03-02T12:00:00Z"
    assert without_distances(answer["sentences"][0]) == "`report` was skipped: its last run was still in progress"


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-03-02T11:00", "`report` was not due at Mon 2026-03-02 11:00:00 UTC: the hour is 11, not 12"),
        ("2026-03-03T12:00", "has no record for Tue 2026-03-03 12:00:00 UTC: its file was put there at Tue 2026-03-03"),
        ("2026-03-04T12:00", "the service was not running then; it started at Wed 2026-03-04 18:00:00 UTC"),
        ("2026-03-05T12:00", "`schedule` changed at Thu 2026-03-05 18:00:00 UTC"),
        ("2026-02-01T12:00", "the log does not reach back so far, it begins at Sun 2026-03-01 12:00:00 UTC"),
        ("2126-03-03T12:00", "`report` is due at Sun 2126-03-03 12:00:00 UTC"),
    ],
)
def test_what_happened_to_the_job_and_to_the_service_is_in_the_log(tmp_path: Path, at: str, said: str) -> None:
    """What comes first after the slot says how it was at the slot."""

    def event(day: int, hour: int, name: str, **values: str) -> Event:
        when = datetime(2026, 3, day, hour, tzinfo=UTC)
        fields_of_job = () if name.startswith("service") else (("job_id", "report"),)
        return Event(when, Level.INFO, name, (*fields_of_job, *values.items()))

    log_of(
        tmp_path / "log",
        event(1, 12, "service.started"),
        event(1, 13, "job.added"),
        record(1),
        event(3, 11, "job.removed"),
        event(3, 18, "job.added"),
        event(4, 11, "service.stopped"),
        event(4, 18, "service.started"),
        event(5, 18, "job.updated", changed="schedule"),
    )
    # ... a slot before the change of the schedule is, as far as anybody can tell, one of another schedule
    service = {"report": reply()}
    if at.startswith(("2026-03-03", "2026-03-04")):
        lines = (tmp_path / "log").read_text().splitlines(keepends=True)
        (tmp_path / "log").write_text("".join(lines[:-1]))
    done = ask(tmp_path, "report", "--at", at, service=service)

    assert done.returncode == 0
    assert said in done.stdout


def test_a_time_that_the_clock_skips_or_shows_twice_is_understood(tmp_path: Path) -> None:
    """As the schedule understands it; the answer names the instant."""
    log_of(tmp_path / "log", record(-500))
    service = {"report": reply(job("report", "30 2 * * *", timezone="Europe/Berlin"))}
    skipped = ask(tmp_path, "report", "--at", "2026-03-29 02:30", service=service).stdout
    twice = ask(tmp_path, "report", "--at", "2026-10-25T02:30", service=service).stdout

    assert "Sun 2026-03-29 03:00:00 CEST" in skipped
    assert "the clock skips 02:30; runs right after the gap" in skipped
    assert "the answer is about `2026-03-29T03:00:00+02:00`" in skipped
    assert "Sun 2026-10-25 02:30:00 CEST" in twice
    assert "runs the first time only" in twice


def test_without_a_time_it_tells_the_next_slots_and_the_last_record(tmp_path: Path) -> None:
    """And what is wrong with the file."""
    service = {
        "report": reply(
            job("report", "0 12 * * *", timezone="UTC", not_before="2126-01-01T00:00:00Z"),
            state="stale",
            stale=True,
            next=[{"scheduled": "2126-01-01T12:00:00Z", "start": "2126-01-01T12:00:00Z"}],
            last=json.loads(format_json(record(0))),
            problems=[
                {"message": "unknown field `x`", "file": "report.json", "line": 3, "column": 5, "help": "drop it"}
            ],
        )
    }
    done = ask(tmp_path, "report", service=service)

    assert (done.returncode, done.stderr) == (0, "")
    assert without_distances(done.stdout) == (
        "`report` is due next at Tue 2126-01-01 12:00:00 UTC\n"
        "  it is due: At 12:00 every day (UTC)\n"
        "  its file has a problem, so its last good version is active\n"
        "  the last record: its slot of Sun 2026-03-01 12:00:00 UTC ran and succeeded\n"
        "\n"
        "error: unknown field `x`\n"
        "  --> report.json:3:5\n"
        "  help: drop it\n"
    )


def test_a_run_that_goes_on_is_the_answer(tmp_path: Path) -> None:
    """For its slot, and from now on."""
    going = {"run_id": "a", "scheduled": "2026-03-02T12:00:00Z", "started": "2026-03-02T12:00:01Z", "attempt": 2}
    service = {"report": reply(state="running", active_runs=[{**going, "waiting_for": None}])}
    log_of(tmp_path / "log", record(0))

    said = "`report` has been running since Mon 2026-03-02 12:00:01 UTC, attempt 2\n"
    help_ = "  what can be done: `jobscheduler output report -f` or `jobscheduler stop report`\n"
    assert ask(tmp_path, "report", "--at", "2026-03-02T12:00", service=service).stdout == said + help_
    assert said in ask(tmp_path, "report", service=service).stdout


def test_a_refused_job_is_explained_by_its_problems(tmp_path: Path) -> None:
    """Exit status 1."""
    problem = {"message": "unknown field `x`", "file": "r.json", "line": 3, "column": 5, "help": None}
    done = ask(
        tmp_path,
        "report",
        service={"report": {**reply(), "state": "refused", "definition": None, "problems": [problem]}},
    )

    assert done.returncode == 1
    assert "`report` is refused" in done.stdout
    assert "error: unknown field `x`\n  --> r.json:3:5" in done.stdout


def test_an_unknown_job_gets_a_suggested_id(tmp_path: Path) -> None:
    """Of those in the log; one whose file was removed is not unknown."""
    removed = Event(NOON + timedelta(days=1), Level.INFO, "job.removed", (("job_id", "report"),))
    log_of(tmp_path / "log", record(0), removed)

    done = ask(tmp_path, "repotr")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: there is no job `repotr`\n help: did you mean `report`?\n"
    done = ask(tmp_path, "report")
    assert done.returncode == 0
    assert done.stdout.startswith("`report` no longer exists: its file was removed at Mon 2026-03-02 12:00:00 UTC\n")


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("next week", "`next week` is not a time"),
        ("2026-03-32", "`2026-03-32` names a date that does not exist"),
        ("2026-3-2 1:00", "is not an ISO 8601 date and time"),
    ],
)
def test_a_time_that_cannot_be_read_is_refused(tmp_path: Path, at: str, said: str) -> None:
    """As wrong usage, with what to write."""
    done = ask(tmp_path, "report", "--at", at, service={"report": reply()})

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


# --- without a service -----------------------------------------------------------------------------------


def offline(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the verb where no service is."""
    where = ("--log-file", "log", "--jobs-dir", "jobs.d")
    return run("explain", *where, *arguments, cwd=tmp_path)


def test_without_a_service_a_record_is_answer_enough(tmp_path: Path) -> None:
    """It is final."""
    log_of(tmp_path / "log", record(0))
    done = offline(tmp_path, "report", "--at", "2026-03-01T12:00:00Z")

    assert (done.returncode, done.stderr) == (0, "")
    assert without_distances(done.stdout).startswith("`report` ran and succeeded\n")
    assert "the service was not asked" in done.stdout


def test_without_a_service_the_file_answers_as_far_as_it_can(tmp_path: Path) -> None:
    """Exit status 3, with what to do."""
    put(tmp_path / "jobs.d" / "x.json", DAILY)
    (tmp_path / "jobs.d").chmod(0o755)
    done = offline(tmp_path, "report", "--at", "2026-03-01T11:00:00Z")

    assert done.returncode == 3
    assert "`report` was not due at Sun 2026-03-01 11:00:00 UTC: the hour is 11, not 12" in done.stdout
    assert "the service was not asked: this is what the log and the file say" in done.stdout
    assert "systemctl status jobscheduler" in done.stderr


def test_without_a_service_and_a_file_there_is_no_answer(tmp_path: Path) -> None:
    """Exit status 3."""
    done = offline(tmp_path, "report")

    assert (done.returncode, done.stdout) == (3, "")
    assert "note: no job file defines `report`" in done.stderr


def test_a_file_that_names_another_id_is_not_taken_for_the_one_in_its_name(tmp_path: Path) -> None:
    """One that names none, or is no JSON at all, is."""
    file = put(tmp_path / "jobs.d" / "report.json", '{"job_id": "other", "schedule": ')
    (tmp_path / "jobs.d").chmod(0o755)
    assert "no job file defines `report`" in offline(tmp_path, "report").stderr

    file.write_text("{")
    assert "`report` is refused: its definition in `report.json` has problems" in offline(tmp_path, "report").stdout


def explained(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask the real service."""
    return run("explain", *arguments, "--socket", str(service.socket))


def test_an_unreadable_file_is_found_by_its_name_or_the_log(service: Service) -> None:
    """It is refused after a restart, and its job not gone."""
    service.write("by-name.json", job("by-name"))
    service.start()
    service.write("x.json", job("by-log"))
    for job_id in ("by-name", "by-log"):
        service.wait_for("SUCCESS", job_id=job_id)
    assert service.stop() == 0
    for file in ("by-name.json", "x.json"):
        service.write(file, "{")
    service.start()
    service.wait_for("job.refused", 2)  # not before the files have been quiet for a second

    for job_id, file, more in (("by-name", "by-name.json", ()), ("by-log", "x.json", ("--at", "2020-01-01T00:00Z"))):
        done = explained(service, job_id, *more)
        assert done.returncode == 1
        assert done.stdout.startswith(f"`{job_id}` is refused: its definition in `{file}` has problems")
        assert "  the last record: its slot of" in done.stdout
        assert f"{file}:1:1\n" in done.stdout
    assert service.stop() == 0


def test_the_id_that_may_be_meant_is_one_that_the_service_has(service: Service) -> None:
    """Whether or not the log has a line about it."""
    service.write("x.json", job("backup-db", "@yearly"))
    service.start()
    done = explained(service, "backup-bd")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: there is no job `backup-bd`\n help: did you mean `backup-db`?\n"
    assert service.stop() == 0


def test_the_log_of_the_real_service_is_understood(service: Service) -> None:
    """A slot that ran, one before the file was there, and one in an outage."""
    service.write("a.json", job("early"))
    service.start()
    service.wait_for("SUCCESS", job_id="early")
    service.write("b.json", job("late"))
    (added,) = service.wait_for("job.added", job_id="late")
    service.wait_for("SUCCESS", job_id="late")
    assert service.stop() == 0
    stopped = datetime.now(UTC)
    wait_until(lambda: datetime.now(UTC) > stopped + timedelta(seconds=3))
    service.start()
    missed = service.wait_for("MISSED", job_id="early")[-1]
    assert service.stop() == 0

    def answered(job_id: str, at: str) -> tuple[int, dict[str, Any]]:
        files = ("--log-file", str(service.log), "--jobs-dir", str(service.jobs))
        done = run("explain", job_id, "--json", "--at", at, *files)
        return done.returncode, json.loads(done.stdout)

    first = service.words("SUCCESS", job_id="early")[0]["scheduled"]
    status, answer = answered("early", first)
    assert (status, answer["answer"]) == (0, "ran")
    status, answer = answered("early", missed["scheduled"])
    assert (status, answer["answer"]) == (0, "missed")
    before = datetime.fromisoformat(added["time"]).replace(microsecond=0) - timedelta(seconds=1)
    status, answer = answered("late", before.isoformat())
    assert (status, answer["answer"]) in {(3, "added_later"), (3, "log_missing")}
    assert missed["reason"] == "down"
