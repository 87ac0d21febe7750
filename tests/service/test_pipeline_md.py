"""docs/pipeline.md does what it says: its hook, its pipeline, its script and its Ansible task, in a real repository.

No tool of others is run: what it would run is, on the files and the names that it would give.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.job_files import need
from tests.support.service import ROOT, Service, job

PAGE = (ROOT / "docs/pipeline.md").read_text("utf-8")
GIT = "git -c user.name=t -c user.email=t@example.org -c init.defaultBranch=main"


def blocks(kind: str) -> list[str]:
    """The fenced blocks of the page of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class Place:
    """A directory with the command `jobscheduler`, and a repository `work` that was cloned from another one."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.work = base / "work"
        (base / "bin").mkdir()
        program = base / "bin/jobscheduler"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/main.py "$@"\n')
        program.chmod(0o755)
        self.env = {"PATH": f"{base}/bin:{os.environ['PATH']}", "TZ": "UTC", "LANG": "C.UTF-8", "HOME": str(base)}
        self.env |= {"JOBSCHEDULER_SOCKET": str(base / "control.sock"), "JOBSCHEDULER_JOBS_DIR": str(base / "jobs.d")}
        self.sh(f"{GIT} init -q origin && mkdir origin/jobs.d", base)
        self.write("nightly", "0 1 * * *", repository="origin")
        (base / "origin/scheduler.toml").write_text('[defaults]\ntimeout = "2h"\n')
        self.sh(f"{GIT} add . && {GIT} commit -q -m first", base / "origin")
        self.sh("git clone -q origin work", base)

    def sh(self, script: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a script as a pipeline does: it ends at the first command that fails."""
        command = ["sh", "-euc", f"umask 022; {script}"]
        return subprocess.run(
            command, cwd=cwd or self.work, env=self.env, capture_output=True, text=True, timeout=100, check=False
        )

    def write(self, job_id: str, schedule: str, *, repository: str = "work", user: str = "shop") -> None:
        """Write a job file into a repository; its user is one that this host does not know."""
        definition = job(job_id, schedule, "/opt/shop/report")
        definition["task"]["user"] = user
        (self.base / repository / "jobs.d" / f"{job_id}.json").write_text(json.dumps(definition, indent=2))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One with a job that is in the main branch."""
    need("git", "rsync")
    tmp_path.chmod(0o755)
    return Place(tmp_path)


def pipeline() -> str:
    """The lines of the pipeline, but for the installation."""
    lines = re.findall(r"^    - (.*)$", blocks("yaml")[1], re.MULTILINE)
    assert lines[0].startswith("pip install")
    return "\n".join(lines[1:])


def test_the_pipeline_shows_what_a_change_does(place: Place) -> None:
    """On a host that lacks the user, and on which no service runs."""
    place.write("nightly", "0 2 * * *")
    place.write("monthly", "0 4 1 * *")
    done = place.sh(pipeline())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 files checked, no errors" in done.stdout
    assert "~ changed  nightly  schedule 0 1 * * * → 0 2 * * *" in done.stdout
    assert "+ new      monthly" in done.stdout
    assert "user" not in done.stdout
    assert "no service" not in done.stderr


def test_the_pipeline_ends_at_a_mistake(place: Place) -> None:
    """With its place."""
    place.write("nightly", "0 25 * * *")
    done = place.sh(pipeline())
    assert done.returncode == 1
    assert "jobs.d/nightly.json:3:" in done.stdout
    assert "changed" not in done.stdout


def test_a_portable_plan_needs_two_directories_and_minds_no_owner(place: Place) -> None:
    """A checkout that a group may write, as in many pipelines, is compared all the same."""
    done = place.sh("jobscheduler plan --portable jobs.d")
    assert (done.returncode, done.stdout) == (2, "")
    assert "`--portable` needs `--jobs-dir`" in done.stderr
    assert "checkout of the main branch" in done.stderr
    place.sh("chmod -R a+w jobs.d ../origin/jobs.d")
    done = place.sh("jobscheduler plan --portable --jobs-dir ../origin/jobs.d jobs.d")
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing would change\n", "")


def hook_of_pre_commit() -> tuple[list[str], re.Pattern[str]]:
    """The command of the hook that pre-commit would run, and which files it gets."""
    text = (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")
    found = dict(re.findall(r"^[- ] (\w+): (.*)$", text, re.MULTILINE))
    assert f"- id: {found['id']}\n" in blocks("yaml")[0]
    assert found["language"] == "python"
    return shlex.split(found["entry"]), re.compile(found["files"])


def test_the_hook_of_pre_commit_checks_the_files_that_it_is_given(place: Place) -> None:
    """As pre-commit does: the entry, with each staged file of the pattern as an argument."""
    entry, pattern = hook_of_pre_commit()
    place.write("good", "0 2 * * *")
    place.write("bad", "0 25 * * *")
    (place.work / "package.json").write_text("{}")
    names = place.sh("git add . && git diff --cached --name-only").stdout.split()
    wanted = [name for name in names if pattern.search(name)]
    assert wanted == ["jobs.d/bad.json", "jobs.d/good.json"]
    done = place.sh(shlex.join([*entry, *wanted]))
    assert done.returncode == 1
    assert "2 files checked, 1 with errors" in done.stdout
    assert not pattern.search("jobs.d/.hidden.json")
    assert pattern.search("hosts/db1/jobs.d/a.json")


def test_the_hook_of_git_keeps_a_mistake_out_of_a_commit(place: Place) -> None:
    """And lets a commit without job files, and one that deletes them, pass."""
    hook = place.work / ".git/hooks/pre-commit"
    hook.write_text(blocks("sh")[0])
    hook.chmod(0o755)
    place.write("new", "0 25 * * *")
    commit = f"git add -A && {GIT} commit -q -m change"
    refused = place.sh(commit)
    assert refused.returncode == 1
    assert "jobs.d/new.json:3:" in refused.stdout + refused.stderr
    place.write("new", "0 5 * * *")
    assert place.sh(commit).returncode == 0
    (place.work / "README").write_text("jobs")
    assert place.sh(commit).returncode == 0
    assert place.sh(f"git rm -q jobs.d/new.json && {commit}").returncode == 0


@pytest.fixture
def service(place: Place) -> Iterator[Service]:
    """The service of a host, which the commands of the place find."""
    made = Service(place.base)
    made.start()
    yield made
    made.close()


def test_the_script_of_the_host_puts_files_in_force_after_a_look(place: Place, service: Service) -> None:
    """A mistake ends it before the copy."""
    place.write("nightly", "0 2 * * *", user="nobody")
    script = blocks("sh")[1].replace("/etc/scheduler/jobs.d", str(service.jobs))
    assert str(service.jobs) in script
    done = place.sh(script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "+ new      nightly" in done.stdout
    service.wait_for("job.added", job_id="nightly")
    place.write("nightly", "0 25 * * *", user="nobody")
    done = place.sh(script)
    assert done.returncode == 1
    assert "! refused  nightly.json" in done.stdout
    assert '"0 2 * * *"' in (service.jobs / "nightly.json").read_text()


def test_the_task_of_ansible_validates_a_file_of_another_name_and_owner(place: Place) -> None:
    """As Ansible does: without a shell, on a copy in the home of the account that it logs in with."""
    (command,) = re.findall(r"^    validate: (.*)$", blocks("yaml")[2], re.MULTILINE)
    home = place.base / ".ansible/tmp/ansible-tmp-1796080960.35-18341-1055"
    home.mkdir(parents=True, mode=0o777)
    copy = home / ".source.json"

    def validate() -> subprocess.CompletedProcess[str]:
        words = [word.replace("%s", str(copy)) for word in shlex.split(command)]
        return subprocess.run(words, env=place.env, capture_output=True, text=True, timeout=60, check=False)

    place.write("nightly", "0 2 * * *")
    copy.write_text((place.work / "jobs.d/nightly.json").read_text())
    copy.chmod(0o666)
    if os.geteuid() == 0:
        os.chown(copy, 65534, 65534)
    done = validate()
    assert done.returncode == 0, done.stdout
    assert "error:" not in done.stdout
    copy.write_text(copy.read_text().replace("schedule", "shedule"))
    done = validate()
    assert done.returncode == 1
    assert f"{copy}:3:3" in done.stdout
    assert "did you mean `schedule`?" in done.stdout
