"""The manual pages as man and mandoc see them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.job_files import unavailable
from tests.support.service import ROOT

NAMES = {
    "man1/jobscheduler.1": "jobscheduler - a job scheduler for Linux hosts",
    "man5/jobscheduler-job.5": "jobscheduler-job - a job of jobscheduler",
    "man5/scheduler.toml.5": "scheduler.toml - settings of the job scheduler",
}
COLUMNS = 80


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, with a date."""
    made = tmp_path_factory.mktemp("man")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1764460800"}
    subprocess.run([sys.executable, "-m", "manual", made], cwd=ROOT, env=environment, check=True)
    return made


def output_of(*command: object) -> tuple[str, str]:
    """What a program of the host prints, and what it complains about."""
    if shutil.which(str(command[0])) is None:
        unavailable(f"{command[0]} is not installed")
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANWIDTH": str(COLUMNS), "MANPAGER": "cat"}
    words = [str(word) for word in command]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_man_and_mandoc_find_no_fault(folder: Path, name: str) -> None:
    """Not even in style."""
    assert output_of("man", "--warnings", "--local-file", "-Tutf8", "-Z", folder / name)[1] == ""
    assert output_of("mandoc", "-T", "lint", "-W", "style", folder / name) == ("", "")


@pytest.mark.parametrize(("name", "line"), NAMES.items())
def test_apropos_finds_it(folder: Path, name: str, line: str) -> None:
    """By name and summary."""
    assert output_of("lexgrog", folder / name)[0] == f'{folder / name}: "{line}"\n'


@pytest.mark.parametrize("name", NAMES)
def test_it_is_readable_on_a_terminal_of_80_columns(folder: Path, name: str) -> None:
    """No line is wider, also of examples, and no markup is left."""
    shown, _ = output_of("man", "--local-file", folder / name)
    lines = shown.splitlines()
    assert len(lines) > 150
    assert max(map(len, lines)) <= COLUMNS
    assert "\\f" not in shown
    assert "`" not in shown
