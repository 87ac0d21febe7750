"""docs/day-one.md does what it says: each command in order, in a booted machine in which the service was installed.

What the page finds there is made first: a mail program, a record of yesterday, a repository of 300 job files.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.booted import LOG, Machine, booted, filled
from tests.support.executed_pages import Block, blocks, commands, file_of, in_machine, run_as_shown
from tests.support.job_files import need
from tests.support.service import ROOT, job

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(400)]  # it installs the packages first

PAGE = (ROOT / "docs/day-one.md").read_text("utf-8")
ALERTS = (ROOT / "docs/alerts.md").read_text("utf-8")
JOBS = "/etc/scheduler/jobs.d/"
MAILS = "#!/bin/sh\ncat >> /var/mail/root\n"


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the service, and with `anna`, who is logged in."""
    need("git", "rsync")
    checkout = filled(tmp_path_factory.getbasetemp()).checkout
    with booted(checkout) as made:
        made("make install && systemctl enable --now jobscheduler", cwd=checkout, seconds=300)
        made("useradd --create-home --shell /bin/sh anna")
        made("systemctl start dbus.socket systemd-logind && systemctl start user@$(id -u anna).service")
        yield made


def as_anna(machine: Machine) -> Callable[[str], tuple[int, str]]:
    """Running shell commands as an ordinary user of the machine."""
    uid = machine("id -u anna").strip()
    environment = "env -i HOME=/home/anna USER=anna PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 TZ=UTC"
    line = f"setpriv --reuid anna --regid anna --init-groups {environment} XDG_RUNTIME_DIR=/run/user/{uid} sh -c"
    run = in_machine(machine, Path("/"))
    return lambda command: run(f"{line} {shlex.quote(f'cd; {command}')}")


def write(machine: Machine, path: str, text: str, mode: int = 0o644) -> None:
    """Write a file of root's into the machine."""
    quoted = shlex.quote(path)
    machine(f"mkdir -p $(dirname {quoted}); cat > {quoted} <<'END'\n{text}END\nchmod {mode:o} {quoted}")


def what_the_page_finds(machine: Machine) -> None:
    """Make what a host has on its first day."""
    write(machine, "/usr/sbin/sendmail", MAILS, 0o755)
    script, on_failure = (re.findall(rf"^```{kind}\n(.*?)^```$", ALERTS, re.M | re.S) for kind in ("sh", "json"))
    write(machine, "/etc/scheduler/mail-alert", script[0], 0o755)
    write(machine, "/etc/scheduler/on-failure.json", next(one for one in on_failure if "mail-alert" in one))
    at = datetime.now(UTC).replace(hour=3, minute=17, second=0, microsecond=0) - timedelta(days=1)
    slot, end = f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%dT%H:%M:%S}.512Z"
    record = f'FAILURE job_id=orders run_id=0123456789ab scheduled={slot} started={slot} duration=0.502 reason=exit exit_code=1 output="no space left on device"'  # noqa: E501
    write(machine, f"{LOG}.1", f"{end} {record}\n")
    the_repository(machine)


REPOSITORY = """
set -e; umask 022
export GIT_AUTHOR_NAME=r GIT_AUTHOR_EMAIL=r@example.org GIT_COMMITTER_NAME=r GIT_COMMITTER_EMAIL=r@example.org
mkdir -p /srv/jobs /root/origin/jobs.d; cd /root/origin; number=0
while read -r line; do
    printf '%s\\n' "$line" > jobs.d/shop-$number.json; number=$((number + 1))
done < /root/all
git init --quiet --initial-branch v1; git add .; git commit --quiet -m one
git checkout --quiet -b v2
sed -i 's/^{/{"tags": ["winter"], /' jobs.d/shop-1?.json; git commit --quiet -am two
git checkout --quiet -b v3; git rm --quiet jobs.d/shop-29?.json
sed -i 's/^{"tags": .*"job_id"/{"job_id"/; s/^{/{"tags": ["spring"], /' jobs.d/shop-1?.json jobs.d/shop-2?.json
git commit --quiet -am three
git clone --quiet --bare . /srv/jobs.git
"""
"""Makes 300 job files and two later versions: ten have a tag, then twenty have another, and ten are gone."""


def the_repository(machine: Machine) -> None:
    """Make the repository of the page."""
    jobs = (job(f"shop-{number}", f"{number % 60} {number % 24} * * *", "true") for number in range(300))
    write(machine, "/root/all", "".join(f"{json.dumps(one)}\n" for one in jobs))
    machine(REPOSITORY)


def changes(machine: Machine) -> int:
    """Return how many changes of jobs are in the log: a person is slower than the service, and a test is not."""
    return sum(line["word"] in {"job.added", "job.updated"} for line in machine.log())


def test_the_first_day_goes_as_the_page_tells(machine: Machine) -> None:
    """All ten things, one after the other on one host."""
    what_the_page_finds(machine)
    run = {"#": in_machine(machine, Path("/root")), "$": as_anna(machine)}
    for block in blocks(PAGE):
        before = changes(machine)
        if block.kind != "console":
            write(machine, file_of(block), block.text)
            is_job = file_of(block).startswith(JOBS)
            machine.wait("the job", lambda before=before: changes(machine) > before) if is_job else None
        for prompt, command, shown in commands(block) if block.kind == "console" else ():
            before = changes(machine)
            run_as_shown(run[prompt], command, shown)
            if command.startswith("sed ") and JOBS in command:
                machine.wait("the change", lambda before=before: changes(machine) > before)
    assert not [line for line in machine.log() if line["word"] in {"job.refused", "job.stale", "alert.failed"}]


def test_every_block_of_the_page_is_executed() -> None:
    """No command and no line escapes, and each of the ten things is there."""
    every: list[Block] = blocks(PAGE)
    assert len(every) == PAGE.count("```") / 2
    assert {block.kind for block in every} == {"console", "json", "crontab"}
    for block in every:
        if block.kind == "console":
            assert sum(1 + len(shown) for _, _, shown in commands(block)) == len(block.text.splitlines()), block.text
    assert re.findall(r"^## (\d+)\.", PAGE, re.MULTILINE) == [str(number) for number in range(1, 11)]
