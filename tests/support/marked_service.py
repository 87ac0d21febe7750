"""A service whose runs leave marks beside its log, for tests in which the log cannot be written."""

from __future__ import annotations

from pathlib import Path

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import Timetable, timetable_of
from tests.support.accounting import MARKING, Account, lines_of
from tests.support.service import Service, job, wait_until

EACH_SECOND = "* * * * * *"


def each_second(*names: str) -> dict[str, Timetable]:
    """The timetables of jobs that run each second."""
    return {name: timetable_of(Job(name, Cron(EACH_SECOND, "UTC"), TaskSpec("x", "{}"))) for name in names}


class MarkedService:
    """A service with a job each second that leaves marks outside of the log's disk.

    `logs` is the directory of the log.
    """

    def __init__(self, service: Service, log_dir: Path) -> None:
        self.service = service
        self.logs = log_dir
        service.log = log_dir / "scheduler.log"
        self.marks = service.jobs.parent / "marks"
        self.marks.touch()
        service.write("tick.json", job("tick", EACH_SECOND, MARKING.format(self.marks)))

    def runs(self) -> int:
        """Return how often the command ran."""
        return len(self.marks.read_text("ascii").splitlines())

    def wait_for_runs(self, more: int = 2) -> None:
        """Wait until it ran some more times."""
        before = self.runs()
        wait_until(lambda: self.runs() >= before + more)

    def wait_for_echo(self, text: str) -> None:
        """Wait until standard error has a text."""
        wait_until(lambda: text in self.service.stderr(), why=f"{text} on standard error")

    def check(self) -> None:
        """Stop, and check the account of slots."""
        assert self.service.stop() == 0
        Account(lines_of(self.service.log), each_second("tick"), self.marks).check()
        assert "Traceback" not in self.service.stderr()

    def start(self) -> None:
        """Start, and wait until the job has run."""
        self.service.start()
        self.service.wait_for("SUCCESS", job_id="tick")

    def take_logs_away(self) -> None:
        """Rename the directory of the log, and wait until the service has noticed and goes on."""
        self.logs.rename(self.logs.with_name("away"))
        self.wait_for_echo("log.lost")
        self.wait_for_runs()

    def put_logs_back(self) -> None:
        """Rename the directory back, and wait until the log is written again."""
        self.logs.with_name("away").rename(self.logs)
        self.service.wait_for("log.restored")


def with_log_directory(service: Service) -> MarkedService:
    """Return the service with a directory of its own for its log."""
    logs = service.jobs.parent / "logs"
    logs.mkdir()
    return MarkedService(service, logs)
