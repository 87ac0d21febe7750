"""Real tools on real files: afterwards exactly the expected jobs are active, and no good file was ever reported."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.service.test_files_storm import answer
from tests.support.job_files import assert_every_second_once, assert_prompt, need, now, running
from tests.support.service import Service, job, wait_until


def schedule(minute: int, hour: int = 0) -> str:
    """A schedule of its own for each version, so that the log shows which one is active."""
    return f"{minute} {hour} 1 6 *"


def slot(minute: int, hour: int = 0) -> str:
    """The next slot of that schedule."""
    year = now().year + (now() >= datetime.fromisoformat(f"{now().year}-06-01T{hour:02}:{minute:02}:00Z"))
    return f"{year}-06-01T{hour:02}:{minute:02}:00Z"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tools, whose rescan never comes to the rescue."""
    with running(tmp_path_factory.mktemp("tools"), "--rescan-interval", "1h") as made:
        made.start()
        made.write("tick.json", job("tick"))
        yield made


@pytest.fixture(autouse=True)
def no_file_was_blamed(service: Service) -> Iterator[None]:
    """Whatever a tool did on its way, nothing was logged about it, and no second was lost."""
    yield
    assert [line for line in service.lines() if line["level"] in {"WARNING", "ERROR"}] == []
    service.wait_for("SUCCESS", job_id="tick")
    assert_every_second_once(service, "tick", 1)


