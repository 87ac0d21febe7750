"""`plan`: what it says is what then happens, and nothing happens by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork_server import run_program
from tests.support.job_files import put
from tests.support.service import ROOT, Service, job

SECRET = {"PASSWORD": "hunter2"}


def plan(service: Service, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "main.py"), "plan", *map(str, words), "--socket", str(service.socket)]
    return run_program(command, env={**os.environ, "TZ": "UTC", "COLUMNS": "200"}, text=True, timeout=60)


def planned(service: Service, *words: str | Path) -> tuple[int, list[dict[str, Any]]]:
    done = plan(service, "--json", *words)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def with_secret(definition: dict[str, Any], **env: str) -> dict[str, Any]:
    definition["task"]["env"] = env or SECRET
    return definition


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with jobs that are not due for long, one of them with a secret, and a file with a mistake."""
    found = Service(tmp_path)
    found.write("kept.json", with_secret(job("kept", "0 1 1 1 *", "true")))
    found.write("changed.json", job("changed", "0 1 1 1 *", "true", timezone="Europe/Berlin"))
    found.write("task.json", with_secret(job("task", "0 1 1 1 *", "true")))
    found.write("gone.json", job("gone", "0 1 1 1 *", "true"))
    found.write("stale.json", job("stale", "0 1 1 1 *", "true"))
    found.write("moved.json", job("moved", "0 1 1 1 *", "true"))
    found.start()
    yield found
    found.close()


@pytest.fixture
def directory(service: Service, tmp_path: Path) -> Path:
    """A copy of the jobs directory with a change of every kind."""
    copy = Path(shutil.copytree(service.jobs, tmp_path / "new.d"))
    put(copy, "changed.json", job("changed", "0 2 1 2 *", "true", timezone="UTC", timeout="5m"))
    put(copy, "task.json", with_secret(job("task", "0 1 1 1 *", "true"), PASSWORD="hunter3"))
    put(copy, "stale.json", job("stale", "61 * * * *", "true"))
    put(copy, "new.json", job("new", "0 3 1 3 *", "true"))
    put(copy, "second.json", job("kept", "@daily", "true"))
    (copy / "gone.json").unlink()
    (copy / "moved.json").rename(copy / "elsewhere.json")
    return copy


def test_what_a_plan_says_is_what_then_happens(service: Service, directory: Path) -> None:
    """Compared with the lines of the log after the files were copied."""
    status, found = planned(service, directory)
    assert status == 1
    service.wait_for("service.started")
    assert not service.words("job.added")
    for path in service.jobs.iterdir():
        path.unlink()
    for path in directory.iterdir():
        path.rename(service.jobs / path.name)
    service.wait_for("job.removed")
    service.wait_for("job.stale")
    service.wait_for("job.refused")

    by_id = {one["job_id"]: one for one in found if one["change"] in {"new", "changed", "removed"}}
    added, updated, removed = (service.words(f"job.{word}") for word in ("added", "updated", "removed"))
    logged = {line["job_id"]: ("new", line["file"], None, None, line["next"]) for line in added}
    logged |= {
        line["job_id"]: ("changed", line["file"], line["changed"], line["next_before"], line["next_after"])
        for line in updated
    }
    logged |= {line["job_id"]: ("removed", line["file"], None, None, None) for line in removed}
    assert logged.keys() == by_id.keys() == {"new", "changed", "task", "gone"}
    for job_id, (kind, file, changed, before, after) in logged.items():
        told = by_id[job_id]
        assert (told["change"], told["file"]) == (kind, file)
        assert (",".join(told["changed"]) or None) == changed
        if kind != "removed":
            assert (told["next_before"], told["next_after"]) == (before, after)
    refused = {one["file"]: one["problems"][0]["problem"] for one in found if one["change"] == "refused"}
    assert {Path(file).name: problem for file, problem in refused.items()} == {
        line["file"]: line["problem"] for word in ("job.stale", "job.refused") for line in service.words(word)
    }


