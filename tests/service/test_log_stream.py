"""`--log-file -`: standard output is the log, as containers have it. There is no file, and that is said."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.fork_server import run_program
from tests.support.job_files import assert_every_second_once
from tests.support.service import ROOT, Service, job, parse_line, wait_until

PRINTING = "head -c 2000 /dev/zero | tr '\\\\0' x; echo >>\"$MARKS\"; exit 1"  # fills a pipe with its records


class Streaming(Service):
    """A service whose log is standard output, which goes to the file that tests read as its log."""

    def start(self, *, wait: bool = True) -> Service:
        """Start it; wait until it has read every file."""
        paths = ["--jobs-dir", str(self.jobs), "--log-file", "-", "--socket", str(self.socket)]
        return self.start_with(*paths, *self.options, wait=wait)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Streaming]:
    """One that was not started."""
    made = Streaming(tmp_path)
    made.stdout = os.open(made.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield made
    made.close()
    with suppress(OSError):
        os.close(made.stdout)


def verb(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask the service."""
    command = [*service.program, *arguments, "--socket", str(service.socket)]
    return run_program(command, env=service.env, text=True)


@pytest.mark.parametrize("form", ["text", "json"])
def test_standard_output_has_every_line_and_nothing_else_has_one(service: Streaming, form: str) -> None:
    """No file is made, standard error is empty, and it is said once at the start."""
    service.options = ("--log-format", form)
    service.write("tick.json", job("tick"))
    service.start()
    service.wait_for("SUCCESS", 2, job_id="tick")
    assert service.stop() == 0
    assert service.log.read_text().startswith("{" if form == "json" else "20")
    (said,) = service.words("log.passing")
    assert (said["level"], "until this process ends" in said["problem"]) == ("INFO", True)
    assert_every_second_once(service, "tick", 2)
    assert service.stderr() == ""
    assert {path.name for path in service.jobs.parent.iterdir()} <= {
        *("jobs.d", "scheduler.log", "stderr", "control.sock"),
    }


def test_verbs_say_that_there_is_no_file(service: Streaming) -> None:
    """`history` has nothing to show; `explain` and `status` tell what the process knows."""
    service.write("tick.json", job("tick"))
    service.start()
    service.wait_for("SUCCESS", job_id="tick")
    history = verb(service, "history")
    assert history.returncode == 1
    assert "there is no log file: the service writes its log to standard output alone" in history.stderr
    assert "--log-file FILE" in history.stderr
    explained = verb(service, "explain", "tick")
    assert explained.returncode == 0
    assert "ran and succeeded" in explained.stdout
    assert "there is no file that says what ran before" in explained.stdout
    assert "log        standard output" in verb(service, "status", "-v").stdout
    assert "until this process ends" in verb(service, "status").stdout
    settings = json.loads(verb(service, "config", "--json").stdout)["settings"]
    assert settings["log-file"]["value"] == "-"


def test_the_page_shows_the_records_of_this_process(service: Streaming) -> None:
    """They are kept in memory."""
    service.options = ("--http", "127.0.0.1:0")
    service.write("tick.json", job("tick", command="echo here it is; exit 1"))
    service.start()
    (served,) = service.wait_for("page.served")
    service.wait_for("FAILURE", 2, job_id="tick")
    page = urllib.request.urlopen(f"{served['url']}job/tick").read().decode()
    assert page.count("here it is</") >= 2, page


def test_a_pause_holds_as_long_as_the_process(service: Streaming) -> None:
    """And the next process knows nothing of it, nor of the slots before."""
    service.write("tick.json", job("tick", catch_up="1h"))
    service.start()
    paused = verb(service, "pause", "tick")
    assert paused.returncode == 0
    assert paused.stderr == "note: the log does not have it now: a restart would forget this pause\n"
    service.wait_for("SKIPPED", 2, job_id="tick", reason="paused")
    assert service.stop() == 0
    ran = len(service.words("SUCCESS", job_id="tick"))
    service.start()
    service.wait_for("SUCCESS", ran + 2, job_id="tick")
    assert service.words("MISSED") == []
    assert "nothing is known of the time before" in service.words("service.started")[-1]["settled"]


def test_a_service_without_a_standard_output_does_not_start(tmp_path: Path) -> None:
    """Its descriptor would be that of another file."""
    (tmp_path / "jobs.d").mkdir()
    command = f"exec {sys.executable} {ROOT / 'main.py'} --jobs-dir {tmp_path / 'jobs.d'} --log-file - >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "error: this process has no standard output" in done.stderr
    assert "name another with `--log-file FILE`" in done.stderr