def run(command: str, **names: Any) -> None:
    """Run a command as an administrator would, in their shell."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent", "TERM": "dumb"}
    values = {key: str(value) for key, value in names.items()}
    done = subprocess.run(
        ["sh", "-euc", "umask 022; " + command],
        env={**environment, **values},
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def is_active(service: Service, wanted: dict[str, str | None]) -> Callable[[], bool]:
    """Return whether these ids have these next slots by now (None: are not active)."""

    def check() -> bool:
        slots = answer(service)
        return all(slots.get(job_id) == due for job_id, due in wanted.items())

    return check


def jobs_in(directory: Path, minute: int, names: range = range(3)) -> Path:
    """Make a directory with a few jobs, all of one version."""
    directory.mkdir(exist_ok=True)
    for number in names:
        (directory / f"{directory.name}{number}.json").write_text(
            json.dumps(job(f"{directory.name}{number}", schedule(minute)), indent=2)
        )
    return directory


EDITS = {
    "sed": ("sed", 'sed -i \'s/"0 0 1 6/"30 0 1 6/\' "$file"'),
    "sed with a copy": ("sed", 'sed -i.bak \'s/"0 0 1 6/"30 0 1 6/\' "$file"'),
    "vim": ("vim", 'vim -u NONE -es -c "%s/\\"0 0 1 6/\\"30 0 1 6/" -c "wq" "$file" </dev/null'),
    "vim with a backup": (
        "vim",
        'vim -u NONE -es -c "set backup backupcopy=no" -c "%s/\\"0 0 1 6/\\"30 0 1 6/" -c "wq" "$file"',
    ),
    "cp": ("cp", 'cp "$new" "$file"'),
    "cp after removing": ("cp", 'cp --remove-destination "$new" "$file"'),
    "mv": ("mv", 'mv "$new" "$file"'),
    "install": ("install", 'install -m 644 "$new" "$file"'),
    "rsync": ("rsync", 'rsync -a --chmod=F644 "$new" "$file"'),
    "rsync in place": ("rsync", 'rsync --inplace --ignore-times "$new" "$file"'),
    "tee": ("tee", 'tee "$file" < "$new"'),
    "a heredoc in pieces": ("cat", '{ head -c 50 "$new"; sync "$file"; tail -c +51 "$new"; } > "$file"'),
    "ln": ("ln", 'ln -sfn "$new" "$file"'),
    "a hard link": ("ln", 'ln -f "$new" "$file"'),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_active_at_once(service: Service, tmp_path: Path, name: str) -> None:
    """However the tool goes about it: one change, from the old definition to the new one."""
    tool, command = EDITS[name]
    need(tool)
    job_id = name.replace(" ", "-")
    path = service.write(f"{job_id}.json", json.dumps(job(job_id, schedule(0)), indent=2))
    service.wait_for("job.added", job_id=job_id)
    tmp_path.chmod(0o755)
    new = tmp_path / "new"
    new.write_text(json.dumps(job(job_id, schedule(30)), indent=2))
    began = now()
    run(command, file=path, new=new)
    wait_until(is_active(service, {job_id: slot(30)}))

    changes = [line for line in service.lines() if line.get("job_id") == job_id]
    assert [line["word"] for line in changes] == ["job.added", "job.updated"]
    assert_prompt(changes[-1], began)


BULK = {
    "cp": ("cp", 'cp "$new"/*.json "$jobs"'),
    "mv": ("mv", 'mv "$new"/*.json "$jobs"'),
    "install": ("install", 'install -m 644 "$new"/*.json "$jobs"'),
    "rsync": ("rsync", 'rsync -ac --delay-updates "$new"/ "$jobs"/'),
    "tar": ("tar", 'tar -C "$new" -c . | tar -C "$jobs" --no-overwrite-dir -x'),
}


@pytest.mark.parametrize(
    "name", ["rsync", *(pytest.param(name, marks=pytest.mark.deep) for name in BULK if name != "rsync")]
)
def test_many_files_at_once(service: Service, tmp_path: Path, name: str) -> None:
    """Copied, moved, installed, synchronised, unpacked; then again with another version; then deleted."""
    tool, command = BULK[name]
    need(tool)
    for minute in (1, 2):
        new = jobs_in(tmp_path / f"many-{name}-", minute, range(50))
        run(command, new=new, jobs=service.jobs)
        wait_until(is_active(service, {f"{new.name}{number}": slot(minute) for number in range(50)}))
    run('cd "$jobs"; rm -f ' + f"many-{name}-*.json", jobs=service.jobs)
    wait_until(is_active(service, {f"{new.name}{number}": None for number in range(50)}))


def test_rsync_makes_one_directory_of_another(service: Service, tmp_path: Path) -> None:
    """With `--delete`: what is not in the source goes, what is stays as it was."""
    need("rsync")
    new = jobs_in(tmp_path / "synced", 1, range(10))
    (new / "tick.json").write_text(json.dumps(job("tick")))
    command = 'rsync -a --delete --include="synced*" --include=tick.json --exclude="*" "$new"/ "$jobs"/'
    run(command, new=new, jobs=service.jobs)
    wait_until(is_active(service, {f"synced{number}": slot(1) for number in range(10)}))
    for number in range(5):
        (new / f"synced{number}.json").unlink()
    run(command, new=new, jobs=service.jobs)
    wait_until(is_active(service, {f"synced{number}": slot(1) if number >= 5 else None for number in range(10)}))

    assert service.words("job.updated", job_id="tick") == []


def test_git_changes_between_branches(tmp_path: Path) -> None:
    """Two branches of 200 job files: some the same, some edited, some renamed, some with swapped ids, some new."""
    need("git")
    with running(tmp_path, "--rescan-interval", "1h") as service:
        main = {f"{n:03}.json": job(f"g{n}", schedule(n % 60, n // 60)) for n in range(200)}
        other = dict(main)
        for n in range(40, 80):  # edited
            other[f"{n:03}.json"] = job(f"g{n}", schedule(n % 60, 12))
        for n in range(80, 120):  # renamed
            other[f"renamed-{n:03}.json"] = other.pop(f"{n:03}.json")
        for n in range(120, 160, 2):  # swapped ids
            one, two = f"{n:03}.json", f"{n + 1:03}.json"
            other[one], other[two] = other[two], other[one]
        for n in range(160, 180):  # others instead
            del other[f"{n:03}.json"]
            other[f"new-{n:03}.json"] = job(f"new{n}", schedule(n % 60, 13))

        def commit(files: dict[str, Any], branch: str) -> None:
            for path in service.jobs.glob("*.json"):
                path.unlink()
            for name, definition in files.items():
                (service.jobs / name).write_text(json.dumps(definition, indent=2))
            run(
                'cd "$jobs"; git add -A; git -c user.name=t -c user.email=t@example.org commit -qm x', jobs=service.jobs
            )
            run(f'cd "$jobs"; git branch {branch}', jobs=service.jobs)

        run('cd "$jobs"; git init -q -b start', jobs=service.jobs)
        commit(main, "one")
        commit(other, "two")
        service.start()
        service.write("tick.json", job("tick"))
        service.wait_for("job.added", job_id="tick")
        since = len(service.lines())
        before = {name: definition["schedule"] for name, definition in by_id(other).items()}
        for branch, files in (("one", main), ("two", other)):
            began = now()
            run(f'cd "$jobs"; git checkout -q {branch}', jobs=service.jobs)
            wanted = {name: definition["schedule"] for name, definition in by_id(files).items()}
            wait_until(lambda wanted=wanted: replayed(service, since, before) == wanted)
            assert (now() - began).total_seconds() < 5
        added = {line["job_id"] for line in service.lines()[since:] if line["word"] == "job.added"}
        assert added <= {*(f"g{n}" for n in range(160, 180)), *(f"new{n}" for n in range(160, 180))}
        assert [line for line in service.lines() if line["level"] in {"WARNING", "ERROR"}] == []
        assert_every_second_once(service, "tick", 2)


def by_id(files: dict[str, Any]) -> dict[str, Any]:
    """The definitions by their ids."""
    return {definition["job_id"]: definition for definition in files.values()}


def replayed(service: Service, since: int, before: dict[str, str]) -> dict[str, str]:
    """The active schedules: those at the start, and later changes by the log."""
    known = dict(before)
    for line in service.lines()[since:]:
        if line["word"] == "job.removed":
            known.pop(line["job_id"])
        elif line["word"] in {"job.added", "job.updated"}:
            due = datetime.fromisoformat(line.get("next") or line["next_after"])
            known[line["job_id"]] = schedule(due.minute, due.hour)
    return known
