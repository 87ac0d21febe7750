"""docs/from-cron.md shows what is printed: its table is imported by its commands, in a directory of the test.

`…` stands for the rest of a line.
"""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobscheduler import cli
from jobscheduler.cli import import_crontab
from tests.support.service import ROOT

PAGE = (ROOT / "docs" / "from-cron.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    """The fenced blocks of the page of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_table_of_the_page_becomes_what_the_page_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command in order, and the file that it shows."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(import_crontab, "utc_now", lambda: datetime(2026, 11, 30, 20, 0, tzinfo=UTC))
    tmp_path.chmod(0o755)
    (tmp_path / "cron.d").mkdir(mode=0o755)
    (tmp_path / "cron.d/shop").write_text(blocks("crontab")[0])
    for block in blocks("console"):
        command, _, wanted = block.removeprefix("$ jobscheduler ").partition("\n")
        assert cli.main(shlex.split(command.replace("/etc/", f"{tmp_path}/"))) == 1
        got = capsys.readouterr().out.replace(f"{tmp_path}/", "/etc/")
        for line, shown in zip(got.splitlines(), wanted.splitlines(), strict=True):
            assert line == shown or (shown.endswith("…") and line.startswith(shown[:-1])), line
    written = (tmp_path / "scheduler/jobs.d/shop-report.json").read_text().replace(f"{tmp_path}/", "/etc/")
    assert written == blocks("json")[0]


def test_the_page_names_each_option() -> None:
    """Of those that concern tables and files."""
    told = set(re.findall(r"--[a-z-]+", PAGE))
    wanted = {"--to", "--from", "--force", "--owner", "--user-column", "--mail-alert", "--json"}
    assert wanted | {"--cron-timezone", "--ignore-cron-tz"} <= told