# --- standard output that fails or hangs


@pytest.fixture
def piped(service: Streaming) -> Iterator[tuple[Streaming, int]]:
    """A service with a small pipe as its standard output, started; its reader has seen the start."""
    assert service.stdout is not None
    os.close(service.stdout)
    reading, service.stdout = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    service.constants = {"runlog.backlog.CLOSE_TIMEOUT_S": 1.0}
    service.env["MARKS"] = str(service.jobs.parent / "marks")
    fields = {"type": "execute_command", "command": PRINTING, "env": {"MARKS": service.env["MARKS"]}}
    service.write("tick.json", {"job_id": "tick", "schedule": "* * * * * *", "task": fields})
    service.start(wait=False)
    os.close(service.stdout)
    service.log.write_bytes(read_until(reading, b" service.started "))
    yield service, reading
    with suppress(OSError):
        os.close(reading)


def read_until(descriptor: int, text: bytes) -> bytes:
    """Read until a text has come, and the line that it is in."""
    data = b""
    while text not in data or not data.endswith(b"\n"):
        data += os.read(descriptor, 4096)
    return data


def marks(service: Service) -> int:
    """Return how often the job has run."""
    with suppress(FileNotFoundError):
        return len(Path(service.env["MARKS"]).read_text())
    return 0


def stderr_words(service: Service) -> list[str]:
    """Return the kinds of the lines on standard error."""
    text = service.stderr()
    return [parse_line(line)["word"] for line in text[: text.rfind("\n") + 1].splitlines()]


def test_a_standard_output_that_takes_nothing_hangs_no_run_and_gets_every_line_later(
    piped: tuple[Streaming, int],
) -> None:
    """It is a log that hangs: said once on standard error, where the lines go meanwhile."""
    service, reading = piped
    wait_until(lambda: "log.lost" in stderr_words(service), why="the trouble is said")
    before = marks(service)
    wait_until(lambda: marks(service) >= before + 4, 8, why="runs go on while nothing is read")
    status = verb(service, "status")
    assert "standard output does not answer" in status.stdout
    assert stderr_words(service).count("log.lost") == 1
    assert "FAILURE" in stderr_words(service)

    with service.log.open("ab") as log:
        log.write(read_until(reading, b" log.restored "))
    assert_each_slot_once(service)
    (restored,) = service.words("log.restored")
    assert restored["lines_not_kept"] == "0"
    os.close(reading)
    assert service.stop() == 1


def test_a_service_whose_standard_output_takes_nothing_can_be_stopped(piped: tuple[Streaming, int]) -> None:
    """It ends within its time, and says how many lines were never written."""
    service, _ = piped
    wait_until(lambda: "log.lost" in stderr_words(service), why="the trouble is said")
    assert service.stop() == 1
    last = parse_line(service.stderr().splitlines()[-1])
    assert (last["word"], int(last["lines"]) > 0) == ("log.lost", True)


def test_a_standard_output_that_was_closed_fails_no_run(piped: tuple[Streaming, int]) -> None:
    """It is a log that fails; at the end the lost lines are counted, and the exit status says so."""
    service, reading = piped
    os.close(reading)
    wait_until(lambda: "log.lost" in stderr_words(service), why="the trouble is said")
    before = marks(service)
    wait_until(lambda: marks(service) >= before + 3, why="runs go on")
    assert "standard output cannot be written" in verb(service, "status").stdout
    assert service.stop() == 1
    lost = [parse_line(line) for line in service.stderr().splitlines() if " log.lost " in line]
    assert [line.get("error") for line in lost] == ["broken pipe", None]
    assert int(lost[1]["lines"]) > 0
    assert lost[0]["file"] == "standard output"


def assert_each_slot_once(service: Service) -> None:
    """Every second from the first to the last record has one record: no line was lost or torn.

    On a busy host a run may be skipped for the one before it, or records of two seconds come in one.
    """
    finals = {"FAILURE", "SKIPPED", "MISSED"}
    records = [line for line in service.lines() if line["word"] in finals and line["job_id"] == "tick"]
    spans = sorted((instant_of(line, "scheduled"), instant_of(line, "last")) for line in records)
    assert len(spans) >= 4
    assert all(first - before == timedelta(seconds=1) for (_, before), (first, _) in pairwise(spans))


def instant_of(line: dict[str, str], key: str) -> datetime:
    """Return an instant of a record; without `last` a record is about one slot."""
    return datetime.fromisoformat(line.get(key, line["scheduled"]))
