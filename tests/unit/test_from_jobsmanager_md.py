"""docs/from-jobsmanager.md shows what is printed: its jobs are imported by its command, in a database of the test."""

from __future__ import annotations

import os
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobscheduler import cli
from jobscheduler.cli import import_jobsmanager
from tests.support.jobsmanager import TheirJobs
from tests.support.service import ROOT

PAGE = (ROOT / "docs" / "from-jobsmanager.md").read_text("utf-8")


def block(kind: str) -> str:
    """The fenced block of the page of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]


def test_the_jobs_of_the_page_become_what_the_page_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added as the page adds them, imported as it says."""
    for name in [name for name in os.environ if name.startswith("JOBSCHEDULER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(import_jobsmanager, "utc_now", lambda: datetime(2026, 11, 30, 20, 0, tzinfo=UTC))
    tmp_path.chmod(0o755)
    jobs = TheirJobs(f"sqlite:///{tmp_path}/theirs.db")
    for line in block("python").splitlines():
        eval(line, {"Job": jobs.add})  # of our own page
    jobs.close()
    (tmp_path / "theirs.db").chmod(0o644)
    (tmp_path / "root").mkdir(mode=0o755)
    file = tmp_path / "root" / "jobsmanager-url"
    file.write_text(f"sqlite:///{tmp_path}/theirs.db")
    file.chmod(0o600)
    command, _, wanted = block("console").removeprefix("$ jobscheduler ").partition("\n")
    for way in ("/etc/", "/root/"):
        command = command.replace(way, f"{tmp_path}{way}")
    (tmp_path / "etc").mkdir(mode=0o755)
    (tmp_path / "scheduler.toml").touch(0o644)
    assert cli.main([*shlex.split(command), "--config", f"{tmp_path}/scheduler.toml"]) == 1
    assert capsys.readouterr().out.replace(str(tmp_path), "") == wanted


def test_the_page_names_each_option() -> None:
    """Of those that this verb has of its own."""
    told = set(re.findall(r"--[a-z-]+", PAGE))
    assert {"--url-file", "--table", "--to", "--to-database", "--force", "--json"} <= told
