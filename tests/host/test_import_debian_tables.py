"""The tables of Debian's packages, unpacked and not installed: each line becomes a job with the line's slots."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from jobscheduler import cli
from jobscheduler.jobs.parser import parse
from jobscheduler.model import Job
from jobscheduler.timetable import crontab
from jobscheduler.timetable.timetable import Timetable, timetable_of
from tests.support.job_files import need, unavailable
from tests.unit.test_reconciler import CONTEXT

PACKAGES = (
    *("amavisd-new", "anacron", "awstats", "cacti", "certbot", "cron-daemon-common", "e2fsprogs", "logcheck"),
    *("mailman3", "mailman3-web", "mdadm", "munin", "munin-node", "php-common", "sysstat"),
)
LEAST = 10  # packages with a table that the host's apt has to know


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tables of the packages, downloaded with the host's apt. None of them is installed."""
    need("apt-get", "dpkg-deb")
    place = tmp_path_factory.mktemp("packages")
    if not _is_downloaded(place, *PACKAGES):  # apt gives none if it does not know one of them
        for package in PACKAGES:
            _is_downloaded(place, package)
    for number, file in enumerate(place.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", file, place / str(number)], check=True, timeout=60)
    found = [*place.glob("*/etc/cron.d/*"), *place.glob("*/etc/crontab")]
    found = [path for path in found if not path.name.startswith(".")]
    if len(found) < LEAST:
        unavailable(f"apt gave only {len(found)} packages with a table")
    return sorted(found)


def _is_downloaded(place: Path, *packages: str) -> bool:
    command = ["apt-get", "-q", "download", *packages]
    return not subprocess.run(command, cwd=place, check=False, capture_output=True, timeout=300).returncode


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_each_line_of_debians_tables_becomes_a_job_with_its_slots(
    tables: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a year, in a zone whose clock changes; and what was written passes `validate --portable`."""
    tmp_path.chmod(0o755)
    zone = ("--timezone", "Europe/Berlin")
    to = ("--to", str(tmp_path), "--json", *zone, "--cron-timezone", "Europe/Berlin")
    assert cli.main(["import", "crontab", *map(str, tables), *to]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    lines = sum(_has_command(line) for path in tables for line in path.read_text().splitlines())
    assert len(found) == len({one["job_id"] for one in found}) == lines
    now, rules = datetime.now(UTC), replace(CONTEXT, zone=ZoneInfo("Europe/Berlin"), is_portable=True)
    for verdict in found:
        words = verdict["text"].split()
        schedule = words[0] if words[0].startswith("@") else " ".join(words[:5])
        line = Timetable(crontab.parse(schedule), rules.zone)
        job = parse((tmp_path / verdict["written_as"]).read_bytes(), "job.json", rules)
        assert isinstance(job, Job)
        until = now + timedelta(days=366)
        assert list(line.slots(now, until, 10_000)) == list(timetable_of(job).slots(now, until, 10_000))
    assert cli.main(["validate", "--portable", *zone, str(tmp_path)]) == 0
    assert "error" not in capsys.readouterr().out.replace("no errors", "")


def _has_command(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#") and (line.lstrip()[0] in "@*0123456789")
