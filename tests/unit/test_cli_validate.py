"""`validate`: which files it reads, what it leaves out, and that the service loads exactly what it accepts."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler import cli
from jobscheduler.jobs.catalog import ItemState
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.reconciler import Reconciler
from tests.support.job_files import put
from tests.support.properties import examples
from tests.support.service import job
from tests.unit.test_reconciler import CONTEXT, FakeSchedule


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def validate(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Run `validate --json`; return the exit status and the findings."""
    status = cli.main(["validate", "--json", "--timezone", "UTC", *map(str, words)])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def messages(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["level"], one["problem"]) for one in found]


def test_a_file_may_have_any_name(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is checked as a job file; that the service would not read it is a warning."""
    put(directory, "report.json.new", job("a", "@daily", "true"))
    put(directory, "template.j2", job("b", "61 * * * *", "true"))
    assert validate(capsys, directory / "report.json.new") == (
        0,
        [
            {
                "level": "warning",
                "problem": "the service ignores a file of this name",
                "file": str(directory / "report.json.new"),
                "line": None,
                "column": None,
                "notes": [],
                "help": "name it `*.json`, without a dot in front, where the service is to read it",
            }
        ],
    )
    status, found = validate(capsys, directory / "template.j2")
    assert status == 1
    assert messages(found) == [("error", "`61` is out of range: the minute is 0 to 59")]


def test_a_dash_is_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for schedule, expected in (("@daily", 0), ("@dayly", 1)):
        raw = json.dumps(job("a", schedule, "true")).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        status, found = validate(capsys, "-")
        assert status == expected
        assert [one["file"] for one in found] == ["<stdin>"] * expected


def test_what_is_odd_is_a_warning_and_no_error(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(directory, "a.json", job("a", "*/7 * * * *", ["/nowhere/program"]))
    status, found = validate(capsys, directory)
    assert status == 0
    assert [level for level, _ in messages(found)] == ["warning", "warning"]


def test_an_error_about_this_host_hides_no_warning(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is odd is odd on every host."""
    definition = job("a", "*/7 * * * *", "true")
    definition["task"]["user"] = "no-such-user-here"
    put(directory, "a.json", definition)
    status, found = validate(capsys, directory)
    assert (status, [level for level, _ in messages(found)]) == (1, ["error", "warning"])
    assert "no-such-user-here" in found[0]["problem"]
    assert "*/7" in found[1]["problem"]


def test_two_files_of_one_directory_cannot_have_one_id(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also when each of them is named on the command line."""
    for name in ("a.json", "b.json"):
        put(directory, name, job("same", "@daily", "true"))
    for words in ([directory], [directory / "a.json", directory / "b.json"]):
        status, found = validate(capsys, *words)
        assert status == 1
        assert messages(found) == [("error", "the id `same` already belongs to `a.json`")]


def test_a_portable_check_leaves_out_what_depends_on_this_host(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    definition = job("a", "@daily", ["/nowhere/program"])
    definition["task"] |= {"user": "nobody-knows-this-user", "cwd": "/nowhere", "env_file": "/nowhere/a.env"}
    definition["task"]["env"] = {"PASSWORD": "hunter2"}
    put(directory, "a.json", definition).chmod(0o666)
    put(directory, "b.json", job("b", "61 * * * *", "true")).chmod(0o666)
    status, found = validate(capsys, "--portable", directory)
    assert (status, messages(found)) == (1, [("error", "`61` is out of range: the minute is 0 to 59")])


def test_a_portable_check_needs_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", "--portable"]) == 2
    assert "`--portable` needs a path" in capsys.readouterr().err


def test_a_portable_check_uses_the_defaults_of_the_settings_file_that_is_named(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "s.toml").write_text('[defaults]\ntimeout = "10m"\n')
    put(directory, "a.json", job("a", "*/5 * * * *", "true"))
    status, found = validate(capsys, "--portable", "--config", directory / "s.toml", directory / "a.json")
    assert status == 0
    assert [one["notes"] for one in found] == [[f"`timeout` comes from `[defaults]` in {directory}/s.toml"]]


@pytest.mark.parametrize("text", ['max-workers = "many"\n', "max-workers = \n"])
def test_without_a_path_the_settings_file_is_checked_too(
    directory: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (directory / "s.toml").write_text(text)
    (directory / "jobs.d").mkdir(mode=0o755)
    words = ("--config", directory / "s.toml", "--jobs-dir", directory / "jobs.d", "--socket", directory / "none")
    status, found = validate(capsys, *words)
    assert (status, [(one["level"], one["line"]) for one in found]) == (1, [("error", 1)])


# --- the same verdict as the service's -------------------------------------------------------------------------

DEFINITIONS = st.fixed_dictionaries(
    {
        "job_id": st.sampled_from(["a", "b", "c", "-"]),
        "schedule": st.sampled_from(["@daily", "*/7 * * * *", "61 * * * *", "2027-01-01T00:00:00", "0 0 30 2 *"]),
        "task": st.sampled_from(
            [
                {"type": "execute_command", "command": "true"},
                {"type": "execute_command", "command": "true", "cwd": "tmp"},
                {"type": "execute_command", "command": "true", "user": "nobody-knows-this-user"},
                {"type": "execute"},
            ]
        ),
    },
    optional={
        "timezone": st.sampled_from(["Europe/Berlin", "Europe/Berln"]),
        "timeout": st.sampled_from(["5m", "five", 0]),
        "enabled": st.sampled_from([True, False, "no"]),
    },
)
FILES = st.dictionaries(
    st.sampled_from(["a.json", "a-old.json", "b.json", ".hidden.json", "c.txt", "d.json"]),
    st.tuples(DEFINITIONS, st.sampled_from([0o644, 0o644, 0o644, 0o666])),
    max_size=5,
)


@examples(60)
@given(FILES)
def test_what_it_accepts_the_service_loads_and_nothing_else(files: dict[str, tuple[dict[str, Any], int]]) -> None:
    with tempfile.TemporaryDirectory() as made, redirect_stdout(io.StringIO()) as output:
        jobs = Path(made)
        for name, (definition, mode) in files.items():
            put(jobs, name, definition).chmod(mode)
        cli.main(["validate", "--json", "--timezone", "UTC", str(jobs)])
        found = [json.loads(line) for line in output.getvalue().splitlines()]
        refused_here = {Path(one["file"]).name for one in found if one["level"] == "error"}
        assert refused_here == loaded(jobs)[0]


def loaded(jobs: Path) -> tuple[set[str], set[str]]:
    """Return the files that the service's loader refuses, and the ids that it loads."""
    seconds = iter(range(0, 100, 2))
    reconciler = Reconciler(
        [DirectorySource(jobs)], FakeSchedule(), CONTEXT, lambda *_, **__: None, monotonic=lambda: float(next(seconds))
    )
    reconciler.sync_all()
    reconciler.sync_all()
    active, items = reconciler.active_state()
    return {name for name, item in items.items() if item.state is ItemState.REFUSED}, set(active)