def test_a_plan_reads_well_and_shows_no_secret(service: Service, directory: Path) -> None:
    done = plan(service, directory)
    assert done.returncode == 1
    assert "hunter" not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("~ changed  changed  schedule 0 1 1 1 * → 0 2 1 2 *  timezone Europe") for line in lines)
    assert any(line.startswith("+ new      new      0 3 1 3 *  next: ") for line in lines)
    assert any(line.startswith("- removed  gone     was due next: ") for line in lines)
    assert any(line.endswith("stale.json  its former version stays in force") for line in lines)
    assert "  help: give one of the two another `job_id`, or delete `second.json`" in done.stdout
    assert lines[-1] == "1 new, 2 changed, 1 removed, 2 refused; nothing was done (times of UTC)"


def test_files_alone_remove_nothing(service: Service, directory: Path) -> None:
    status, found = planned(service, directory / "new.json", directory / "changed.json")
    assert status == 0
    assert {one["job_id"]: one["change"] for one in found if one["change"] != "note"} == {
        "new": "new",
        "changed": "changed",
    }
    status, found = planned(service, "--keep", directory)
    assert "removed" not in {one["change"] for one in found}


@pytest.mark.parametrize(
    ("definition", "status", "change"),
    [
        (job("changed", "0 2 1 2 *", "true", timezone="UTC"), 0, ("changed", "changed", "changed.json")),
        (job("new", "0 3 1 3 *", "true"), 0, ("new", "new", "new.json")),
        (job("new", "61 * * * *", "true"), 1, ("refused", None, "<stdin>")),
    ],
    ids=["an edit", "a new job", "a mistake"],
)
def test_a_definition_may_come_on_standard_input(
    service: Service, definition: dict[str, Any], status: int, change: tuple[str, str | None, str]
) -> None:
    """It stands for the file that has its job now, or for a new one; nothing else changes."""
    command = [sys.executable, str(ROOT / "main.py"), "plan", "--json", "-", "--socket", str(service.socket)]
    done = subprocess.run(
        command, input=json.dumps(definition), capture_output=True, text=True, timeout=60, check=False
    )
    found = [one for one in map(json.loads, done.stdout.splitlines()) if one["change"] != "note"]
    assert (done.returncode, done.stderr) == (status, "")
    assert [(one["change"], one.get("job_id"), one["file"]) for one in found] == [change]


def test_the_present_directory_changes_nothing(service: Service) -> None:
    done = plan(service, service.jobs)
    assert (done.returncode, done.stdout) == (0, "nothing would change\n")


def test_without_a_service_a_plan_compares_with_the_jobs_directory(service: Service, directory: Path) -> None:
    with_service = planned(service, directory)
    service.stop()
    done = plan(service, "--json", directory, "--jobs-dir", service.jobs)
    assert "no service was asked; compared with the jobs directory" in done.stderr
    assert (done.returncode, [json.loads(line) for line in done.stdout.splitlines()]) == with_service


def test_a_time_limit_that_runs_have_exceeded_is_noted(service: Service, directory: Path) -> None:
    line = (
        "2026-01-01T00:00:0{n}.000Z SUCCESS job_id=changed run_id=r{n} scheduled=2026-01-01T00:00:00Z duration={took}"
    )
    service.stop()
    text = service.log.read_text()
    service.log.write_text("".join(line.format(n=n, took=took) + "\n" for n, took in enumerate((200, 400, 900))) + text)
    done = plan(service, directory, "--jobs-dir", service.jobs, "--log-file", service.log)
    assert "note: changed: 2 of its last 3 runs took longer than the new time limit of 5m (p95 15m)" in done.stdout


def test_a_plan_of_nothing_or_of_too_much_is_refused(service: Service, directory: Path) -> None:
    done = plan(service, directory / "absent.json")
    assert done.returncode == 1
    assert "there is no file or directory" in done.stderr
    done = plan(service, directory, directory / "new.json")
    assert done.returncode == 2
    assert "a directory is planned alone" in done.stderr
