"""docs/operators-day.md does what it says: each command of it in order, with a real service, prints what is shown.

Times, durations, ids of runs, the host's name and the user differ from day to day; all else is compared.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until

PAGE = (ROOT / "docs" / "operators-day.md").read_text("utf-8")
RSYNC = "rsync: failed to connect to mirror (10.0.0.7): Connection refused"
DIFFERS = (
    (r"\b[0-9a-f]{12}\b", "RUN"),
    (r"(?m)^\S+: the service", "HOST: the service"),
    (r"\bby \S+?(?=[:,\n])", "by USER"),
    (r"\b(process|pid) \d+", "process PID"),
    (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:\d+ \w+ |\d{4}-\d\d-\d\d )", "DAY "),
    (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?=\d\d:\d\d)", ""),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\b\d\d:\d\d(?::\d\d(?:\.\d+)?)?\b", "TIME"),
    (r"\b(?:now|\d+(?:\.\d+)?(?:ms|s|m|h|d)(?: ago)?)(?=[\s,.)]|$)", "AGE"),
    (r" +", " "),
)


def commands() -> list[tuple[str, str]]:
    """Each command of the page and what it shows, in order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown))
    return found


def normal(text: str) -> str:
    """A text without what differs from day to day."""
    for pattern, instead in DIFFERS:
        text = re.sub(pattern, instead, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service in whose night a backup has failed twice, and in which a job hangs. No slot comes during the test."""
    made = Service(tmp_path, "--drain-timeout", "1")
    hour = datetime.now(UTC).hour
    good = tmp_path / "mended"
    failing = f"[ -e {good} ] && echo '12 files, 3.1 MB' || {{ echo '{RSYNC}'; exit 10; }}"
    made.write("backup.json", job("backup", f"30 {(hour + 9) % 24} * * *", failing, tags=["nightly"]))
    made.write("report.json", job("report", f"0 {(hour + 13) % 24} * * *", "echo 4 pages", tags=["nightly"]))
    made.write(
        "sync.json", job("sync-mirror", f"15 {(hour + 8) % 24} * * *", "echo waiting for the lock; exec sleep 600")
    )
    made.start()
    for words in (["backup", "--wait"], ["backup", "--wait"], ["report", "--wait"], ["sync-mirror"]):
        told(made, ["jobscheduler", "run", *words])
    wait_until(lambda: "waiting for the lock" in told(made, ["jobscheduler", "output", "sync-mirror"]))
    yield made
    made.stop(signal.SIGTERM)


def told(service: Service, words: list[str]) -> str:
    """What a command of the page prints."""
    reads_log = ["--log-file", str(service.log)] if words[1:2] in (["output"], ["history"], ["explain"]) else []
    command = [sys.executable, str(ROOT / "main.py"), *(words[1:] or ["status"]), "--socket", str(service.socket)]
    environment = {**os.environ, "TZ": "UTC"}
    done = run_program([*command, *reads_log], env=environment, text=True, stderr=subprocess.STDOUT)
    return str(done.stdout)  # both in the order in which they come, as on a terminal


def test_the_day_goes_as_the_page_tells(service: Service, tmp_path: Path) -> None:
    """From the first look to the pause for the evening's work."""
    for command, shown in commands():
        words = shlex.split(command)
        if words[0] == "touch":
            (tmp_path / "mended").touch()
            continue
        got = told(service, words)
        assert normal(got.replace(str(tmp_path), "/etc/scheduler")) == normal(shown), f"{command}\n{got}"
