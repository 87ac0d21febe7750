"""`history` as a process, on logs made by hand, by the real service, and on a big one."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.cli.read_progress import ReadProgress
from jobscheduler.model import Event, Level, LogEntry, Record, Status
from jobscheduler.runlog import format_json, format_text
from jobscheduler.web.log_record import latest, parse_records
from tests.service.test_cli import run
from tests.support.fork_server import start_program
from tests.support.service import ROOT, Service, job

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HELLO = job("hello", "* * * * * *", "echo hi")


def at(minutes: float) -> datetime:
    """So many minutes from noon."""
    return NOON + timedelta(minutes=minutes)


def begun(minute: int, job_id: str = "report-001") -> Event:
    """A line that says that a run began."""
    pairs = (("job_id", job_id), ("run_id", f"r{minute}"), ("scheduled", at(minute)), ("attempt", 1))
    return Event(at(minute), Level.INFO, "run.started", pairs)


def record(minute: int, status: Status = Status.SUCCESS, job_id: str = "report-001", **more: object) -> Record:
    """One that took a second and a half."""
    values = {"run_id": f"r{minute}", "scheduled": at(minute), "started": at(minute), "duration": 1.5, **more}
    return Record(at(minute) + timedelta(seconds=1.5), status, job_id, **values)  # type: ignore[arg-type]


FAILED = (("exit_code", 1),)
BY_HAND = (("trigger", "manual"), ("by", 0))
LINES: tuple[LogEntry, ...] = (
    Event(at(0), Level.INFO, "service.started", (("jobs", 2), ("refused", 0))),
    begun(0),
    record(0, details=(("exit_code", 0),)),
    begun(1, "cleanup-xyz"),
    record(
        1, Status.FAILURE, "cleanup-xyz", reason="exit", details=(("exit_code", 1),), output="no\x1b[2J such file\n"
    ),
    Record(at(5), Status.SKIPPED, "report-001", scheduled=at(5), reason="overlap"),
    Record(
        at(70),
        Status.MISSED,
        "report-001",
        scheduled=at(10),
        reason="down",
        details=(("last", at(68)), ("count", 59)),
    ),
    Event(at(71), Level.INFO, "job.updated", (("job_id", "report-001"), ("changed", "schedule"))),
    Record(
        at(80), Status.SUCCESS, "report-001", "abc", None, at(78), 125.0, details=(("trigger", "manual"), ("by", 0))
    ),
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log in both formats, a line each, the newer half of it in the file and the older in a rotated one."""
    path = tmp_path / "scheduler.log"
    lines = [(format_text, format_json)[number % 2](entry) + "\n" for number, entry in enumerate(LINES)]
    path.with_name("scheduler.log.1").write_text("".join(lines[:4]), "utf-8")
    path.write_text("".join(lines[4:]), "utf-8")
    return path


def shown(log: Path, *arguments: str, **env: str) -> list[str]:
    """The lines of a table."""
    done = run("history", "--log-file", str(log), *arguments, **env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def found(log: Path, *arguments: str) -> list[str]:
    """The words of the lines that are found."""
    return [answer.get("status") or answer["event"] for answer in map(json.loads, shown(log, "--json", *arguments))]


def test_the_records_are_shown_as_a_table_in_local_time(log: Path) -> None:
    """The oldest first, as in the log; the zone is in the title, and what a job printed cannot disturb the terminal."""
    assert shown(log, TZ="Europe/Berlin") == [
        "TIME (Europe/Berlin)  JOB          STATUS   SLOT       TOOK  RUN  DETAILS",
        "2026-11-22 13:00:01   report-001   SUCCESS  13:00:00   1.5s  r0",
        "2026-11-22 13:01:01   cleanup-xyz  FAILURE  13:01:00   1.5s  r1   no\\x1b[2J such file",
        "2026-11-22 13:05:00   report-001   SKIPPED  13:05:00              overlap",
        "2026-11-22 14:10:00   report-001   MISSED   13:10:00              down, 59 slots until 2026-11-22 14:08:00",
        "2026-11-22 14:20:00   report-001   SUCCESS  by hand   2m05s  abc  by=root",
    ]


def test_records_of_several_jobs_are_found_by_pattern(log: Path) -> None:
    """Any of the patterns or ids; the last two of these."""
    assert [line.split()[2] for line in shown(log, "clean*", "report-001", "-n", "2")[1:]] == ["report-001"] * 2
    assert [line.split()[2] for line in shown(log, "clean*")[1:]] == ["cleanup-xyz"]


def test_the_records_of_each_job_are_summed_up(log: Path) -> None:
    """All of the time that is asked for, as a table and as objects with numbers."""
    assert shown(log, "--stats") == [
        "JOB          RUNS    OK   P50    P95  LONGEST  CPU  MEMORY  SKIPPED  MISSED",
        "cleanup-xyz     1    0%  1.5s   1.5s     1.5s    -       -        0       0",
        "report-001      2  100%  1.5s  2m05s    2m05s    -       -        1      59",
    ]
    assert json.loads(shown(log, "--stats", "--json", "report-001")[0]) == {
        "job_id": "report-001",
        "runs": 2,
        "successes": 2,
        "failures": 0,
        "skipped": 1,
        "missed": 59,
        "success_rate": 1.0,
        "p50": 1.5,
        "p95": 125.0,
        "longest": 125.0,
        "cpu": None,
        "max_rss": None,
    }


def test_a_check_can_fail_when_there_is_no_record(log: Path) -> None:
    """Such as a nightly one that asks for last night's success."""
    done = run("history", "report-001", "--status", "failure", "--fail-if-none", "--log-file", str(log))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no such records; ")
    assert run("history", "report-001", "--fail-if-none", "--log-file", str(log)).returncode == 0


def test_a_tag_needs_the_service(log: Path, tmp_path: Path) -> None:
    """The log does not know it."""
    done = run("history", "tag:shop", "--log-file", str(log), "--socket", str(tmp_path / "none"))
    assert done.returncode == 3


def test_following_goes_on_with_new_lines(log: Path) -> None:
    """Each is printed when it comes, once; Ctrl-C ends it."""
    command = [sys.executable, str(ROOT / "main.py"), "history", "-f", "-n", "1", "--json", "--log-file", str(log)]
    with subprocess.Popen(
        ["env", "--default-signal=INT", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["run_id"] == "abc"
        with log.open("a") as file:
            file.write(format_text(begun(90)) + "\n" + format_text(record(90)) + "\n")
        assert json.loads(following.stdout.readline())["run_id"] == "r90"
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 130


def test_the_skipped_slots_of_an_outage_are_summed_up_as_missed_ones_are(tmp_path: Path) -> None:
    """A pause went on while the service was down."""
    details = (("last", at(12)), ("count", 3))
    one = Record(at(30), Status.SKIPPED, "report-001", scheduled=at(10), reason="paused", details=details)
    path = tmp_path / "scheduler.log"
    path.write_text(format_text(one) + "\n", "utf-8")
    assert "paused, 3 slots until 2026-11-22 12:12:00" in shown(path)[1]


def test_a_slot_that_only_a_wrong_clock_missed_is_shown_as_corrected(tmp_path: Path) -> None:
    """Of its two records the later one counts, also where that is not among the lines that are shown."""
    corrects = (("corrects", "clock"),)
    lines = (
        Record(at(30), Status.MISSED, "report-001", scheduled=at(5), reason="clock"),
        Record(at(30), Status.MISSED, "other", scheduled=at(5), reason="clock"),
        Record(
            at(30),
            Status.MISSED,
            "report-001",
            scheduled=at(10),
            reason="down",
            details=(("last", at(12)), ("count", 3)),
        ),
        record(5, details=corrects),
        record(11, Status.FAILURE, reason="exit", details=(("exit_code", 1), *corrects)),
    )
    path = tmp_path / "scheduler.log"
    path.write_text("".join(format_text(one) + "\n" for one in lines), "utf-8")

    one, other, several, *_ = [line.partition("MISSED")[2].split(maxsplit=1)[1] for line in shown(path)[1:4]]
    assert one == "corrected: it has a later record, clock"
    assert other == "clock"
    assert several == "corrected: of these slots 1 has a later record, down, 3 slots until 2026-11-22 12:12:00"
    assert sum("corrects=clock" in line for line in shown(path)) == 2
    assert "corrected" in shown(path, "report-001", "--status", "missed", "-n", "0")[1]
    (_, _, ranged, single) = parse_records(
        json.loads(format_json(entry)) for entry in (lines[3], lines[4], lines[2], lines[0])
    )
    assert (ranged.corrected, ranged.count, single.corrected) == (1, 3, 1)
    assert latest([ranged, single]) == [ranged]


def test_objects_are_those_of_the_json_format(log: Path) -> None:
    """Numbers are numbers, whichever format the line has in the log."""
    expected = [json.loads(format_json(entry)) for entry in LINES if isinstance(entry, Record)]

    assert [json.loads(line) for line in shown(log, "--json")] == [
        {**one, **({"by": "0"} if one.get("by") == 0 else {})}
        for one in expected  # of this key a text tells no type
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report-001",), ["SUCCESS", "SKIPPED", "MISSED", "SUCCESS"]),
        (("cleanup-xyz",), ["FAILURE"]),
        (("--status", "Failure,missed"), ["FAILURE", "MISSED"]),
        (("--status", "FAILURE", "--status", "skipped"), ["FAILURE", "SKIPPED"]),
        (("--since", "2026-11-22T12:05:00Z", "--until", "2026-11-22T13:10:00Z"), ["SKIPPED", "MISSED"]),
        (("--since", "2026-11-22 13:10"), ["MISSED", "SUCCESS"]),
        (("--until", "2026-11-22"), []),
        (("--since", "2026-11-22", "-n", "0"), ["SUCCESS", "FAILURE", "SKIPPED", "MISSED", "SUCCESS"]),
        (("-n", "2"), ["MISSED", "SUCCESS"]),
        (("--limit", "0"), ["SUCCESS", "FAILURE", "SKIPPED", "MISSED", "SUCCESS"]),
        (("--log-backups", "1"), ["SUCCESS", "FAILURE", "SKIPPED", "MISSED", "SUCCESS"]),
        (
            ("report-001", "--all"),
            ["run.started", "SUCCESS", "SKIPPED", "MISSED", "job.updated", "SUCCESS"],
        ),
        (("report-001", "--all", "--status", "skipped"), ["SKIPPED"]),
    ],
)
def test_what_is_asked_for_is_found(log: Path, arguments: tuple[str, ...], words: list[str]) -> None:
    """By job, by status in any case, by time, and so many from the end."""
    done = run("history", "--log-file", str(log), "--json", *arguments)
    answer = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 0
    assert [one.get("status") or one["event"] for one in answer] == words


def test_a_duration_is_counted_back_from_now(tmp_path: Path) -> None:
    """In both bounds."""
    now = datetime.now(UTC)
    entries = [
        Record(now - timedelta(minutes=minutes), Status.SUCCESS, "x", f"r{minutes}") for minutes in (150, 90, 30, 1)
    ]
    (tmp_path / "log").write_text("".join(format_text(entry) + "\n" for entry in entries))

    def runs(*arguments: str) -> list[str]:
        return [json.loads(line)["run_id"] for line in shown(tmp_path / "log", "--json", *arguments)]

    assert runs("--since", "2h") == ["r90", "r30", "r1"]
    assert runs("--since", "1h40m", "--until", "15m") == ["r90", "r30"]


def test_a_local_time_is_of_the_zone_of_the_host(log: Path) -> None:
    """As the times that are shown."""
    assert len(shown(log, "--since", "2026-11-22T14:00", TZ="Europe/Berlin")) == 3
    assert len(shown(log, "--since", "2026-11-22T12:00", TZ="Europe/Berlin")) == 6


def test_an_unknown_job_gets_the_id_that_may_be_meant(log: Path) -> None:
    """Of those that occur; one that occurs and has no such record is not unknown."""
    done = run("history", "--log-file", str(log), "report-01")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("error: the log has no line about a job `report-01`\n help: did you mean `report-001`?\n")

    done = run("history", "--log-file", str(log), "cleanup-xyz", "--status", "missed")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no such records; the log reaches back to 2026-11-22 12:00:00\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--log-file", "/nowhere/x.log"), 1, "there is no log `/nowhere/x.log`"),
        (("--since", "last week"), 2, "`last week` is not a time"),
        (("--since", "1h", "--until", "2h"), 2, "`--until` is before `--since`"),
        (("--all",), 2, "`--all` is for one job"),
        (("--status", "failed"), 2, "did you mean `failure`? there are success, failure, skipped, missed"),
        (("-n", "-1"), 2, "`-n` takes a whole number 0 or more, not `-1`"),
        (("--log-backups", "x"), 2, "--log-backups: `x`"),
    ],
)
def test_a_question_without_an_answer_is_reported(
    log: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """With the exit status for it."""
    done = run("history", *arguments, JOBSCHEDULER_LOG_FILE=str(log))

    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr


def test_what_a_bound_takes_is_named(log: Path) -> None:
    """All of it, and whose zone counts; what is nearly a time is mended instead."""
    said = run("history", "--since", "last week", "--log-file", str(log)).stderr
    assert "a time like `14:30` or `2026-12-01T10:00` (of " in said
    assert "a day like `2026-12-01`, `yesterday`, `today` or `tomorrow`, or how long ago, like `2h`" in said

    assert "help: write `2026-03-02T00:00`" in run("history", "--until", "2026-3-2", "--log-file", str(log)).stderr


@pytest.mark.parametrize("is_directory_closed", [False, True])
def test_a_log_that_this_user_may_not_read_is_reported(log: Path, is_directory_closed: bool) -> None:
    """With what to do; also where the user may not even look for it."""
    log.parent.chmod(0o755)
    (log.parent if is_directory_closed else log).chmod(0)
    if os.geteuid() != 0:
        done = run("history", "--log-file", str(log))
    else:
        for parent in log.parent.parents:
            if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
                parent.chmod(0o755)
        # the verb is imported before, for the interpreter and the checkout may be where only root can read
        code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); from jobscheduler import cli"
        code += "; from jobscheduler.cli import history; os.setuid(65534)"
        command = [sys.executable, "-c", f"{code}; sys.exit(cli.main(['history', '--log-file', {str(log)!r}]))"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    log.parent.chmod(0o755)

    assert done.returncode == 1
    assert f"the log `{log}` cannot be read by this user" in done.stderr


def in_terminal(width: int, *arguments: str, **env: str) -> list[str]:
    """What the command writes to a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS"}}
    process = start_program(
        [sys.executable, str(ROOT / "main.py"), "history", *arguments],
        stdout=theirs,
        env={**environment, "TZ": "UTC", "TERM": "xterm", **env},
    )
    os.close(theirs)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
    except OSError:  # how the end of a terminal looks
        pass
    os.close(ours)
    assert process.wait(30) == 0
    return written.decode("utf-8").splitlines()


def test_on_a_terminal_it_fits_and_is_in_colour(log: Path) -> None:
    """Unless `NO_COLOR` is set."""
    lines = in_terminal(72, "--log-file", str(log))
    assert "\x1b[31mFAILURE\x1b[0m" in lines[2]
    plain = [re.sub("\x1b\\[[0-9]*m", "", line) for line in lines]
    assert max(map(len, plain)) == 72
    assert plain[2].endswith("…")

    assert "\x1b" not in "".join(in_terminal(72, "--log-file", str(log), NO_COLOR="1"))


def test_in_a_pipe_nothing_is_cut_or_coloured(log: Path) -> None:
    """So that it can be searched."""
    assert any(line.endswith("59 slots until 2026-11-22 13:08:00") for line in shown(log))
    assert "\x1b" not in "".join(shown(log, NO_COLOR=""))


def test_what_the_service_writes_is_shown(service: Service) -> None:
    """From its own log, while it runs."""
    service.write("hello.json", HELLO)
    service.start()
    service.wait_for("SUCCESS", 2, job_id="hello")
    answer = [json.loads(line) for line in shown(service.log, "hello", "--json", "--status", "success", "-n", "2")]

    assert [(one["job_id"], one["status"], one["exit_code"]) for one in answer] == [("hello", "SUCCESS", 0)] * 2
    assert "run.started" in found(service.log, "hello", "--all")


def test_a_reader_that_leaves_early_is_not_an_error(tmp_path: Path) -> None:
    """As `head` does."""
    big_log(tmp_path / "log", 2_000_000)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), "history", "-n", "0", "--log-file", str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 0


def big_log(path: Path, size: int) -> int:
    """A log of about this size; return how many records it has. One in a thousand is about the job `rare`."""
    jobs = ["rare", *["common"] * 999]
    lines = "".join(
        format_text(record(0, job_id=one)) + "\n" + format_text(begun(0, one)) + "\n" for one in jobs
    ).encode()
    times = size // len(lines) + 1
    with path.open("wb") as file:
        for _ in range(times):
            file.write(lines)
    return times * len(jobs)


MEASURED = """
import sys
sys.path.insert(0, {root!r})
from jobscheduler import cli
status = cli.main(sys.argv[1:])
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak, file=sys.stderr)
sys.exit(status)
"""


def peak_of(log: Path, *arguments: str) -> tuple[int, int]:
    """How many lines the command prints, and the most memory it has at once, in KiB (not what the tests have)."""
    command = [sys.executable, "-c", MEASURED.format(root=str(ROOT)), "history", "--log-file", str(log), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = sum(1 for _ in process.stdout)
        said = process.stderr.read().decode()
    assert process.returncode == 0, said
    return lines, int(said.split()[-1])


@pytest.mark.parametrize("size", [10_000_000, pytest.param(50_000_000, marks=pytest.mark.deep)])
def test_memory_does_not_grow_with_the_log(tmp_path: Path, size: int) -> None:
    """Neither for the last lines nor for one job nor for all there is."""
    small, big, whole = (tmp_path / name for name in ("small", "big", "whole"))
    big_log(small, 200_000)
    count, count_of_all = big_log(big, size), big_log(whole, size // 5)
    for log, arguments, lines in (
        (big, (), 51),
        (big, ("rare", "-n", "0"), count // 1000 + 1),
        (big, ("rare", "--json", "-n", "7"), 7),
        (big, ("--status", "failure"), 0),
        (whole, ("-n", "0"), count_of_all + 1),
    ):
        printed, most = peak_of(log, *arguments)
        assert printed == lines
        assert most < peak_of(small, *arguments)[1] + 4 * 1024


def test_a_terminal_shows_the_progress_if_reading_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second, not too often, and no trace remains."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now, terminal = [0.0], Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = ReadProgress()
    for done in range(30):
        now[0] = done / 10
        progress(done, 30)
    progress.end()

    written = terminal.getvalue()
    assert written.startswith("\rreading the log: 36 % \rreading the log: 4")
    assert written.count("reading") == 8
    assert written.endswith("\r" + " " * 30 + "\r")
